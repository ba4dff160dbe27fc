"""Distances between what networks see: layer by layer (LPIPS), between distributions (Fréchet), between embeddings.

Only numbers here; the networks are in :mod:`engine.evaluation.networks`. Layer features are lists of (C, h, w) float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Layers = Sequence[np.ndarray]


def layer_distance(a: Layers, b: Layers, heads: Layers | None = None) -> float:
    """LPIPS (Zhang et al. 2018, eq. 1): Σ over layers of the mean over places of Σ over channels w (â − b̂)².

    Features are scaled to unit length over their channels first. ``heads`` has the weights w (C,) of every layer, None
    is 1 everywhere.
    """
    total = 0.0
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        squares = (_unit(x) - _unit(y)) ** 2
        if heads is not None:
            squares = squares * heads[k][:, None, None]
        total += float(squares.sum(axis=0).mean())
    return total


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of the normal distributions fitted to features (N, D) and (M, D), N and M at least 2.

    |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) (Heusel et al. 2017, eq. 6), with unbiased covariances.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    first, second = (x - x.mean(axis=0) for x in (a, b))
    # With Σ = XᵀX/(n−1), the trace of (Σ₁Σ₂)^½ is the sum of the singular values of X₁X₂ᵀ: no square root of a singular
    # matrix, and never larger than the number of pictures.
    cross = first @ second.T / np.sqrt((len(a) - 1) * (len(b) - 1))
    spread = (first**2).sum() / (len(a) - 1) + (second**2).sum() / (len(b) - 1)
    mean = a.mean(axis=0) - b.mean(axis=0)
    return max(float(mean @ mean + spread - 2 * np.linalg.svd(cross, compute_uv=False).sum()), 0.0)


def split_floor(features: np.ndarray) -> float | None:
    """The Fréchet distance between every other of ``features`` (N, D) and the rest; None below four."""
    return frechet(features[::2], features[1::2]) if len(features) >= 4 else None


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Where as many pairs of one person fall below a threshold of likeness as pairs of two people reach it."""
    thresholds = np.unique(np.concatenate([same, different, [np.inf]]))
    missed = (same[:, None] < thresholds).mean(axis=0)
    alarms = (different[:, None] >= thresholds).mean(axis=0)
    crossing = np.argmin(np.abs(missed - alarms))
    return float((missed[crossing] + alarms[crossing]) / 2)


def _unit(features: np.ndarray) -> np.ndarray:
    return features / (np.sqrt((features**2).sum(axis=0, keepdims=True)) + 1e-10)
