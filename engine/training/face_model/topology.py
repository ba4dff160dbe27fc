"""Our head: the sheet and the modelled pieces in one mesh, and how fields of the first source are transferred to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.training.face_model import anatomy, carry, surface
from engine.training.face_model.assets import AnnotatedHead

PARTS = ("skin", "mouth", "socket", "gums", "teeth_upper", "teeth_lower", "tongue", "eye_left", "eye_right")
TEETH_BANDWIDTH, TONGUE_BANDWIDTH = 1.5, 3.0  # cm, of the affine fields that move them


@dataclass(frozen=True)
class Topology:
    """``vertices`` (N, 3) at the first source's mean; ``triangle_part`` (T,) indexes PARTS; the sheet comes first.

    ``mirror`` (N,) is each vertex's partner across x = 0; ``iris`` (2, S) and ``pupil`` (2,) list the left eye first.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    triangle_part: np.ndarray
    sheet: surface.Surface
    pieces: dict[str, tuple[slice, anatomy.Piece]]
    mirror: np.ndarray

    @property
    def iris(self) -> np.ndarray:
        return np.stack([self._eye(side)[1].iris + self._eye(side)[0].start for side in ("left", "right")])

    @property
    def pupil(self) -> np.ndarray:
        return np.array([self._eye(side)[1].pupil + self._eye(side)[0].start for side in ("left", "right")])

    @property
    def eye_centre(self) -> np.ndarray:
        return np.stack([self._eye(side)[1].centre for side in ("left", "right")])

    def _eye(self, side: str) -> tuple[slice, anatomy.Eyeball]:
        where, piece = self.pieces[f"eye_{side}"]
        assert isinstance(piece, anatomy.Eyeball)
        return where, piece

    def part_triangles(self, *names: str) -> np.ndarray:
        return self.triangles[np.isin(self.triangle_part, [PARTS.index(name) for name in names])]

    def part_vertices(self, *names: str) -> np.ndarray:
        return np.unique(self.part_triangles(*names))

    def carry(self, head: AnnotatedHead, fields: np.ndarray, move_eyes: bool) -> np.ndarray:
        """Displacements (K, n, 3) on the source's vertices → (K, N, 3) float32 on ours."""
        out = np.zeros((len(fields), *self.vertices.shape), np.float32)
        out[:, : self.sheet.operator.shape[0]] = carry.apply(self.sheet.operator, fields)
        upper, lower = _jaws(head)
        for name, (where, piece) in self.pieces.items():
            if name.startswith("eye"):
                if move_eyes:
                    points = np.unique(head.part("eyeL" if name == "eye_left" else "eyeR"))
                    out[:, where] = carry.similarity(head.vertices[points], piece.vertices, fields[:, points])
                continue
            points = upper if name.endswith("upper") else lower
            width = TONGUE_BANDWIDTH if name == "tongue" else TEETH_BANDWIDTH
            operator = carry.moving_affine(head.vertices[points], piece.vertices, width)
            out[:, where] = carry.apply(operator, fields[:, points])
        return out


def _jaws(head: AnnotatedHead) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the source's upper and lower teeth."""
    points = np.unique(head.part("teeth"))
    jaw = np.abs(head.expression[head.expression_names.index("jawOpen")][points]).max(axis=1)
    return points[jaw < 0.5], points[jaw >= 0.5]


def build(head: AnnotatedHead, sizing: surface.Sizing, seed: int) -> Topology:
    """Sheet, gums, teeth, tongue and eyes, in that order."""
    sheet = surface.build(head, sizing, seed)
    upper, lower = anatomy.dental_arch(head, upper=True), anatomy.dental_arch(head, upper=False)
    left = anatomy.eyeball(head.vertices[np.unique(head.part("eyeL"))])
    modelled: dict[str, tuple[str, anatomy.Piece]] = {
        "gums_upper": ("gums", anatomy.gums(upper)),
        "gums_lower": ("gums", anatomy.gums(lower)),
        "teeth_upper": ("teeth_upper", anatomy.teeth(upper)),
        "teeth_lower": ("teeth_lower", anatomy.teeth(lower)),
        "tongue": ("tongue", anatomy.tongue(lower)),
        "eye_left": ("eye_left", left),
        "eye_right": ("eye_right", left.mirrored()),
    }
    vertices = [sheet.operator @ head.vertices]
    triangles = [sheet.triangles]
    part = [np.array([PARTS.index(name) for name in sheet.part])]
    pieces, start = {}, len(vertices[0])
    for name, (kind, piece) in modelled.items():
        pieces[name] = (slice(start, start + len(piece.vertices)), piece)
        vertices.append(piece.vertices)
        triangles.append(piece.triangles + start)
        part.append(np.full(len(piece.triangles), PARTS.index(kind)))
        start += len(piece.vertices)
    everything = np.concatenate(vertices)
    return Topology(
        everything,
        np.concatenate(triangles),
        np.concatenate(part).astype(np.uint8),
        sheet,
        pieces,
        _partners(everything, sheet, pieces),
    )


def _partners(
    vertices: np.ndarray, sheet: surface.Surface, pieces: dict[str, tuple[slice, anatomy.Piece]]
) -> np.ndarray:
    """The vertex across x = 0 of every vertex; the two eyeballs are each other's."""
    mirror = np.arange(len(vertices))
    mirror[: len(sheet.mirror)] = sheet.mirror
    for name, (where, piece) in pieces.items():
        other = pieces[{"eye_left": "eye_right", "eye_right": "eye_left"}.get(name, name)]
        mirror[where] = other[0].start + anatomy.nearest(other[1].vertices, piece.vertices * [-1, 1, 1])
    return mirror
