"""The portrait's own upper row of teeth, where it shows one: its pixels, moved with the row's edge."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.mouth.opening import Lips, Opening
from engine.motion.mouth_sight import SeenMouth, classified

_LEAST_GAP, _LEAST_TEETH, _LEAST_HEIGHT = 0.02, 0.12, 4.0  # lip gap; share of it; px: less of a row is not moved
_CLOSE = 0.012  # of the face's diagonal: gaps between teeth belong to the row
_SOFT = 0.003  # likewise, sigma of its outline
_LONGER = 1.5  # times as high at most, where more of the row is to be seen
_UNSHADED = 0.65  # of its light stays in the deepest shade of the lips


class OwnTeeth:
    """The row between the ``opening`` of a portrait's lips, down to the share ``upper`` of it."""

    def __init__(self, rgb: np.ndarray, opening: Opening, mouth: SeenMouth, upper: float) -> None:
        """``rgb`` (H, W, 3) uint8; ``opening`` has one sample a pixel of it."""
        self._opening, self._rgb = opening, rgb[opening.box]
        self._diagonal = opening.lips.diagonal
        self._height = upper * opening.lips.gap * self._diagonal
        soft = cv2.GaussianBlur(self._rgb, (0, 0), 0.8).astype(np.float32)
        tooth, _, _ = classified(soft, mouth.skin, mouth.lip)
        size = max(3, int(_CLOSE * self._diagonal)) | 1
        row = (tooth * opening.mask > 0.35).astype(np.uint8)
        row = cv2.morphologyEx(row, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
        row = cv2.erode(row, np.ones((3, 3), np.uint8)).astype(np.float32)
        row *= opening.down < upper  # not the lower row
        self._row = cv2.GaussianBlur(row, (0, 0), max(0.8, _SOFT * self._diagonal))

    @classmethod
    def shown(cls, rgb: np.ndarray, dense: np.ndarray | None, mouth: SeenMouth, upper: float) -> OwnTeeth | None:
        """None where the portrait, seen with ``dense`` landmarks (468, 3) px, shows too little of a row."""
        if dense is None or mouth.gap < _LEAST_GAP or mouth.tooth.mean() < _LEAST_TEETH:
            return None
        opening = Opening.between(Lips.of(dense[:, :2], np.zeros(len(dense))), rgb.shape[:2], fine=1)
        own = opening and cls(rgb, opening, mouth, upper)
        return own if own and own._height >= _LEAST_HEIGHT else None

    def draw(self, picture: np.ndarray, opening: Opening, upper: float, light: np.ndarray) -> None:
        """Paint the row into ``picture`` (h, w, 3), the samples of ``opening``, in place, its edge at the share
        ``upper`` of the gap; ``light`` (h, w) 0…1 is the lips' shade."""
        lips, own = opening.lips, self._opening
        scale = self._diagonal / max(lips.diagonal, 1e-6)
        height = upper * lips.gap * self._diagonal
        longer = np.clip(height / self._height, 1, _LONGER)
        along, below = np.moveaxis((opening.places - lips.upper[5]) @ opening.axes.T * scale, -1, 0)
        across = self._height + (below - height) / longer
        there = own.lips.upper[5] + along[..., None] * own.axes[0] + across[..., None] * own.axes[1] - own.origin
        x, y = np.moveaxis((there - 0.5).astype(np.float32), -1, 0)
        share = cv2.remap(self._row, x, y, cv2.INTER_LINEAR)[..., None]
        colour = cv2.remap(self._rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        picture += share * (colour * (_UNSHADED + (1 - _UNSHADED) * light)[..., None] - picture)
