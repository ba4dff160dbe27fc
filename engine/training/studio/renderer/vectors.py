"""Operations on vectors of fragments, channels first (3, P), and on values per scene of a batch."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

_PIECE = 1 << 14  # values per piece: several such tensors fit a processor's cache


def piecewise(work: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """``work`` on tensors (…, P), done piece by piece on a CPU, so that intermediate results stay in its cache."""
    if values[0].is_cuda or values[0].shape[-1] <= _PIECE:
        return work(*values)
    pieces = zip(*(value.split(_PIECE, -1) for value in values), strict=True)
    return torch.cat([work(*piece) for piece in pieces], -1)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def indices(mask: Tensor) -> Tensor:
    """Indices where a mask (P,) is true, ascending."""
    if mask.is_cuda:
        return mask.nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(mask.numpy()))  # several times as fast as torch on a CPU


def channels_first(rows: Tensor) -> Tensor:
    """Rows (P, C) → contiguous (C, P)."""
    if rows.is_cuda or not len(rows):
        return rows.t().contiguous()
    return torch.from_numpy(cv2.transpose(rows.numpy())).view(rows.shape[1], len(rows))  # as above


def weighted(rows: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """Rows (N, C) summed at ``corners`` (P, 3) by ``weights`` (P, 3): (P, C). ``embedding_bag`` is the
    only operation of torch that gathers and sums at once."""
    return torch.nn.functional.embedding_bag(corners, rows, mode="sum", per_sample_weights=weights)


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
