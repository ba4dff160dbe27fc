"""Vectors of many fragments, channels first (3, P), and what differs from scene to scene of a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def indices(mask: Tensor) -> Tensor:
    """Where a mask (P,) is true, ascending."""
    if mask.is_cuda:
        return mask.nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(mask.numpy()))  # several times as fast as torch's on a CPU


def unit(vector: Tensor) -> Tensor:
    return vector * torch.rsqrt(dot(vector, vector).clamp(min=1e-12))


def of_scene(values: Tensor, scene: Tensor) -> Tensor:
    """Vectors of scenes (B, C) at fragments of ``scene`` (P,): (C, P), or (C, 1) for a batch of one."""
    return values[0][:, None] if len(values) == 1 else values.t().index_select(1, scene)


def transformed(matrices: Tensor, vectors: Tensor, scene: Tensor) -> Tensor:
    """The matrices of scenes (B, D, C) applied to vectors (C, P) of ``scene`` (P,): (D, P)."""
    if len(matrices) == 1:
        return matrices[0] @ vectors
    return torch.einsum("pdc,cp->dp", matrices.index_select(0, scene), vectors)
