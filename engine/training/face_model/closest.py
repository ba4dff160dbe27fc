"""Closest points on a triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class SurfacePoints:
    """``triangle`` (P,) indices, ``barycentric`` (P, 3), ``position`` (P, 3), ``distance`` (P,) cm."""

    triangle: np.ndarray
    barycentric: np.ndarray
    position: np.ndarray
    distance: np.ndarray

    def operator(self, triangles: np.ndarray, count: int) -> sp.csr_matrix:
        """(P, count): samples a field on the mesh's ``count`` vertices at these points."""
        rows = np.repeat(np.arange(len(self.triangle)), 3)
        return sp.csr_matrix(
            (self.barycentric.ravel(), (rows, triangles[self.triangle].ravel())), shape=(len(self.triangle), count)
        )


def on_segment(point: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Fraction 0…1 along a→b that is closest to the point, all (…, 3)."""
    ab = b - a
    return np.clip(((point - a) * ab).sum(-1) / np.maximum((ab * ab).sum(-1), 1e-12), 0, 1)


def barycentric_of(point: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Barycentrics (…, 3) of the closest point of each triangle ``corner`` (…, 3, 3) to ``point`` (…, 3)."""
    a, b, c = corner[..., 0, :], corner[..., 1, :], corner[..., 2, :]
    ab, ac, ap = b - a, c - a, point - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-12)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], axis=-1)
    zero = np.zeros_like(v)
    on_ab, on_bc, on_ca = on_segment(point, a, b), on_segment(point, b, c), on_segment(point, c, a)
    rims = np.stack(
        [
            np.stack([1 - on_ab, on_ab, zero], -1),
            np.stack([zero, 1 - on_bc, on_bc], -1),
            np.stack([on_ca, zero, 1 - on_ca], -1),
        ],
        axis=-2,
    )
    gap = np.linalg.norm(np.einsum("...ek,...kd->...ed", rims, corner) - point[..., None, :], axis=-1)
    rim = np.take_along_axis(rims, gap.argmin(-1)[..., None, None], axis=-2)[..., 0, :]
    return np.where(inside.min(axis=-1, keepdims=True) >= 0, inside, rim)


class ClosestPoints:
    """Queries against one mesh; with normals given, only triangles that face the same way are considered."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray) -> None:
        self._corner = vertices[triangles]
        normal = np.cross(self._corner[:, 1] - self._corner[:, 0], self._corner[:, 2] - self._corner[:, 0])
        self.normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        a, b, c = self._corner.transpose(1, 0, 2)
        probes = (
            np.stack([a + b + c, 4 * a + b + c, a + 4 * b + c, a + b + 4 * c]) / np.array([3, 6, 6, 6])[:, None, None]
        )
        self._tree = cKDTree(probes.reshape(-1, 3))
        self._count = len(triangles)

    def query(self, points: np.ndarray, normals: np.ndarray | None = None, candidates: int = 40) -> SurfacePoints:
        """The closest surface point of each of ``points`` (P, 3); at infinite distance if no normal agrees."""
        _, index = self._tree.query(points, k=min(candidates, 4 * self._count))
        index = index % self._count
        corner = self._corner[index]
        weight = barycentric_of(points[:, None], corner)
        position = np.einsum("pck,pckd->pcd", weight, corner)
        distance = np.linalg.norm(position - points[:, None], axis=2)
        if normals is not None:
            agree = np.einsum("pcd,pd->pc", self.normal[index], normals) > 0.5
            distance = np.where(agree, distance, np.inf)
        best = distance.argmin(axis=1)
        row = np.arange(len(points))
        return SurfacePoints(index[row, best], weight[row, best], position[row, best], distance[row, best])
