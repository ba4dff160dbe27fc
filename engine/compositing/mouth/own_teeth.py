"""The portrait's own upper row of teeth, where it shows one: its pixels, moved with the row's edge."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.mouth.opening import Opening
from engine.motion.mouth_sight import LOWER_LIP, UPPER_LIP, SeenMouth, classified

_LEAST_GAP, _LEAST_TEETH, _LEAST_HEIGHT = 0.02, 0.12, 4.0  # lip gap; share of it; px: less of a row is not moved
_CLOSE = 0.012  # of the face's diagonal: gaps between teeth belong to the row
_SOFT = 0.003  # likewise, sigma of its outline
_UNSHADED = 0.65  # of its light stays in the deepest shade of the lips


class OwnTeeth:
    """A row ``height`` px high below the middle of the upper lip."""

    def __init__(self, rgb: np.ndarray, dense: np.ndarray, mouth: SeenMouth, upper: float) -> None:
        """``rgb`` (H, W, 3) uint8 with dense landmarks (468, 3) px; ``upper`` is the row's share of the gap."""
        points = dense[:, :2]
        self._diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
        self._lip, along = points[13], points[UPPER_LIP[-1]] - points[UPPER_LIP[0]]
        along = along / max(float(np.linalg.norm(along)), 1e-6)
        self._axes = np.stack([along, [-along[1], along[0]]])
        self._height = upper * mouth.gap * self._diagonal
        outline = points[[*UPPER_LIP, *LOWER_LIP[-2:0:-1]]]
        low = np.clip(np.floor(outline.min(axis=0)).astype(int) - 4, 0, np.array(rgb.shape[1::-1]) - 1)
        high = np.maximum(np.ceil(outline.max(axis=0)).astype(int) + 5, low + 1)
        self._origin, self._rgb = low, rgb[low[1] : high[1], low[0] : high[0]]
        self._row = self._outlined(outline - low, mouth)

    @classmethod
    def shown(cls, rgb: np.ndarray, dense: np.ndarray | None, mouth: SeenMouth, upper: float) -> OwnTeeth | None:
        """None where the portrait shows too little of a row."""
        if dense is None or mouth.gap < _LEAST_GAP or mouth.tooth.mean() < _LEAST_TEETH:
            return None
        own = cls(rgb, dense, mouth, upper)
        return own if own._height >= _LEAST_HEIGHT else None

    def draw(self, picture: np.ndarray, opening: Opening, upper: float, light: np.ndarray) -> None:
        """Paint the row into ``picture`` (h, w, 3), the samples of ``opening``, in place, its edge at the share
        ``upper`` of the gap; ``light`` (h, w) 0…1 is the lips' shade."""
        lips = opening.lips
        scale = self._diagonal / max(lips.diagonal, 1e-6)
        edge = upper * lips.gap * lips.diagonal
        away = (opening.places - lips.upper[5]) @ opening.axes.T
        across = self._height - (edge - away[..., 1]) * scale
        there = self._lip + (away[..., :1] * scale) * self._axes[0] + across[..., None] * self._axes[1] - self._origin
        x, y = np.moveaxis((there - 0.5).astype(np.float32), -1, 0)
        share = cv2.remap(self._row, x, y, cv2.INTER_LINEAR)[..., None]
        own = cv2.remap(self._rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        picture += share * (own * (_UNSHADED + (1 - _UNSHADED) * light)[..., None] - picture)

    def _outlined(self, outline: np.ndarray, mouth: SeenMouth) -> np.ndarray:
        """(h, w) float32, 1 on the row."""
        inside = np.zeros(self._rgb.shape[:2], np.float32)
        cv2.fillPoly(inside, [np.round(outline * 16 - 8).astype(np.int32)], 1, shift=4)
        soft = cv2.GaussianBlur(self._rgb, (0, 0), 0.8).astype(np.float32)
        tooth, _, _ = classified(soft, mouth.skin, mouth.lip)
        size = max(3, int(_CLOSE * self._diagonal)) | 1
        row = cv2.morphologyEx(
            (tooth * inside > 0.35).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((size, size), np.uint8)
        )
        row = cv2.erode(row, np.ones((3, 3), np.uint8)).astype(np.float32)
        rows, columns = np.indices(row.shape)
        below = (np.stack([columns, rows], axis=-1) + 0.5 + self._origin - self._lip) @ self._axes[1]
        row *= below < self._height + 1  # not the lower row
        return cv2.GaussianBlur(row, (0, 0), max(0.8, _SOFT * self._diagonal))
