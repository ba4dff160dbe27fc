"""One look of the face regressor at one square of a picture: cut it out, run the network, map its answer back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine import runtime, weights
from engine.tracking.regressor.layout import MARGIN, SIZE

WEIGHTS = weights.FOLDER / "face_regressor.onnx"
_FINEST = 8  # a crop is sampled so many times finer at most, then averaged


@dataclass(frozen=True)
class Crop:
    """A square of a picture: ``centre`` (2,) and ``side`` in pixels, between the centres of its first and last pixel;
    ``angle`` radians by which it is turned clockwise in the picture."""

    centre: np.ndarray
    side: float
    angle: float = 0.0

    def to_picture(self, grid: np.ndarray) -> np.ndarray:
        """Points (…, 2 or 3) on the crop's grid, −1…1, to pixels of the picture."""
        scaled = grid * (self.side / 2)
        return np.concatenate([scaled[..., :2] @ self._turn().T + self.centre, scaled[..., 2:]], axis=-1)

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 → (1, 3, SIZE, SIZE) float32 in −1…1; black beyond the picture."""
        finer = int(np.clip(np.ceil(self.side / SIZE - 0.25), 1, _FINEST))
        step = self.side / (SIZE - 1) / finer
        turn = self._turn() * step
        first = self.centre - 0.5 - turn @ np.full(2, (SIZE * finer - 1) / 2)
        affine = np.column_stack([turn, first])
        size = (SIZE * finer, SIZE * finer)
        crop = cv2.warpAffine(rgb, affine, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        if finer > 1:
            crop = cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 127.5 - 1

    def _turn(self) -> np.ndarray:
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s], [s, c]])


@dataclass(frozen=True)
class Glance:
    """What the network saw: points in pixels of the picture, as an Observation has them."""

    crop: Crop
    landmarks68: np.ndarray
    dense: np.ndarray
    iris: np.ndarray
    confidence: float

    def closer(self) -> Crop:
        """The crop in which this face is best seen: upright, in the middle, of the right size."""
        flat = self.dense[:, :2]
        angle = _roll(flat)
        c, s = np.cos(angle), np.sin(angle)
        upright = flat @ np.array([[c, -s], [s, c]])
        low, high = upright.min(axis=0), upright.max(axis=0)
        centre = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
        return Crop(centre, float(MARGIN * max((high - low).max(), 4.0)), angle)


class Regressor:
    """The network, ready. Raises EngineError as :func:`engine.runtime.open` does."""

    def __init__(self, path: Path = WEIGHTS, device: str = "auto") -> None:
        self.path = path
        # Whole numbers of pixels are too fine for bf16.
        self._session = runtime.open(path, device, precision="fp32")

    def look(self, rgb: np.ndarray, crops: list[Crop]) -> list[Glance]:
        """One result for each crop."""
        found = self._session.run({"crop": np.concatenate([crop.cut(rgb) for crop in crops])})
        return [
            Glance(
                crop,
                crop.to_picture(found["landmarks68"][k].astype(np.float64)),
                crop.to_picture(found["dense"][k].astype(np.float64)),
                crop.to_picture(found["iris"][k].astype(np.float64)),
                float(found["confidence"][k, 0]),
            )
            for k, crop in enumerate(crops)
        ]

    def close(self) -> None:
        self._session.release()


# Of the mean face, the dense points that say which way is up: forehead, chin, and the outer eye corners.
_TOP, _CHIN, _RIGHT_EYE, _LEFT_EYE = 10, 152, 33, 263


def _roll(dense: np.ndarray) -> float:
    """How far a face (468, 2) is turned clockwise in the picture, radians: the mean of its axis' and its eyes' lean,
    weighted by their lengths, so that neither profile nor nod upsets it."""
    down, across = dense[_CHIN] - dense[_TOP], dense[_LEFT_EYE] - dense[_RIGHT_EYE]
    upright = np.array([down[1], -down[0]]) + across
    return float(np.arctan2(upright[1], upright[0]))
