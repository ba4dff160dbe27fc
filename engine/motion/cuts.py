"""Cuts in footage: most of what has texture in one picture is not where it was in the picture before."""

from __future__ import annotations

import cv2
import numpy as np

_SIDE, _TILE = 128, 16  # pixels of the small picture and of its tiles
_TEXTURE = 4.0  # grey levels of standard deviation from which a tile has texture
_ALIKE = 0.5  # correlation below which a tile has changed; independent of brightness, so that a flash is no cut
_CUT = 0.7  # share of tiles that changed
_SUDDEN = 2.0  # times the share of the frame before: a fast pan changes every frame


class PictureChange:
    """What changed between the last two pictures that were looked at."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._textured = self._changed = np.zeros((_SIDE // _TILE, _SIDE // _TILE), bool)
        self._share = self._share_before = 0.0

    @property
    def is_cut(self) -> bool:
        return self._share > _CUT and self._share > _SUDDEN * self._share_before

    def look(self, rgb: np.ndarray) -> None:
        """The next picture, (H, W, 3) uint8."""
        small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        tiles = _tiles(small.astype(np.float64))
        if self._before is not None:
            self._share_before = self._share
            self._textured, self._changed = _compared(self._before, tiles)
            self._share = _share(self._textured, self._changed)
        self._before = tiles

    def within(self, low: np.ndarray, high: np.ndarray) -> float:
        """Share of the tiles between two corners that changed; the corners are (2,) shares of width and height."""
        count = _SIDE // _TILE
        first = np.clip(np.floor(low * count).astype(int), 0, count - 1)
        last = np.clip(np.ceil(high * count).astype(int), first + 1, count)
        part = slice(first[1], last[1]), slice(first[0], last[0])
        return _share(self._textured[part], self._changed[part])


def _tiles(small: np.ndarray) -> np.ndarray:
    """(rows, columns, pixels), each less its mean."""
    count = _SIDE // _TILE
    tiles = small.reshape(count, _TILE, count, _TILE).swapaxes(1, 2).reshape(count, count, -1)
    return tiles - tiles.mean(axis=-1, keepdims=True)


def _compared(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which tiles have texture, and which of them changed."""
    spread_a, spread_b = a.std(axis=-1), b.std(axis=-1)
    textured = np.maximum(spread_a, spread_b) > _TEXTURE
    correlation = (a * b).mean(axis=-1) / np.maximum(spread_a * spread_b, 1)
    return textured, textured & (correlation < _ALIKE)


def _share(textured: np.ndarray, changed: np.ndarray) -> float:
    return float(changed.sum() / max(int(textured.sum()), 1))
