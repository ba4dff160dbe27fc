"""Identity statistics: heads are sampled from both sources, mixed, and reduced to principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.training.face_model import remesh

SHARE_FIRST, SHARE_SECOND = 0.50, 0.20  # of the samples; the rest are blends of one head from each
LIMIT = 2.5  # standard deviations at which source coefficients are cut


@dataclass(frozen=True)
class Population:
    """Heads on our topology: ``mean`` (N, 3) and ``modes`` (K, N, 3), coefficients ~ N(0, 1)."""

    mean: np.ndarray
    modes: np.ndarray

    def scaled(self, spread: float) -> Population:
        """The same mean with every mode times ``spread``."""
        return Population(self.mean, self.modes * np.float32(spread))

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, N, 3) float32."""
        coefficients = rng.standard_normal((count, len(self.modes))).clip(-LIMIT, LIMIT).astype(np.float32)
        flat = coefficients @ self.modes.reshape(len(self.modes), -1)
        return flat.reshape(count, *self.mean.shape) + self.mean.astype(np.float32)


@dataclass(frozen=True)
class Statistics:
    """``mean`` (N, 3), ``components`` (K, N, 3) scaled to N(0, 1), ``share`` (K,) cumulative variance explained."""

    mean: np.ndarray
    components: np.ndarray
    share: np.ndarray


def mixture(first: Population, second: Population, rng: np.random.Generator, count: int) -> np.ndarray:
    """``count`` heads (count, N, 3): from the first, from the second, and random blends of the two."""
    one, two = int(count * SHARE_FIRST), int(count * SHARE_SECOND)
    rest = count - one - two
    blend = rng.uniform(0.15, 0.85, (rest, 1, 1)).astype(np.float32)
    # A blend of two independent heads has a smaller deviation than either: scale it back.
    stretch = 1 / np.sqrt(blend**2 + (1 - blend) ** 2)
    middle = blend * first.mean.astype(np.float32) + (1 - blend) * second.mean.astype(np.float32)
    blended = blend * first.sample(rng, rest) + (1 - blend) * second.sample(rng, rest)
    return np.concatenate([first.sample(rng, one), second.sample(rng, two), middle + stretch * (blended - middle)])


def align(heads: np.ndarray, reference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Each head (B, N, 3) moved rigidly onto the reference (N, 3) by weighted Procrustes; size is kept."""
    w = (weight / weight.sum()).astype(np.float32)
    centre = np.einsum("n,bnd->bd", w, heads)
    goal = w @ reference
    arms = heads - centre[:, None]
    u, _, vt = np.linalg.svd(np.einsum("nd,bne->bde", (reference - goal) * w[:, None], arms))
    sign = np.ones((len(heads), 3))
    sign[:, 2] = np.linalg.det(u @ vt)
    turn = (u * sign[:, None]) @ vt
    return np.einsum("bde,bne->bnd", turn.astype(np.float32), arms, optimize=True) + goal.astype(np.float32)


def importance(vertices: np.ndarray, triangles: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Weight of each vertex in the statistics (N,): full on the face, a tenth elsewhere, mean 1.

    The root of its area: by area itself, lids and lips would hardly count.
    """
    area = np.sqrt(remesh.vertex_areas(vertices, triangles))
    distance = np.linalg.norm(vertices - face, axis=1)
    weight = area * (0.1 + 0.9 / (1 + np.exp((distance - 10.5) / 1.2)))
    return weight / weight.mean() + 1e-3


def principal_components(heads: np.ndarray, mirror: np.ndarray, weight: np.ndarray, count: int) -> Statistics:
    """PCA of heads (B, N, 3) and of their mirror images in the weighted norm, so the mean is symmetric.

    A head and its mirror image span a symmetric and an antisymmetric part, which are uncorrelated over the doubled
    set; the two are decomposed apart and their components merged by variance.
    """
    flip = np.array([-1, 1, 1], np.float32)
    mirrored = heads[:, mirror] * flip
    mean = ((heads + mirrored) / 2).mean(axis=0)
    root = np.sqrt(weight).astype(np.float32)[:, None]
    even, odd = (heads + mirrored) / 2 - mean, (heads - mirrored) / 2
    found: list[tuple[float, np.ndarray]] = []
    total = 0.0
    for part in (even, odd):
        flat = (part * root).reshape(len(heads), -1)
        values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64) / len(heads))
        total += float(values.clip(0).sum())
        for k in np.argsort(-values)[:count]:
            if values[k] > 1e-10:
                # Eigenvectors of the Gram matrix weigh the samples; this scale makes coefficients N(0, 1).
                samples = (vectors[:, k] / np.sqrt(len(heads))).astype(np.float32)
                found.append((float(values[k]), np.einsum("b,bnd->nd", samples, part)))
    found.sort(key=lambda pair: -pair[0])
    kept = found[:count]
    share = np.cumsum([value for value, _ in kept]) / total
    return Statistics(mean.astype(np.float64), np.stack([mode for _, mode in kept]), share)


def fit_residual(heads: np.ndarray, statistics: Statistics, weight: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean distance in cm over the vertices ``where`` that the components leave for each head, (B,).

    A ridge of one standard deviation against .05 cm keeps coefficients plausible.
    """
    root = np.sqrt(weight[where]).astype(np.float64)[:, None]
    basis = (statistics.components[:, where] * root).reshape(len(statistics.components), -1).T.astype(np.float64)
    offset = ((heads[:, where] - statistics.mean[where]) * root).reshape(len(heads), -1).T
    system = basis.T @ basis + np.eye(basis.shape[1]) * 0.05**2
    left = (offset - basis @ np.linalg.solve(system, basis.T @ offset)).T.reshape(len(heads), -1, 3) / root
    return np.linalg.norm(left, axis=2).mean(axis=1)
