"""Leaving out triangles that cannot be drawn, which at small sizes are most: a rasteriser pays for each."""

from __future__ import annotations

import numpy as np

_MARGIN = 1e-3  # pixels, for the rasterisers' own rounding


def holding_centres(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Indices of the triangles, ``corners`` (2, 3, T) in pixels, whose bounding box holds a pixel centre of
    (height, width)."""
    kept = np.ones(corners.shape[2], bool)
    for (a, b, c), length in zip(corners, shape[::-1], strict=True):
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        first = np.maximum(np.ceil(low - (0.5 + _MARGIN)), 0)
        last = np.minimum(np.floor(high - (0.5 - _MARGIN)), length - 1)
        kept &= first <= last
    return np.flatnonzero(kept)


def facing(corners: np.ndarray) -> np.ndarray:
    """Which triangles, ``corners`` (2, 3, T) with y down, turn their front to the camera, (T,) bool."""
    (ax, bx, cx), (ay, by, cy) = corners
    return (bx - ax) * (cy - ay) < (by - ay) * (cx - ax)
