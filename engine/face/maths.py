"""Rotations and small functions shared by fitting, retargeting and rendering."""

from __future__ import annotations

import numpy as np


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """Rodrigues: axis times angle in radians (3,) → (3, 3)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-9:
        return np.eye(3) + _cross(vector)
    axis = _cross(vector / angle)
    return np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis


def vector_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """The inverse of :func:`rotation_from_vector`, for angles below π."""
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    angle = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    return axis / 2 if angle < 1e-5 else axis * angle / (2 * np.sin(angle))


def nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """Project (N, 3, 3) matrices close to rotations onto rotations."""
    u, _, vt = np.linalg.svd(matrices)
    u[..., :, 2] *= np.sign(np.linalg.det(u @ vt))[..., None]
    return u @ vt


def look(pitch: float, yaw: float) -> np.ndarray:
    """Rotation of an eyeball in the head's frame: positive yaw towards +x, positive pitch up; radians."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])


def _cross(v: np.ndarray) -> np.ndarray:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
