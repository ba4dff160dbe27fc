"""Shoulders and chest below the face model's neck, as cross-sections of an average body."""

from __future__ import annotations

import numpy as np

# By height: half the width, its front and its back in z, cm.
_HEIGHT = (-52.0, -30.0, -25.0, -21.0, -18.5, -16.5, -15.0, -13.5, -12.0, -10.5, -9.0, -7.0)
_HALF_WIDTH = (21.5, 22.0, 21.8, 21.2, 20.3, 18.7, 16.2, 12.4, 8.8, 6.7, 5.9, 5.7)
_FRONT = (11.5, 10.5, 9.0, 7.2, 5.9, 5.2, 4.7, 4.4, 4.3, 4.6, 5.2, 6.2)
_BACK = (-11.5, -11.8, -11.5, -10.8, -10.2, -9.7, -9.2, -8.6, -7.8, -7.0, -6.3, -5.6)


def bust(height: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Points (…, 3) of the bust at heights and azimuths (0 is front, to the subject's left positive)."""
    half, front, back = (np.interp(height, _HEIGHT, values) for values in (_HALF_WIDTH, _FRONT, _BACK))
    power = 2 / np.interp(height, [-20, -14], [2.7, 2.0])
    s, c = np.sin(around), np.cos(around)
    middle, deep = (front + back) / 2, (front - back) / 2
    x, z = half * np.sign(s) * np.abs(s) ** power, middle + deep * np.sign(c) * np.abs(c) ** power
    return np.stack([x, height, z], axis=-1)


def outside_bust(points: np.ndarray, off: np.ndarray | float) -> np.ndarray:
    """Points (…, 3) moved outwards until they are ``off`` cm outside the bust, at the same height."""
    x, y, z = np.moveaxis(points, -1, 0)
    half, front, back = (np.interp(y, _HEIGHT, values) + off for values in (_HALF_WIDTH, _FRONT, _BACK))
    back = back - 2 * np.asarray(off)
    power = np.interp(y, [-20, -14], [2.7, 2.0])
    middle, deep = (front + back) / 2, (front - back) / 2
    inside = (np.abs(x) / half) ** power + (np.abs(z - middle) / deep) ** power
    grow = np.where(y < -7.5, np.maximum(np.maximum(inside, 0.05) ** (-1 / power), 1), 1)
    return np.stack([x * grow, y, middle + (z - middle) * grow], axis=-1)
