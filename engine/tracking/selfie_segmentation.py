"""How much of each pixel is a person: MediaPipe's selfie segmentation."""

from __future__ import annotations

import cv2
import numpy as np

from engine import runtime
from engine.tracking.crop import sample
from engine.tracking.networks import open_network


class SelfieSegmentation:
    def __init__(self) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._session: runtime.Session = open_network("selfie_segmentation")
        self._height, self._width, _ = self._session.inputs["image"]

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 → (H, W) float32 in 0…1; the network sees the whole picture, stretched."""
        height, width = rgb.shape[:2]
        matrix = np.array([[width / self._width, 0, 0], [0, height / self._height, 0]])
        picture = sample(rgb, matrix, self._width, self._height, cv2.BORDER_CONSTANT)
        mask = self._session.run({"image": picture[None].astype(np.float32)})["mask"][0]
        return cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)

    def close(self) -> None:
        self._session.release()
