"""Smoothing that adapts to speed: strong while the head rests, light while it moves, zero phase.

A fixed filter is either too weak for a still head, which then trembles, or too strong for a moving one.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from engine.face.maths import nearest_rotations

LIGHT, STRONG = 0.7, 2.5  # standard deviations, frames
_SLOW, _FAST = 0.004, 0.016  # rotation-matrix units a frame between which the filter fades from strong to light
_CM_TO_TURN = 0.08  # a translation of one cm counts as this much rotation


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian over the first axis; a constant stays exactly constant."""
    if len(values) < 2:
        return values
    return gaussian_filter1d(values, sigma, axis=0, mode="nearest")


def smooth_pose(rotation: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 3, 3) and translations (T, 3), each smoothed by the speed of the whole head."""
    count = len(rotation)
    if count < 4:
        return rotation, translation
    flat = rotation.reshape(count, 9)
    turn = np.linalg.norm(np.gradient(smooth(flat, 2.0), axis=0), axis=1)
    shift = np.linalg.norm(np.gradient(smooth(translation * [1, 1, 0.3], 2.0), axis=0), axis=1)
    speed = smooth(turn + _CM_TO_TURN * shift, 3.0)
    moving = np.clip((speed - _SLOW) / (_FAST - _SLOW), 0, 1)[:, None]

    def blend(values: np.ndarray) -> np.ndarray:
        return moving * smooth(values, LIGHT) + (1 - moving) * smooth(values, STRONG)

    return nearest_rotations(blend(flat).reshape(count, 3, 3)), blend(translation)


def fill_gaps(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Hold the last valid value of (T, …); leading gaps take the first valid one."""
    last = np.where(valid, np.arange(len(valid)), -1)
    last = np.maximum.accumulate(last)
    last[last < 0] = int(np.flatnonzero(valid)[0])
    return values[last]


def interpolate(values: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    """Linear over the frames that are not trusted, per column of (T, …)."""
    good = np.flatnonzero(trusted)
    if len(good) < 2:
        return values
    flat = values.reshape(len(values), -1)
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, good, column[good]) for column in flat.T], axis=1).reshape(values.shape)


def runs(mask: np.ndarray) -> list[slice]:
    """The runs of consecutive True in ``mask`` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
