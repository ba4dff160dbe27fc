"""A simple baseline: piecewise-affine warp over a Delaunay triangulation, with OpenCV.

Every landmark of the portrait follows the driver's, the border of the frame stays fixed, and every triangle has its own
affine map. It uses the same landmarks, but no face model and no matte, and fills nothing that the portrait hides.
"""

from __future__ import annotations

import cv2
import numpy as np


class PiecewiseAffine:
    """``portrait`` (H, W, 3) uint8, its landmarks (N, 2) and the driver's (N, 2) in its neutral frame."""

    def __init__(self, portrait: np.ndarray, landmarks: np.ndarray, rest: np.ndarray) -> None:
        self._portrait = portrait
        height, width = portrait.shape[:2]
        right, bottom = width - 1.0, height - 1.0
        x, y = right / 2, bottom / 2
        self._border = np.array(
            [(0, 0), (x, 0), (right, 0), (right, y), (right, bottom), (x, bottom), (0, bottom), (0, y)], np.float32
        )
        self._limit = np.array([right, bottom], np.float32)
        self._landmarks = np.clip(landmarks, 0, self._limit).astype(np.float32)
        self._rest = rest
        self._scale = float(np.linalg.norm(np.ptp(landmarks, axis=0)) / np.linalg.norm(np.ptp(rest, axis=0)))
        self._source = np.concatenate([self._landmarks, self._border])
        self._triangles = _delaunay(self._source, width, height)

    def draw(self, driving: np.ndarray) -> np.ndarray:
        """The portrait with the driver's motion since its neutral frame; ``driving`` (N, 2) pixels."""
        moved = self._landmarks + (driving - self._rest) * self._scale
        target = np.concatenate([np.clip(moved, 0, self._limit), self._border]).astype(np.float32)
        output = self._portrait.copy()
        for triangle in self._triangles:
            _move(self._portrait, output, self._source[triangle], target[triangle])
        return output


def _move(portrait: np.ndarray, output: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    left, top, width, height = cv2.boundingRect(target)
    left, top = max(left, 0), max(top, 0)
    place = output[top : top + height, left : left + width]
    if place.size == 0:
        return
    local = target - np.array([left, top], np.float32)
    # OpenCV's inverse map samples the whole portrait directly, without a crop in between.
    inverse = cv2.getAffineTransform(local, source)
    size = (place.shape[1], place.shape[0])
    moved = cv2.warpAffine(
        portrait, inverse, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
    )
    inside = np.zeros(place.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.round(local).astype(np.int32), 255)
    cv2.copyTo(moved, inside, place)


def _delaunay(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """(T, 3) indices; points that coincide after rounding share one vertex, as OpenCV's subdivision demands."""
    subdivision = cv2.Subdiv2D((0, 0, width, height))
    index: dict[tuple[float, float], int] = {}
    for i, (x, y) in enumerate(points):
        index.setdefault((float(x), float(y)), i)
        subdivision.insert((float(x), float(y)))
    corners = np.asarray(subdivision.getTriangleList()).reshape(-1, 3, 2)
    triangles = [[index.get((float(x), float(y)), -1) for x, y in corner] for corner in corners]
    return np.array([triangle for triangle in triangles if min(triangle) >= 0])
