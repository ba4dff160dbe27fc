"""Texture coordinates of our own: the sheet as a disc, the modelled pieces in charts beside it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from engine.training.face_model import remesh
from engine.training.face_model.topology import Topology

# left, bottom, width, height of each piece's chart in the unit square; the sheet has what is left
_CHARTS = {
    "eye_left": (0.76, 0.76, 0.24, 0.24),
    "eye_right": (0.76, 0.51, 0.24, 0.24),
    "tongue": (0.76, 0.26, 0.24, 0.24),
    "gums_upper": (0.0, 0.13, 1.0, 0.11),
    "gums_lower": (0.0, 0.0, 0.72, 0.11),
    "teeth_upper": (0.73, 0.06, 0.27, 0.05),
    "teeth_lower": (0.73, 0.0, 0.27, 0.05),
}
_SHEET = (0.005, 0.255, 0.74, 0.74)


def texture_coordinates(topology: Topology) -> np.ndarray:
    """(N, 2) float32 in 0…1, v up."""
    uv = np.empty((len(topology.vertices), 2), np.float32)
    size = topology.sheet.operator.shape[0]
    uv[:size] = _placed(_disc(topology.vertices[:size], topology.sheet.triangles), _SHEET)
    for name, (where, piece) in topology.pieces.items():
        uv[where] = _placed(piece.uv, _CHARTS[name])
    return uv


def _placed(uv: np.ndarray, chart: tuple[float, float, float, float]) -> np.ndarray:
    left, bottom, width, height = chart
    return uv * [width, height] + [left, bottom]


def _disc(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Tutte's embedding, its rim the cut of the neck, radii then evened out by area; (n, 2) in 0…1, face down."""
    count = len(vertices)
    rim = np.unique(remesh.boundary_edges(triangles))
    angle = np.arctan2(vertices[rim, 0], -(vertices[rim, 2] - vertices[rim, 2].mean()))
    edges = remesh.edges_of(triangles)
    both = np.concatenate([edges, edges[:, ::-1]])
    links = sp.csr_matrix((np.ones(len(both)), both.T), shape=(count, count))
    inside = np.setdiff1d(np.arange(count), rim)
    degree = np.asarray(links.sum(axis=1)).ravel()
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    plane = np.empty((count, 2))
    plane[rim] = circle
    system = (sp.diags(degree) - links)[inside]
    plane[inside] = splu(system[:, inside].tocsc()).solve(-(system[:, rim] @ circle))
    radius = np.linalg.norm(plane, axis=1)
    area = remesh.vertex_areas(vertices, triangles)
    order = np.argsort(radius)
    grown = np.empty(count)
    grown[order] = np.sqrt(np.cumsum(area[order]) / area.sum())
    grown[rim] = 1.0
    return 0.5 + 0.5 * plane * (grown / np.maximum(radius, 1e-9))[:, None]
