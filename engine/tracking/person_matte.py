"""The person matte: how much of each pixel belongs to the person rather than to what is behind."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import cv2
import numpy as np

from engine.face.maths import smoothstep


class PersonMatte:
    """MediaPipe's selfie segmentation (256² inside), sharpened to a matte."""

    def __init__(self) -> None:
        import mediapipe

        solutions: Any = getattr(mediapipe, "solutions")
        self._graph = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 → (H, W) float32 in 0…1."""
        height, width = rgb.shape[:2]
        mask = self._graph.process(np.ascontiguousarray(rgb)).segmentation_mask
        mask = cv2.resize(np.asarray(mask, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        mask = cv2.GaussianBlur(mask, (0, 0), max(1.0, width / 400))
        return smoothstep((mask - 0.25) / 0.5).astype(np.float32)

    def close(self) -> None:
        self._graph.close()


def person_matte(rgb: np.ndarray) -> np.ndarray:
    """:class:`PersonMatte` of one picture."""
    with closing(PersonMatte()) as segment:
        return segment(rgb)
