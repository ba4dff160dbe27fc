"""Hair and ears as a relief of triangles that turns with the head and fades into the body's soft motion."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

from engine.compositing.layers.fill import ellipse
from engine.compositing.layers.relief import Relief
from engine.face.camera import Camera, Pose
from engine.geometry.source_geometry import SourceGeometry
from engine.raster.opencv import Fragments, rasterise

_CELL = 3  # flow pixels
_MARGIN = 6  # flow pixels beyond the head that the relief covers
_BEHIND = 0.5  # cm that the shell lies behind the mesh
_DECAY = 2.0  # nominal cm over which the mesh's deformation fades into the hair


class Shell:
    """The shell of one portrait. ``pixels`` (M, 2) of its vertices in the portrait; ``triangles`` (T, 3)."""

    def __init__(
        self, source: SourceGeometry, weights: np.ndarray, relief: Relief, hole: np.ndarray, follows: np.ndarray
    ) -> None:
        """``weights`` (N,) of the head; ``hole`` and ``follows`` (h, w) as :class:`Body` and :class:`Relief` say."""
        self._source = source
        covered = cv2.dilate(hole.astype(np.uint8), ellipse(_MARGIN))[::_CELL, ::_CELL] > 0
        number = np.arange(covered.size).reshape(covered.shape)
        whole = covered[:-1, :-1] | covered[1:, :-1] | covered[:-1, 1:] | covered[1:, 1:]
        a, b, c, d = (part[whole] for part in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
        triangles = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
        used, self.triangles = np.unique(triangles, return_inverse=True)
        self.triangles = self.triangles.reshape(-1, 3)
        rows, columns = (used // covered.shape[1] * _CELL, used % covered.shape[1] * _CELL)
        self.pixels = relief.pixels[rows, columns].astype(np.float32)
        self._points = relief.points[rows, columns]
        self._rigid = follows[rows, columns][:, None]
        anatomy = source.anatomy
        firm = np.flatnonzero(anatomy.skin & (weights > 0.5) & (source.hidden_hard == 0))
        distance, nearest = cKDTree(source.vertices[firm]).query(self._points, k=4)
        share = 1 / (distance + 0.05) ** 2
        share /= share.sum(axis=1, keepdims=True)
        self._nearest = firm[nearest]
        self._share = (share * np.exp(-((distance[:, :1] / (_DECAY * anatomy.unit)) ** 2))).astype(np.float32)

    def draw(
        self, vertices: np.ndarray, pose: Pose, camera: Camera, soft: np.ndarray, scale: float, shape: tuple[int, int]
    ) -> Fragments:
        """Fragments at flow resolution of a head with ``vertices`` (N, 3) so posed; ``soft`` (M, 2) is where the body's
        motion alone puts the shell's vertices."""
        moved = np.einsum("mk,mkd->md", self._share, (vertices - self._source.vertices)[self._nearest])
        turned, depth = camera.project(pose.apply(self._points + moved))
        pixels = turned * self._rigid + soft * (1 - self._rigid)
        return rasterise(
            (pixels * scale).astype(np.float32), (depth + _BEHIND).astype(np.float32), self.triangles, shape
        )
