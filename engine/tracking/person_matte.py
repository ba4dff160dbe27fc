"""The person matte: how much of each pixel belongs to the person rather than to what is behind."""

from __future__ import annotations

from contextlib import closing

import cv2
import numpy as np

from engine.face.maths import smoothstep
from engine.tracking.selfie_segmentation import SelfieSegmentation


class PersonMatte:
    """Selfie segmentation (256² inside), sharpened to a matte."""

    def __init__(self) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._segment = SelfieSegmentation()

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 → (H, W) float32 in 0…1."""
        mask = cv2.GaussianBlur(self._segment(rgb), (0, 0), max(1.0, rgb.shape[1] / 400))
        return smoothstep((mask - 0.25) / 0.5).astype(np.float32)

    def close(self) -> None:
        self._segment.close()


def person_matte(rgb: np.ndarray) -> np.ndarray:
    """:class:`PersonMatte` of one picture."""
    with closing(PersonMatte()) as segment:
        return segment(rgb)
