"""What a face model alone determines: regions, weights, and the spread of landmark offsets over the skin."""

from __future__ import annotations

import numpy as np

from engine.face.maths import smoothstep
from engine.face.mesh import Normals, neighbour_average
from engine.face.model import FaceModel

_KERNELS_CM = (0.9, 0.35)  # broad first, then a narrow one for its residual at lips and lids
_RIDGE = 0.15
_OPEN_JAW = 0.45  # distances are measured with the mouth open, so that the lips do not fuse
INNER = ("mouth", "gums", "teeth_upper", "teeth_lower", "tongue", "eye_left", "eye_right", "socket")


class Anatomy:
    """Regions of a model's surface; lengths are for a face of 11 cm from eyes to chin and scale with the model's.

    ``skin`` (N,) bool; ``face_weight`` (N,) 1 on the face, where detector points fix the surface, 0 beyond;
    ``head_weight`` (N,) 1 on the head, fading to 0 down the neck; ``delicate`` (N,) bool: lids and lips, for which the
    mesh is too coarse to test visibility; ``upper_jaw`` and ``lower_jaw`` vertex indices of teeth and gums; ``unit`` cm
    per nominal cm; ``drawn`` the triangles that are rasterised.
    """

    def __init__(self, model: FaceModel, dense: bool) -> None:
        self.model = model
        count = len(model.vertices)
        marks = model.landmarks68.at(model.vertices)
        eyes, chin = marks[36:48].mean(axis=0), marks[8]
        self.unit = float(eyes[1] - chin[1]) / 11
        self.chin = chin
        self.skin = np.zeros(count, bool)
        self.skin[model.vertices_of("skin")] = True
        self.skin_triangles = model.triangles[model.triangles_of("skin")]
        opened = model.deform(model.vertices, _jaw(model))
        anchors = model.dense if dense else model.landmarks68
        points = anchors.at(opened)
        distance = np.linalg.norm(opened[:, None] - points[None], axis=2)
        spread = _spread_matrix(distance, points, self.unit * (1 if dense else 1.6))
        spread[~self.skin] = 0
        self._moved = np.flatnonzero(np.abs(spread).max(axis=1) > 1e-3)
        self._spread = np.ascontiguousarray(spread[self._moved], np.float32)
        closest = distance.min(axis=1) / self.unit
        height = (model.vertices[:, 1] - chin[1]) / self.unit
        self.face_weight = np.where(self.skin, smoothstep(1 - (closest - 0.3) / 1.2), 1).astype(np.float32)
        self.head_weight = np.where(self.skin, smoothstep((height + 4.9) / 5), 1).astype(np.float32)
        self.height = height
        from_eyes = (model.vertices[:, 1] - eyes[1]) / self.unit
        behind = (eyes[2] - model.vertices[:, 2]) / self.unit
        self.scalp = self.skin & (closest > 0.8) & (from_eyes + behind > 6)
        self.crown = self.scalp & (from_eyes > 5)
        self.neck_weight = np.where(self.skin, smoothstep((height + 7) / 3), 0).astype(np.float32)
        soft = np.linalg.norm(model.vertices[:, None] - marks[None, 36:], axis=2).min(axis=1)
        self.delicate = soft < 0.9 * self.unit
        wide = np.maximum(np.where(self.skin, smoothstep(1 - (closest - 0.6) / 2.4), 1), self.head_weight)
        self.upper_jaw, self.lower_jaw = self._jaws()
        inner = model.triangles_of(*INNER)
        skin_ids = model.triangles_of("skin")
        self.drawn = np.sort(np.concatenate([skin_ids[wide[self.skin_triangles].max(axis=1) > 0], inner]))
        self.drawn_triangles = model.triangles[self.drawn]
        self.drawn_part = model.triangle_part[self.drawn]
        self.normals = Normals(self.skin_triangles, count)
        self.neighbours = neighbour_average(self.skin_triangles, count)

    def _jaws(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices of the upper and of the lower teeth with their gums; the lower ones move with the jaw."""
        model = self.model
        teeth_and_gums = model.vertices_of("teeth_upper", "teeth_lower", "gums")
        carried = np.linalg.norm(model.deform(model.vertices, _jaw(model)) - model.vertices, axis=1) > 0.1 * self.unit
        return teeth_and_gums[~carried[teeth_and_gums]], teeth_and_gums[carried[teeth_and_gums]]

    def continue_harmonically(self, field: np.ndarray, known: np.ndarray, pinned: np.ndarray, rounds: int) -> None:
        """Fill ``field`` (N, 3) float32 in place over the skin between the ``known`` (N,) vertices and the ``pinned``
        ones, which stay as they are: ``rounds`` averages of neighbours."""
        free = np.flatnonzero(self.skin & ~known & ~pinned)
        average = self.neighbours[free].astype(np.float32)
        pulled, among = average[:, known] @ field[known], average[:, free]
        pull = np.zeros_like(pulled)
        for _ in range(rounds):
            pull = among @ pull + pulled
        field[free] = pull

    def spread(self, offsets: np.ndarray) -> np.ndarray:
        """Offsets at the detector's points (P, 3) as a smooth field over the skin (N, 3), by kernel ridge."""
        field = np.zeros((len(self.skin), 3), np.float32)
        field[self._moved] = self._spread @ offsets.astype(np.float32)
        return field


def _spread_matrix(distance: np.ndarray, points: np.ndarray, unit: float) -> np.ndarray:
    """(N, P) kernel ridge, two scales, from offsets at ``points`` (P, 3) to vertices at ``distance`` (N, P)."""
    between = np.linalg.norm(points[:, None] - points[None], axis=2)
    unexplained = np.eye(len(points))
    spread = np.zeros_like(distance)
    for kernel in _KERNELS_CM:
        at_points = np.exp(-((between / (kernel * unit)) ** 2) / 2)
        solve = np.linalg.inv(at_points + _RIDGE * np.eye(len(points))) @ unexplained
        spread += np.exp(-((distance / (kernel * unit)) ** 2) / 2) @ solve
        unexplained = unexplained - at_points @ solve
    return spread


_CACHE: dict[tuple[str, bool], Anatomy] = {}


def anatomy(model: FaceModel, dense: bool) -> Anatomy:
    """The anatomy of a model, computed once a process."""
    key = (model.sha256, dense)
    if key not in _CACHE:
        _CACHE[key] = Anatomy(model, dense)
    return _CACHE[key]


def _jaw(model: FaceModel) -> np.ndarray:
    weights = np.zeros(len(model.expression_names))
    if "jawOpen" in model.expression_names:
        weights[model.expression_index("jawOpen")] = _OPEN_JAW
    return weights
