"""Non-rigid registration: fits our sheet to the second source's head, so that both share one topology.

Landmarks and closest points pull, a Laplacian of the displacement holds the sheet smooth, and its stiffness is let
off in steps (Amberg et al., "Optimal step nonrigid ICP algorithms for surface registration", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from engine.training.face_model.closest import ClosestPoints, SurfacePoints
from engine.training.face_model.remesh import boundary_edges, edges_of
from engine.training.face_model.render import vertex_normals

STIFFNESS = (300.0, 100.0, 30.0, 10.0, 4.0, 2.0)
ROUNDS = 4  # closest-point iterations per step
REACH = (4.0, 3.0, 2.0, 1.2, 0.8, 0.6)  # cm; closest points further away are ignored


@dataclass(frozen=True)
class Registration:
    """``vertices`` (n, 3): the sheet on the target; ``where`` on it each vertex lies; ``matched`` (n,) if it does."""

    vertices: np.ndarray
    where: SurfacePoints
    matched: np.ndarray


def similarity(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and translation (3,) with ``scale · R · source + t ≈ target`` (Umeyama 1991)."""
    w = weight / weight.sum()
    a, b = source - w @ source, target - w @ target
    u, singular, vt = np.linalg.svd(b.T @ (a * w[:, None]))
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt
    scale = (singular * sign).sum() / (w @ (a**2).sum(axis=1))
    return float(scale), turn, w @ target - scale * turn @ (w @ source)


def laplacian(count: int, triangles: np.ndarray) -> sp.csr_matrix:
    """Mean of the neighbours minus self, (count, count); zero rows for vertices without triangles."""
    edges = edges_of(triangles)
    both = np.concatenate([edges, edges[:, ::-1]])
    links = sp.csr_matrix((np.ones(len(both)), both.T), shape=(count, count))
    degree = np.asarray(links.sum(axis=1)).ravel()
    return sp.diags(1 / np.maximum(degree, 1)) @ links - sp.diags((degree > 0).astype(float))


def extend(values: np.ndarray, triangles: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Values (n, D), fitted with weights ``trust`` (n,) and smoothly extended where it is 0.

    Biharmonic: a membrane would collapse cavities with a thin rim.
    """
    rough = laplacian(len(trust), triangles)
    system = sp.diags(trust + 1e-6) + rough.T @ rough
    return splu(system.tocsc()).solve((trust[:, None] * values).astype(np.float64))


def register(
    template: np.ndarray,
    triangles: np.ndarray,
    follows: np.ndarray,
    marks: sp.csr_matrix,
    mark_targets: np.ndarray,
    mark_weight: np.ndarray,
    target_vertices: np.ndarray,
    target_triangles: np.ndarray,
) -> Registration:
    """Fit ``template`` (n, 3), already aligned, to the target.

    ``follows`` (n,) are the vertices that look for closest points (the outer skin); ``marks`` (P, n) samples landmarks
    on the template and ``mark_targets`` (P, 3) is where they go.
    """
    count = len(template)
    rough = laplacian(count, triangles)
    smooth = rough.T @ rough
    surface = ClosestPoints(target_vertices, target_triangles)
    rim = np.zeros(len(target_vertices), bool)
    rim[boundary_edges(target_triangles)] = True
    at_rim = np.asarray(rim[target_triangles].any(axis=1))
    sheet = np.unique(triangles)
    moved = template.copy()
    pull = sp.diags(mark_weight)
    for stiffness, reach in zip(STIFFNESS, REACH):
        for _ in range(ROUNDS):
            near, believed = _match(surface, moved, triangles, follows, at_rim, reach)
            weight = sp.diags(believed.astype(float))
            marking = 2.0 * (stiffness >= 4) + 0.3
            system = stiffness * smooth + weight + marking * marks.T @ pull @ marks + 1e-6 * sp.eye(count)
            right = weight @ (near.position - template) + marking * marks.T @ pull @ (mark_targets - marks @ template)
            moved = template + splu(system.tocsc()).solve(np.asarray(right))
    near, believed = _match(surface, moved, triangles, follows, at_rim, 0.5)
    moved[~np.isin(np.arange(count), sheet)] = np.nan
    return Registration(moved, near, believed)


def _match(
    surface: ClosestPoints,
    moved: np.ndarray,
    triangles: np.ndarray,
    follows: np.ndarray,
    at_rim: np.ndarray,
    reach: float,
) -> tuple[SurfacePoints, np.ndarray]:
    near = surface.query(moved, vertex_normals(moved, triangles))
    return near, follows & (near.distance < reach) & ~at_rim[near.triangle]
