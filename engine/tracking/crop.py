"""Square crops of a picture, and sampling as MediaPipe does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

_MARGIN = 1.5  # side of a face's crop, of the longer side of its box


@dataclass(frozen=True)
class Square:
    """A square in a picture, pixels; ``x``, ``y`` its centre, ``angle`` its rotation in radians, clockwise as seen."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @staticmethod
    def around(low: np.ndarray, high: np.ndarray, left: np.ndarray, right: np.ndarray) -> Square:
        """The crop of a face with the bounding box ``low``…``high``, level with the line from ``left`` to ``right``."""
        x, y = ((low + high) / 2).tolist()
        across = right - left
        return Square(x, y, float((high - low).max()) * _MARGIN, float(np.arctan2(across[1], across[0])))

    @property
    def box(self) -> np.ndarray:
        """(4,) left, top, right, bottom, the rotation left out."""
        half = self.side / 2
        return np.array([self.x - half, self.y - half, self.x + half, self.y + half])

    def cut(self, rgb: np.ndarray, size: int, border: int) -> np.ndarray:
        """(size, size, 3) uint8; ``border`` is OpenCV's, for what lies outside the picture."""
        linear = self._linear(size)
        shift = (self.x, self.y) - linear @ (size / 2, size / 2)
        return sample(rgb, np.column_stack([linear, shift]), size, size, border)

    def place(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points (N, 2) or (N, 3), pixels of a crop of that size → the picture's pixels."""
        plane = (points[:, :2] - size / 2) @ self._linear(size).T + (self.x, self.y)
        return np.concatenate([plane, points[:, 2:] * (self.side / size)], axis=1)

    def _linear(self, size: int) -> np.ndarray:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]]) * (self.side / size)


def sample(rgb: np.ndarray, matrix: np.ndarray, width: int, height: int, border: int) -> np.ndarray:
    """``rgb`` (H, W, 3) uint8 at ``matrix`` (2, 3) · (x, y, 1), bilinear, not averaged where it shrinks.

    The result is that of the OpenCV 4 inside the mediapipe package: corner on corner, places to 1/32 pixel, halves
    rounded up. OpenCV 5 rounds differently, so the four neighbours are mixed here.
    """
    x, y = np.arange(width), np.arange(height)[:, None]
    u, v = (np.rint((row[0] * x + (row[1] * y + row[2])) * 32).astype(np.int32) for row in matrix)
    left, top = u >> 5, v >> 5
    # All four in one look-up (2H, 2W): the right neighbours beside the left ones, the lower ones below.
    columns, rows = np.block([[left, left + 1]] * 2), np.block([[top, top], [top + 1, top + 1]])
    places = np.stack([columns, rows], axis=-1).astype(np.int16)
    no_fractions: Any = None
    near = cv2.remap(rgb, places, no_fractions, cv2.INTER_NEAREST, borderMode=border).astype(np.int32)
    right, down = (cv2.merge([place & 31] * 3) for place in (u, v))
    upper, lower = (line[:, :width] * (32 - right) + line[:, width:] * right for line in (near[:height], near[height:]))
    return np.right_shift(upper * (32 - down) + lower * down + 512, 10).astype(np.uint8)


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (…, 4) with one, each (left, top, right, bottom)."""
    sides = np.minimum(boxes[..., 2:], box[2:]) - np.maximum(boxes[..., :2], box[:2])
    shared = np.maximum(sides, 0).prod(axis=-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    return shared / np.maximum(areas + (box[2:] - box[:2]).prod() - shared, 1e-9)
