"""Eyes, lid margins and ambient occlusion of the face model's mean head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from safetensors import safe_open

from engine.face.mesh import Normals
from engine.face.model import FaceModel
from engine.raster import opencv
from engine.training.face_model import remesh

_DIRECTIONS = 96
_LIDS = {  # iBUG points from corner to corner: the subject's left eye is 42…47
    "left": ((42, 43, 44, 45), (42, 47, 46, 45)),
    "right": ((39, 38, 37, 36), (39, 40, 41, 36)),
}


@dataclass(frozen=True, eq=False)
class Eye:
    """One eye of the mean head: ``vertices`` its ball's, ``centre`` (3,), ``radius`` cm, ``limbus`` cm from the axis;
    ``upper`` and ``lower`` the vertices along the lid margins, inner corner first."""

    vertices: np.ndarray
    centre: np.ndarray
    radius: float
    limbus: float
    upper: np.ndarray
    lower: np.ndarray


@dataclass(frozen=True, eq=False)
class Anatomy:
    """``eyes`` are the subject's left and right."""

    eyes: tuple[Eye, Eye]


def of(model: FaceModel) -> Anatomy:
    """The anatomy of a model, from its file's eye tensors and its mean."""
    with safe_open(str(model.path), framework="numpy") as file:
        centres = file.get_tensor("eye_centre")
        limbus = [file.get_tensor(f"iris_{side}") for side in _LIDS]
    eyes = []
    for k, side in enumerate(_LIDS):
        ball = model.vertices_of(f"eye_{side}")
        arm = model.vertices[ball] - centres[k]
        radius = float(np.median(np.linalg.norm(arm[arm[:, 2] < 0], axis=1)))
        ring = np.linalg.norm((model.vertices[limbus[k]] - centres[k])[:, :2], axis=1)
        upper, lower = (_margin(model, stops) for stops in _LIDS[side])
        eyes.append(Eye(ball, centres[k], radius, float(ring.mean()), upper, lower))
    return Anatomy((eyes[0], eyes[1]))


def _margin(model: FaceModel, stops: tuple[int, ...]) -> np.ndarray:
    """Vertices along the mesh through these iBUG points, in order."""
    edges = remesh.edges_of(model.triangles[model.triangles_of("skin")])
    marks = model.landmarks68
    near = [int(marks.vertices[p, marks.barycentric[p].argmax()]) for p in stops]
    path: list[int] = [near[0]]
    for start, end in zip(near[:-1], near[1:]):
        legs = remesh.trace(model.vertices, edges, np.array([start, end]))
        path += _chain(legs, start)
    return np.array(path)


def _chain(edges: np.ndarray, start: int) -> list[int]:
    """The vertices after ``start`` along a path given as edges (E, 2) in any order."""
    left, here, out = [tuple(edge) for edge in edges.tolist()], start, []
    while left:
        edge = next(edge for edge in left if here in edge)
        left.remove(edge)
        here = edge[1] if edge[0] == here else edge[0]
        out.append(here)
    return out


def occlusion(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The cosine-weighted share of the sky that each vertex sees, (N,) 0…1, from depth maps on all sides."""
    normal = Normals(triangles, len(vertices))(vertices)
    step = np.arange(_DIRECTIONS) + 0.5
    height, turn = 1 - 2 * step / _DIRECTIONS, step * np.pi * (1 + 5**0.5)
    flat = np.sqrt(1 - height**2)
    size, reach = 256, float(np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).max())
    seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-3)
    for direction in np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], axis=1):
        aside = np.cross([0.0, 1.0, 0.0], direction)
        aside /= np.linalg.norm(aside)
        local = (vertices - vertices.mean(axis=0)) @ np.stack([aside, np.cross(direction, aside), direction]).T
        pixels = (local[:, :2] / reach * [0.5, -0.5] + 0.5) * size
        depth = 2 * reach - local[:, 2]
        nearest = opencv.depth_image(pixels.astype(np.float32), depth.astype(np.float32), triangles, (size, size))
        column, row = pixels.astype(int).clip(0, size - 1).T
        weight = (normal @ direction).clip(0)
        seen += weight * (depth < nearest[row, column] + 0.25)
        total += weight
    return (seen / total).astype(np.float32)
