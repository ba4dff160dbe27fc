"""Linear maps that carry displacement fields from points of a source to points of ours."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree


def apply(operator: sp.csr_matrix, fields: np.ndarray) -> np.ndarray:
    """``operator`` (n, N) on fields (K, N, 3): (K, n, 3) float32."""
    count, size = fields.shape[:2]
    columns = fields.transpose(1, 0, 2).reshape(size, -1)
    return np.asarray(operator @ columns, np.float32).reshape(-1, count, 3).transpose(1, 0, 2)


def moving_affine(
    source: np.ndarray, target: np.ndarray, bandwidth: float, neighbours: int = 300, ridge: float = 1e-3
) -> sp.csr_matrix:
    """Moving least squares of first order, (n, N): reproduces affine fields, so rigid motions, but for the ``ridge``
    (cm²), which holds slopes back where targets lie to one side of the source.

    Schaefer et al., "Image deformation using moving least squares" (2006), section 2.1, with a Gaussian weight.
    """
    neighbours = min(neighbours, len(source))
    distance, index = cKDTree(source).query(target, k=neighbours)
    weight = np.exp(-((distance**2 - distance[:, :1] ** 2) / (2 * bandwidth**2)))
    basis = np.concatenate([np.ones((*index.shape, 1)), source[index] - target[:, None]], axis=2)
    moment = np.einsum("nki,nk,nkj->nij", basis, weight, basis)
    moment += np.diag([0, 1, 1, 1]) * ridge * weight.sum(axis=1)[:, None, None]
    first = np.linalg.solve(moment, np.broadcast_to(np.eye(4)[:, :1], (len(target), 4, 1)))[..., 0]
    value = np.einsum("ni,nki,nk->nk", first, basis, weight)
    rows = np.repeat(np.arange(len(target)), neighbours)
    return sp.csr_matrix((value.ravel(), (rows, index.ravel())), shape=(len(target), len(source)))


def similarity(source: np.ndarray, target: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Fields (K, N, 3) on ``source`` as their best translation and scale, on ``target``: (K, n, 3)."""
    centre = source.mean(axis=0)
    arm = source - centre
    move = fields.mean(axis=1)
    growth = np.einsum("knd,nd->k", fields, arm) / (arm**2).sum()
    return (move[:, None] + growth[:, None, None] * (target - centre)).astype(np.float32)
