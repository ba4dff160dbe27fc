"""Soft maps of the regions of a face in the studio's layout, for painting any skin."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.face.maths import smoothstep
from engine.face.model import FaceModel
from engine.training.studio.body.layout import Layout
from engine.training.studio.stage.scene import Parsing

_DENSE = 13 / 512  # texels to a cm on the face, by the chart's size
# Hairline: height above the eyes' middle, cm, by how far forward it is (z, cm); temples come back, ears stay free.
_HAIRLINE = (
    (-9.0, -6.0, -4.0, -2.0, -0.5, 0.3, 1.2, 2.4, 3.4, 4.6, 6.2, 8.0, 9.5),
    (-9.5, -9.0, -7.0, -5.0, -3.0, 0.5, 0.8, -1.2, 1.0, 3.4, 5.0, 6.3, 6.7),
)


@dataclass(frozen=True, eq=False)
class Regions:
    """Maps (S, S) float32 0…1; ``positions`` (S, S, 3) cm on the mean head, ``marks`` (68, 2) in texels, ``scale``
    texels to a cm."""

    positions: np.ndarray
    marks: np.ndarray
    scale: float
    lips: np.ndarray
    lip_line: np.ndarray
    scalp: np.ndarray
    beard: np.ndarray
    moustache: np.ndarray
    cheeks: np.ndarray
    nose: np.ndarray
    lids: np.ndarray
    lid_line: np.ndarray
    under_eyes: np.ndarray
    face: np.ndarray
    ears: np.ndarray

    @property
    def size(self) -> int:
        return len(self.lips)

    def curve(self, points: np.ndarray, width: float) -> tuple[tuple[slice, slice], np.ndarray]:
        """A soft stroke, 0…1, through ``points`` (P, 2) in texels, ``width`` cm: the part of a map, its values."""
        reach = int(3 * width * self.scale) + 4
        low = np.clip(np.floor(points.min(axis=0)).astype(int) - reach, 0, self.size - 1)
        high = np.clip(np.ceil(points.max(axis=0)).astype(int) + reach, low + 1, self.size)
        canvas = np.zeros((high[1] - low[1], high[0] - low[0]), np.float32)
        points = points - low
        thick = max(1, int(round(width * self.scale)))
        bends = np.round(_spline(points, False) * 16).astype(np.int32)
        cv2.polylines(canvas, [bends], False, 1.0, thick, cv2.LINE_AA, 4)
        where = slice(low[1], high[1]), slice(low[0], high[0])
        return where, cv2.GaussianBlur(canvas, (0, 0), max(0.5, width * self.scale * 0.45))

    def shave(self, albedo: np.ndarray) -> np.ndarray:
        """Removes painted hair from the scalp of a skin (S, S, 3) uint8; it takes the forehead's colour."""
        middle = np.median(albedo[self.face > 0.5], axis=0)
        grain = albedo - cv2.GaussianBlur(albedo.astype(np.float32), (0, 0), 0.25 * self.scale)
        bare = 0.93 * middle + 0.4 * grain
        hidden = cv2.GaussianBlur(self.scalp, (0, 0), 0.8 * self.scale)[..., None]
        hidden = np.clip(hidden * 1.6, 0, 1)
        return (albedo * (1 - hidden) + bare * hidden).clip(0, 255).astype(np.uint8)


_CACHE: dict[tuple[str, int], Regions] = {}


def of(layout: Layout, model: FaceModel, size: int) -> Regions:
    """The regions of a model's layout at one size, cached per process."""
    key = model.sha256, size
    if key not in _CACHE:
        _CACHE[key] = _regions(layout, model, size)
    return _CACHE[key]


