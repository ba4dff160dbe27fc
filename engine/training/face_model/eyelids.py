"""Corrects blinks so that they close: the source's leave a slit at the inner corner, and the mean's eyes differ."""

from __future__ import annotations

import numpy as np

from engine.training.face_model import registration, remesh
from engine.training.face_model.assets import AnnotatedHead
from engine.training.face_model.closest import on_segment
from engine.training.face_model.topology import Topology

_UPPER, _LOWER = (42, 43, 44, 45), (45, 46, 47, 42)  # iBUG points of the left eye's margins, inner corner first
_REACH = 1.3  # cm around the upper margin that moves along


def shut(head: AnnotatedHead, topology: Topology, mean: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Expressions (E, N, 3) with both blinks changed so that on the ``mean`` (N, 3) the margins meet at weight 1."""
    out = expression.copy()
    names = head.expression_names
    upper, lower = _margin(head, topology, _UPPER), _margin(head, topology, _LOWER)
    for side, partner in (("L", np.arange(len(mean))), ("R", topology.mirror)):
        index = names.index(f"eyeBlink_{side}")
        out[index] += _closing(topology, mean + expression[index], partner[upper], partner[lower])
    return out


def _margin(head: AnnotatedHead, topology: Topology, stops: tuple[int, ...]) -> np.ndarray:
    """Our vertices on the source's lid margin through these iBUG points, corners included."""
    edges = remesh.edges_of(head.part("skin"))
    path = remesh.trace(head.vertices, edges, head.landmarks68[list(stops)])
    a, b = head.vertices[path[:, 0]], head.vertices[path[:, 1]]
    points = topology.vertices[: topology.sheet.operator.shape[0]]
    along = on_segment(points[:, None], a, b)[..., None]
    gap = np.linalg.norm(points[:, None] - (a + along * (b - a)), axis=2).min(axis=1)
    return np.flatnonzero(gap < 1e-5)


def _closing(topology: Topology, blink: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The displacement (N, 3) that takes the upper margin onto the lower one, spread smoothly over the lid."""
    size = topology.sheet.operator.shape[0]
    by_x = lower[np.argsort(blink[lower, 0])]
    target = np.stack([np.interp(blink[upper, 0], blink[by_x, 0], blink[by_x, k]) for k in (1, 2)], axis=1)
    value = np.zeros((size, 3))
    value[upper, 1:] = target - blink[upper, 1:]
    inner = np.isin(upper, lower)
    value[upper[inner]] = 0
    distance = np.linalg.norm(blink[:size, None] - blink[upper], axis=2).min(axis=1)
    trust = np.where(distance > _REACH, 1e3, 0.0)
    trust[upper] = trust[lower] = 1e3
    out = np.zeros_like(blink, dtype=np.float32)
    out[:size] = registration.extend(value, topology.sheet.triangles, trust)
    return out
