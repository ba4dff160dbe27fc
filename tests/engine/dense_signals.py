"""What a face is doing, measured from MediaPipe's dense points alone: four expression signals and three angles.

The points are (…, 468 or more, 3) in pixels, x right, y down, z negative towards the camera. No fitted model takes
part, so a system that moves a fitted head is not judged by its own fit.
"""

from __future__ import annotations

import numpy as np

EXPRESSION = ("mouth", "width", "eyes", "brow")
ANGLES = ("yaw", "pitch", "roll")
POINTS = 468

_RIGHT_OUTER, _RIGHT_INNER, _LEFT_INNER, _LEFT_OUTER = 33, 133, 362, 263  # corners of the subject's eyes
_FOREHEAD, _CHIN = 10, 152
_PAIRS = {
    "mouth": ((13, 14),),  # inner lips
    "width": ((61, 291),),  # corners of the mouth
    "eyes": ((159, 145), (386, 374)),  # upper lid to lower lid
    "brow": ((105, 159), (334, 386)),  # brow to upper lid
}


def expression(points: np.ndarray) -> np.ndarray:
    """(…, 4) distances in the order of ``EXPRESSION``, in units of the distance between the outer eye corners."""
    unit = _distance(points, _RIGHT_OUTER, _LEFT_OUTER)
    signals = [np.mean([_distance(points, a, b) for a, b in _PAIRS[name]], axis=0) / unit for name in EXPRESSION]
    return np.stack(signals, axis=-1)


def pose(points: np.ndarray) -> np.ndarray:
    """(…, 3) degrees in the order of ``ANGLES``; positive: turned to image right, chin up, tilted clockwise.

    The head's x axis runs through the eyes' corners, its y axis from forehead to chin made perpendicular to x.
    """
    across = points[..., _LEFT_OUTER, :3] + points[..., _LEFT_INNER, :3]
    x = _unit(across - points[..., _RIGHT_OUTER, :3] - points[..., _RIGHT_INNER, :3])
    down = points[..., _CHIN, :3] - points[..., _FOREHEAD, :3]
    y = _unit(down - x * np.sum(down * x, axis=-1, keepdims=True))
    z = np.cross(x, y)  # away from the camera
    yaw = np.arctan2(x[..., 2], np.hypot(x[..., 0], x[..., 1]))
    pitch = np.arctan2(z[..., 1], z[..., 2])
    roll = np.arctan2(x[..., 1], x[..., 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=-1))


def diagonal(points: np.ndarray) -> np.ndarray:
    """(…) diagonal of the points' bounding box in the image, pixels."""
    return np.linalg.norm(np.ptp(points[..., :POINTS, :2], axis=-2), axis=-1)


def _distance(points: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(points[..., a, :3] - points[..., b, :3], axis=-1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
