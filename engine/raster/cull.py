"""Culling: leaving out triangles that cannot be seen, which are most of them at small sizes."""

from __future__ import annotations

import cv2
import numpy as np

_MARGIN = 1e-3  # pixels, for the rasterisers' own rounding
_TILE = 4  # pixels, of the depth pyramid that triangles are tested against


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


def over(corners: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Indices of the triangles, ``corners`` (2, 3, T) in pixels, whose bounding box holds the centre of a ``wanted``
    pixel (height, width)."""
    first, end = [], []
    for (a, b, c), length in zip(corners, wanted.shape[::-1], strict=True):
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        first.append(np.ceil(low - (0.5 + _MARGIN)).clip(0, length).astype(np.int32))
        end.append((np.floor(high - (0.5 - _MARGIN)) + 1).clip(0, length).astype(np.int32))
    counted = cv2.integral(wanted.astype(np.uint8)).reshape(-1)  # wanted pixels above and to the left of a corner
    (left, top), (right, bottom), stride = first, end, wanted.shape[1] + 1
    top, bottom = top * stride, bottom * stride
    inside = counted[bottom + right] - counted[top + right] - counted[bottom + left] + counted[top + left]
    return np.flatnonzero((inside > 0) & (right > left) & (bottom > top))


def hidden(corners: np.ndarray, depth: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Which triangles lie wholly behind a wall, (T,) bool: ``corners`` (2, 3, T) in pixels, ``depth`` (T,) the nearest
    of each, ``wall`` (height, width) the depth at every pixel.

    Each is compared with the farthest wall in the smallest square of 1, 2, 4 … tiles that holds its bounding box."""
    height, width = wall.shape
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    padded = np.full((rows * _TILE, columns * _TILE), -np.inf, wall.dtype)
    padded[:height, :width] = wall
    farthest = [padded.reshape(rows, _TILE, columns * _TILE).max(1).reshape(rows, columns, _TILE).max(2)]
    while 1 << len(farthest) - 1 < max(rows, columns):
        last, step = farthest[-1], 1 << len(farthest) - 1
        wider = np.pad(last, (0, step), constant_values=-np.inf)
        below, right = wider[step:], wider[:, step:]
        farthest.append(np.maximum(np.maximum(last, right[:-step]), np.maximum(below[:, :-step], below[:, step:])))
    spans, firsts = [], []
    for (a, b, c), length in zip(corners, (columns, rows), strict=True):
        first, last = (
            (bound.clip(0, length * _TILE - 1) / _TILE).astype(np.int32)
            for bound in (np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c))
        )
        spans.append(last - first + 1)
        firsts.append(first)
    size = np.maximum(*spans)
    level = np.ceil(np.log2(np.arange(max(rows, columns) + 1).clip(1))).astype(np.int32)[size]
    return depth > np.stack(farthest)[level, firsts[1], firsts[0]]


def facing(corners: np.ndarray) -> np.ndarray:
    """Which triangles, ``corners`` (2, 3, T) with y down, turn their front to the camera, (T,) bool."""
    (ax, bx, cx), (ay, by, cy) = corners
    return (bx - ax) * (cy - ay) < (by - ay) * (cx - ax)
