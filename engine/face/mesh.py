"""Small mesh tools over fixed triangles: vertex normals and neighbour averages, as sparse products."""

from __future__ import annotations

import numpy as np
from scipy import sparse


class Normals:
    """Unit vertex normals of a mesh whose triangles (T, 3) do not change; N vertices."""

    def __init__(self, triangles: np.ndarray, count: int) -> None:
        self._triangles = triangles
        corners = triangles.reshape(-1)
        faces = np.repeat(np.arange(len(triangles)), 3)
        ones = np.ones(len(corners), np.float32)
        self._incidence = sparse.csr_matrix((ones, (corners, faces)), (count, len(triangles)))

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """(N, 3) → (N, 3); zero where a vertex has no triangle."""
        a, b, c = (vertices[self._triangles[:, k]] for k in range(3))
        normals = self._incidence @ _cross(b - a, c - a)
        return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)


def neighbour_average(triangles: np.ndarray, count: int) -> sparse.csr_matrix:
    """(N, N) matrix whose product with a field is the mean over each vertex' neighbours."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sparse.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (count, count))
    adjacency.data[:] = 1
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1)
    return sparse.diags(1 / degree) @ adjacency


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """np.cross without its overhead."""
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=1,
    )
