"""The person matte by the face regressor: the same call as :class:`engine.face.matting.PersonMatte`."""

from __future__ import annotations

import cv2
import numpy as np

from engine.face.maths import smoothstep
from engine.face.regressor.glance import Crop, Regressor
from engine.face.regressor.layout import SIZE, ideal_crop
from engine.face.regressor_detector import RegressorDetector

_AROUND = 2.2  # side of the second look, by the side of the ideal crop of the face


class RegressorMatte:
    """Of the whole picture and, finer, around the head; then fitted to the picture's edges."""

    def __init__(self, regressor: Regressor | None = None) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._regressor = regressor or Regressor()
        self._detector = RegressorDetector(self._regressor)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 → (H, W) float32 in 0…1."""
        height, width = rgb.shape[:2]
        whole = Crop(np.array([width / 2, height / 2]), float(max(height, width)))
        face = self._detector.detect(rgb)
        crops = [whole]
        if face is not None and face.dense is not None:
            low, high = face.dense[:, :2].min(axis=0), face.dense[:, :2].max(axis=0)
            side = _AROUND * ideal_crop(face.dense[:, :2])[2]
            if side < 0.8 * whole.side:
                crops.append(Crop((low + high) / 2, float(side)))
        matte = np.zeros((height, width), np.float32)
        for glance in self._regressor.look(rgb, crops):
            share = glance.crop.paste(_window(glance.crop is not whole), (height, width))
            matte += share * (glance.crop.paste(glance.matte, (height, width)) - matte)
        return guided(matte, rgb, max(2, round(2 * crops[-1].side / SIZE)))

    def close(self) -> None:
        self._regressor.close()


def guided(matte: np.ndarray, rgb: np.ndarray, radius: int, smooth: float = 1e-4) -> np.ndarray:
    """``matte`` (H, W) as a locally linear function of the picture's luminance, so that its edges are the picture's
    (guided filter, He et al. 2013, eq. 5, 6 and 8)."""
    size = (2 * radius + 1,) * 2
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255

    def mean(picture: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(picture, -1, size)

    grey_mean, matte_mean = mean(grey), mean(matte)
    slope = (mean(grey * matte) - grey_mean * matte_mean) / (mean(grey * grey) - grey_mean**2 + smooth)
    return np.clip(mean(slope) * grey + mean(matte_mean - slope * grey_mean), 0, 1)


def _window(feathered: bool) -> np.ndarray:
    """(SIZE, SIZE) float32: 1, or 1 inside falling to 0 at the border."""
    if not feathered:
        return np.ones((SIZE, SIZE), np.float32)
    ramp = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1]) / (SIZE / 8)
    return np.minimum.outer(*(smoothstep(np.clip(ramp, 0, 1)),) * 2).astype(np.float32)
