"""The person matte by the project's own network: the same call as :class:`engine.tracking.person_matte.PersonMatte`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from engine import runtime, weights

WEIGHTS = weights.FOLDER / weights.JUDGE / "matting.onnx"  # only compared so far; no take uses it
SIZE = 192  # of the network's picture, pixels


class NetworkMatte:
    """Of the whole picture, laid into a square, then fitted to the picture's edges."""

    def __init__(self, path: Path = WEIGHTS, device: str = "auto") -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._session = runtime.open(path, device, precision="fp32")

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 → (H, W) float32 in 0…1."""
        height, width = rgb.shape[:2]
        scale = SIZE / max(height, width)
        across, down = max(1, round(width * scale)), max(1, round(height * scale))
        shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        left, top = (SIZE - across) // 2, (SIZE - down) // 2
        square = np.zeros((SIZE, SIZE, 3), np.float32)
        square[top : top + down, left : left + across] = cv2.resize(rgb, (across, down), interpolation=shrinks)
        picture = np.ascontiguousarray(square.transpose(2, 0, 1)[None]) / np.float32(127.5) - 1
        matte = self._session.run({"picture": picture})["matte"][0, 0, top : top + down, left : left + across]
        matte = cv2.resize(matte, (width, height), interpolation=cv2.INTER_CUBIC)
        return guided(np.clip(matte, 0, 1), rgb, max(2, round(2 / scale)))

    def close(self) -> None:
        self._session.release()


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
