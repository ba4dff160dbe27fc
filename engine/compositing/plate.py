"""The background plate: what may stand behind the person."""

from __future__ import annotations

import cv2
import numpy as np

_FILL_SIDE = 512
_HOLE_GROWS = 19
_FILL_KERNELS = (5, 11, 23, 47, 95, 191, 383)


def background_plate(rgb: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The portrait with the person filled from the surroundings, nearest first (push–pull at reduced size)."""
    height, width = matte.shape
    shrink = min(1.0, _FILL_SIDE / max(height, width))
    small = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32)
    person = (cv2.resize(matte, small.shape[1::-1]) > 0.03).astype(np.uint8)
    hole = cv2.dilate(person, np.ones((_HOLE_GROWS, _HOLE_GROWS), np.uint8))
    known = (1 - hole).astype(np.float32)
    seen = small * known[..., None]
    filled, have = seen.copy(), known.copy()
    for size in _FILL_KERNELS:
        colour, weight = cv2.blur(seen, (size, size)), cv2.blur(known, (size, size))
        new = (have <= 0) & (weight > 0.02)
        filled[new] = colour[new] / weight[new][:, None]
        have[new] = 1
    filled[have <= 0] = small.reshape(-1, 3).mean(axis=0)
    filled = np.where(hole[..., None] > 0, cv2.GaussianBlur(filled, (0, 0), 2.5), filled)
    full = np.clip(cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255)
    where = cv2.GaussianBlur(cv2.resize(hole.astype(np.float32), (width, height)), (0, 0), 2)[..., None]
    return rgb * (1 - where) + full * where
