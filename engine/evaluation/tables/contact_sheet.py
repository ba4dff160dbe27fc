"""A sheet of pictures side by side, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_ROWS, _SIDE, _CAPTION = 8, 192, 20  # of the picture; pixels


@dataclass(frozen=True)
class Tile:
    """``rgb`` (H, W, 3) uint8, None for an empty place."""

    label: str
    rgb: np.ndarray | None


class ContactSheet:
    """Blocks of rows; every row has the same labels. It shows eight blocks spread evenly over all that were added, and
    keeps at most twice as many in memory."""

    def __init__(self) -> None:
        self._blocks: list[list[list[np.ndarray]]] = []
        self._labels: list[str] = []
        self._stride, self._count = 1, 0

    def add(self, block: list[list[Tile]]) -> None:
        if self._count % self._stride == 0:
            self._labels = [tile.label for tile in block[0]]
            self._blocks.append([[_fitted(tile.rgb) for tile in row] for row in block])
            if len(self._blocks) > 2 * _ROWS:
                self._blocks, self._stride = self._blocks[::2], 2 * self._stride
        self._count += 1

    def picture(self) -> np.ndarray | None:
        """Up to eight blocks under a caption for every column, (H, W, 3) uint8; None without any."""
        if not self._blocks:
            return None
        spread = np.unique(np.linspace(0, len(self._blocks) - 1, min(_ROWS, len(self._blocks))).astype(int))
        rows = [np.hstack(row) for i in spread for row in self._blocks[i]]
        return np.vstack([np.hstack([_caption(label) for label in self._labels]), *rows])


def _caption(text: str) -> np.ndarray:
    strip = np.full((_CAPTION, _SIDE, 3), 255, np.uint8)
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]
    scale = 0.42 * min(1.0, (_SIDE - 8) / max(width, 1))
    return cv2.putText(strip, text, (4, _CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)


def _fitted(rgb: np.ndarray | None) -> np.ndarray:
    """The whole picture in a square, on white."""
    square = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    if rgb is None:
        return square
    height, width = rgb.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    top, left = (_SIDE - size[1]) // 2, (_SIDE - size[0]) // 2
    finer = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    square[top : top + size[1], left : left + size[0]] = cv2.resize(rgb, size, interpolation=finer)
    return square