def _regions(layout: Layout, model: FaceModel, size: int) -> Regions:
    positions = layout.positions(size)
    marks3 = model.landmarks68.at(model.vertices)
    marks = layout.chart(marks3) * size
    scale = _DENSE * size
    x, y, z = np.moveaxis(positions, -1, 0)
    eyes = marks3[36:48].mean(axis=0)

    def soft(mask: np.ndarray, cm: float) -> np.ndarray:
        return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), cm * scale)

    def polygon(points: np.ndarray, cm: float) -> np.ndarray:
        canvas = np.zeros((size, size), np.float32)
        cv2.fillPoly(canvas, [np.round(_spline(points, True) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        return soft(canvas, cm)

    def about(points: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """Round patches about places on the head, ``radius`` (3,) cm along each axis."""
        gap = [(((positions - p) / radius) ** 2).sum(axis=-1) for p in points]
        return np.exp(-np.min(gap, axis=0)).astype(np.float32)

    lips = polygon(marks[48:60], 0.05)
    height = np.interp(z, *_HAIRLINE)
    scalp = smoothstep((y - eyes[1] - height) / 1.2 + 0.5)
    ears = soft(_ears(layout, model, size), 0.15)
    scalp = (scalp * (1 - np.clip(2 * soft(ears, 0.3), 0, 1))).astype(np.float32)
    mouth = marks3[48:60].mean(axis=0)
    nose_foot = marks3[33]
    corner = abs(marks3[54, 0])
    # The beard's edge runs from the ear's foot to beside the mouth's corner and up to the nose; below is the throat.
    edge = np.interp(abs(x), [0, corner * 0.7, corner * 1.15, 4.2, 6.0, 7.3], np.array([0, 0, -0.6, 0.6, 2.6, 5.5]))
    jaw = smoothstep((nose_foot[1] - 0.3 + edge - y) / 0.9 + 0.5) * smoothstep((z - 1.2) / 1.5 + 0.5)
    throat = smoothstep((y - marks3[8, 1] + 2.6) / 2.5 + 0.5)
    beard = (jaw * throat * (1 - soft(lips > 0.3, 0.12))).astype(np.float32)
    moustache = beard * smoothstep((y - mouth[1]) / 0.6 + 0.5) * (abs(x) < 1.3 * corner)
    nose = about(marks3[[30, 33]], np.array([1.6, 1.6, 2.0]))
    cheek = np.array([[4.4, eyes[1] - 3.3, 8.0], [-4.4, eyes[1] - 3.3, 8.0]])
    lids = np.maximum(*(polygon(_grown(marks[s], 1.5), 0.25) for s in (slice(36, 42), slice(42, 48))))
    eye_hole = np.maximum(*(polygon(marks[s], 0.06) for s in (slice(36, 42), slice(42, 48))))
    grown = np.maximum(*(polygon(_grown(marks[s], 1.12), 0.04) for s in (slice(36, 42), slice(42, 48))))
    below = np.concatenate([marks3[[41, 40]].mean(axis=0)[None], marks3[[46, 47]].mean(axis=0)[None]]) - [0, 0.9, 0]
    away = np.linalg.norm(positions - [0, eyes[1] - 3, 9], axis=-1)
    return Regions(
        positions=positions,
        marks=marks,
        scale=scale,
        lips=lips,
        lip_line=_line(marks, size, scale),
        scalp=scalp,
        beard=beard,
        moustache=moustache.astype(np.float32),
        cheeks=about(cheek, np.array([1.9, 1.7, 3.0])),
        nose=nose,
        lids=lids,
        lid_line=np.clip(grown - 0.3 * eye_hole, 0, 1),
        under_eyes=about(below, np.array([1.5, 0.6, 2.0])),
        face=smoothstep((8.5 - away) / 2 + 0.5).astype(np.float32),
        ears=ears,
    )


def skin_classes(model: FaceModel) -> np.ndarray:
    """Of each skin triangle, the class of ``scene.Parsing``: face and scalp are skin, then ears and the neck."""
    marks = model.landmarks68.at(model.vertices)
    x, y, z = model.vertices[model.triangles[model.triangles_of("skin")]].mean(axis=1).T
    chin, nose = marks[8], marks[33]
    classes = np.full(len(x), Parsing.SKIN, np.uint8)
    under = chin[1] + 0.2 + np.interp(z, [-4, 1.5, 5, chin[2] - 1], [3.5, 3.0, 0.8, -0.6])
    classes[y < under] = Parsing.NECK
    ear = (abs(x) > abs(marks[0, 0]) + 0.15) & (z < marks[1, 2] + 0.3) & (abs(y - nose[1] - 2.2) < 4)
    classes[ear] = Parsing.EAR
    return classes


def _ears(layout: Layout, model: FaceModel, size: int) -> np.ndarray:
    """(size, size) 0 or 1: the chart of the ears."""
    corner = model.vertices[model.triangles[model.triangles_of("skin")]][skin_classes(model) == Parsing.EAR]
    return layout.paint(corner, corner, size)[1].astype(np.float32)


def _line(marks: np.ndarray, size: int, scale: float) -> np.ndarray:
    """The line where the lips meet."""
    canvas = np.zeros((size, size), np.float32)
    points = np.concatenate([marks[48:49], (marks[61:64] + marks[[67, 66, 65]]) / 2, marks[54:55]])
    cv2.polylines(canvas, [np.round(_spline(points, False) * 16).astype(np.int32)], False, 1.0, 1, cv2.LINE_AA, 4)
    return np.clip(cv2.GaussianBlur(canvas, (0, 0), 0.07 * scale) * 2, 0, 1)


def _grown(points: np.ndarray, factor: float) -> np.ndarray:
    centre = points.mean(axis=0)
    return centre + factor * (points - centre)


def _spline(points: np.ndarray, closed: bool, steps: int = 8) -> np.ndarray:
    """Catmull-Rom curve through ``points`` (P, 2)."""
    ends = (points[-1:], points[:2]) if closed else (2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1])
    p = np.concatenate([ends[0], points, ends[1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    out = curve.transpose(1, 0, 2).reshape(-1, 2)
    return out if closed else np.concatenate([out, points[-1:]])
