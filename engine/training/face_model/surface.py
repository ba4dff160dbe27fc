"""The sheet of skin, mouth cavity and eye sockets of our own topology, sampled from the first source's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from engine.training.face_model import remesh
from engine.training.face_model.assets import SURFACE_PARTS, AnnotatedHead

PART_NAMES = {"skin": "skin", "mouth": "mouth", "sock": "socket"}
# iBUG points on the +x half; from corner to corner, so that shortest paths between them follow the contours.
_LID = (42, 43, 44, 45, 46, 47, 42)
_LIPS = ((51, 52, 53, 54, 55, 56, 57), (62, 63, 64, 65, 66))


@dataclass(frozen=True)
class Sizing:
    """Edge length in cm: ``feature + slope · distance`` for each feature, capped per region."""

    lid: tuple[float, float] = (0.15, 0.12)
    lip: tuple[float, float] = (0.19, 0.15)
    nose: tuple[float, float] = (0.27, 0.14)
    brow: tuple[float, float] = (0.38, 0.16)
    jaw: tuple[float, float] = (0.75, 0.12)
    ear: tuple[float, float] = (0.42, 0.25)
    cavity: float = 0.75
    scalp: float = 2.0

    def field(self, head: AnnotatedHead, points: np.ndarray, in_cavity: np.ndarray) -> np.ndarray:
        """(n,) wanted edge lengths at ``points`` (n, 3)."""
        marks = head.vertices[head.landmarks68]
        # The ear stands out furthest from the midplane at the height of the eyes and nose.
        skin = head.vertices[np.unique(head.part("skin"))]
        level = (skin[:, 1] > marks[33, 1]) & (skin[:, 1] < marks[27, 1])
        ear = skin[level][np.argsort(-skin[level, 0])[:40]]
        features = (
            (self.lid, marks[36:48]),
            (self.lip, marks[48:68]),
            (self.nose, marks[27:36]),
            (self.brow, marks[17:27]),
            (self.jaw, marks[0:17]),
            (self.ear, ear),
        )
        size = np.full(len(points), self.scalp)
        for (least, slope), at in features:
            size = np.minimum(size, least + slope * cKDTree(_between(at)).query(points)[0])
        return np.where(in_cavity, np.minimum(size * 1.6, self.cavity), size)


def _between(points: np.ndarray) -> np.ndarray:
    """Points and, where successive ones are close, points on the way from one to the next."""
    start, end = points[:-1], points[1:]
    near = np.linalg.norm(end - start, axis=1) < 2.5
    steps = np.linspace(0, 1, 8)[:, None, None]
    return np.concatenate([points, ((1 - steps) * start[near] + steps * end[near]).reshape(-1, 3)])


@dataclass(frozen=True)
class Surface:
    """``operator`` (n, N) samples the source's vertex fields; ``part`` (t,) names; ``mirror`` (n,) the partner."""

    operator: sp.csr_matrix
    triangles: np.ndarray
    part: np.ndarray
    mirror: np.ndarray


def build(head: AnnotatedHead, sizing: Sizing, seed: int) -> Surface:
    """Sample and triangulate the +x half of the sheet and mirror it."""
    chosen = np.isin(head.triangle_part, SURFACE_PARTS)
    half = chosen & (head.vertices[head.triangles, 0].min(axis=1) > -1e-3)
    triangles, part = head.triangles[half], head.triangle_part[half]
    fine = remesh.refine(head.vertices, triangles, _features(head, triangles, part), times=2)
    fine_part = part[fine.source_triangle]
    cavity = np.ones(len(fine.vertices), bool)
    cavity[fine.triangles[fine_part == "skin"]] = False
    size = sizing.field(head, fine.vertices, cavity)
    seeds, cell = remesh.cluster(fine, size, seed)
    faces, where = remesh.dual(fine, cell)
    points = fine.vertices[seeds]
    face_part = _face_parts(fine, fine_part, seeds, faces, where)
    key = np.sort(cell[fine.feature_edges], axis=1)
    keep = {(int(a), int(b)) for a, b in key if a != b}
    blocks = [remesh.flip_to_delaunay(points, faces[face_part == p], keep) for p in SURFACE_PARTS]
    labels = np.concatenate([np.full(len(b), PART_NAMES[p], dtype="<U16") for p, b in zip(SURFACE_PARTS, blocks)])
    return _mirrored(head, fine.operator[seeds], np.concatenate(blocks), labels)


def _features(head: AnnotatedHead, triangles: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Edges that the new mesh has to follow: its boundary, the borders of parts, lid margin and lip contours."""
    found = [remesh.boundary_edges(triangles)]
    found += [remesh.boundary_edges(triangles[part == name]) for name in SURFACE_PARTS]
    skin = remesh.edges_of(triangles[part == "skin"])
    for stops in (_LID, *_LIPS):
        found.append(remesh.trace(head.vertices, skin, head.landmarks68[list(stops)]))
    return np.unique(np.concatenate(found), axis=0)


def _face_parts(
    fine: remesh.FineSurface, fine_part: np.ndarray, seeds: np.ndarray, faces: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """The part of each face: that of a corner inside one part, else that of the fine triangle at its centre."""
    member = np.stack([np.zeros(len(fine.vertices), bool)] * len(SURFACE_PARTS), axis=1)
    for k, name in enumerate(SURFACE_PARTS):
        member[fine.triangles[fine_part == name].ravel(), k] = True
    corner = member[seeds][faces]
    single = corner.sum(axis=2) == 1
    votes = (corner & single[..., None]).sum(axis=1)
    names = np.array(SURFACE_PARTS)
    return np.where(votes.any(axis=1), names[votes.argmax(axis=1)], fine_part[where])


def _mirrored(head: AnnotatedHead, operator: sp.csr_matrix, faces: np.ndarray, part: np.ndarray) -> Surface:
    partner = np.arange(len(head.vertices))
    sheet = np.unique(head.part(*SURFACE_PARTS))
    partner[sheet] = sheet[remesh.mirror_map(head.vertices[sheet])]
    swap = sp.csr_matrix((np.ones(len(partner)), (np.arange(len(partner)), partner)))
    count = operator.shape[0]
    middle = abs(operator @ head.vertices[:, 0]) < 1e-3
    image = np.arange(count)
    image[~middle] = count + np.arange((~middle).sum())
    mirror = np.concatenate([image, np.flatnonzero(~middle)])
    both = sp.vstack([operator, (operator @ swap)[~middle]], format="csr")
    triangles = np.concatenate([faces, image[faces][:, ::-1]])
    return Surface(both, triangles, np.concatenate([part, part]), mirror)
