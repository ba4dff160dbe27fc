"""Procedural eyeballs, teeth, gums and tongue, placed by the first source's eyes and dental arches.

Each builder returns a :class:`Piece` in the frame of the source's mean head (cm, y up, face towards +z).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from engine.training.face_model.assets import AnnotatedHead

IRIS_RADIUS = 0.59  # cm; a visible iris is 11.7 mm wide
CORNEA_RISE = 0.12  # cm by which the cornea protrudes from the sphere
SEGMENTS = 24  # of the eyeball, so of the iris ring


@dataclass(frozen=True)
class Piece:
    """A mesh of its own: ``vertices`` (n, 3), ``triangles`` (t, 3) counter-clockwise from outside, ``uv`` (n, 2)."""

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray

    @staticmethod
    def join(pieces: list[Piece]) -> Piece:
        """The pieces in one vertex list, with their texture charts side by side."""
        offsets = np.cumsum([0] + [len(p.vertices) for p in pieces])
        triangles = [p.triangles + offset for p, offset in zip(pieces, offsets)]
        cell = 1 / len(pieces)
        uv = [(p.uv + [k, 0]) * [cell, 1] for k, p in enumerate(pieces)]
        return Piece(np.concatenate([p.vertices for p in pieces]), np.concatenate(triangles), np.concatenate(uv))


def sweep(rings: np.ndarray, closed: bool = True, first_cap: bool = False, last_cap: bool = False) -> Piece:
    """Skin over ``rings`` (R, S, 3); a cap is a fan around the mean of its ring.

    Closed rings are charted as concentric circles, the last one innermost; open ones as a grid.
    """
    count, size = rings.shape[:2]
    step = size if closed else size - 1
    here = np.arange(step)
    there = (here + 1) % size
    faces = []
    for r in range(count - 1):
        a, b, c, d = r * size + here, r * size + there, (r + 1) * size + here, (r + 1) * size + there
        faces += [np.stack([a, b, d], 1), np.stack([a, d, c], 1)]
    vertices, uv = rings.reshape(-1, 3), _ring_chart(count, size, closed)
    for wanted, ring, order in ((first_cap, 0, -1), (last_cap, count - 1, 1)):
        if wanted:
            fan = np.stack([np.full(step, len(vertices)), ring * size + here, ring * size + there], 1)
            faces.append(fan[:, ::order])
            vertices = np.concatenate([vertices, rings[ring].mean(axis=0, keepdims=True)])
            uv = np.concatenate([uv, [[0.5, 0.5] if order == 1 else [0.5, 1.0]]])
    return Piece(vertices, np.concatenate(faces), uv)


def _ring_chart(count: int, size: int, closed: bool) -> np.ndarray:
    """(count · size, 2) in 0…1."""
    ring, step = np.divmod(np.arange(count * size), size)
    if not closed:
        return np.stack([ring / (count - 1), step / (size - 1)], axis=1)
    radius, angle = 0.48 * (count - ring) / count, step * 2 * np.pi / size
    return 0.5 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def nearest(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Index of the point closest to each query."""
    return cKDTree(points).query(queries)[1]


@dataclass(frozen=True)
class Eyeball(Piece):
    """A sphere about ``centre`` whose pole looks along +z; ``iris`` (SEGMENTS,) is its limbus, ``pupil`` the pole."""

    centre: np.ndarray
    iris: np.ndarray
    pupil: int

    def mirrored(self) -> Eyeball:
        """The other eye: mirrored in x = 0, its iris still counter-clockwise from +x."""
        flip = np.array([-1.0, 1, 1])
        iris = np.roll(self.iris[::-1], SEGMENTS // 2 + 1)
        uv = self.uv * [-1, 1] + [1, 0]
        return Eyeball(self.vertices * flip, self.triangles[:, ::-1], uv, self.centre * flip, iris, self.pupil)


def eyeball(source_points: np.ndarray) -> Eyeball:
    """Fit a sphere to the back of the source's eyeball (its front bulges) and build rings around the optical axis."""
    back = source_points[source_points[:, 2] < np.percentile(source_points[:, 2], 70)]
    system = np.c_[2 * back, np.ones(len(back))]
    x, *_ = np.linalg.lstsq(system, (back**2).sum(axis=1), rcond=None)
    centre, radius = x[:3], float(np.sqrt(x[3] + x[:3] @ x[:3]))
    limbus = np.arcsin(IRIS_RADIUS / radius)
    polar = np.concatenate([limbus * np.array([0.4, 0.7, 1.0, 1.3]), np.radians([45, 62, 82, 105, 140])])
    around = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
    rise = CORNEA_RISE * np.clip(1 - (np.sin(polar) / (1.3 * np.sin(limbus))) ** 2, 0, None) ** 2
    reach = (radius * np.sin(polar))[:, None]
    rings = np.stack(
        [
            reach * np.cos(around),
            reach * np.sin(around),
            np.broadcast_to((radius * np.cos(polar) + rise)[:, None], (len(polar), SEGMENTS)),
        ],
        axis=-1,
    )
    ball = sweep(rings[:, ::-1], first_cap=True, last_cap=True)
    vertices, triangles = ball.vertices + centre, ball.triangles
    pupil = len(polar) * SEGMENTS
    vertices[pupil] = centre + [0, 0, radius + CORNEA_RISE]
    vertices[pupil + 1] = centre - [0, 0, radius]
    # Rings are clockwise for the winding; the iris is listed counter-clockwise from the image's right.
    iris = (2 * SEGMENTS + np.arange(SEGMENTS))[::-1]
    return Eyeball(vertices, triangles, ball.uv, centre, iris, pupil)


@dataclass(frozen=True)
class Tooth:
    """Frame of one tooth: biting ``edge`` centre, unit ``out`` (to the lip), ``up`` (to the root), sizes in cm."""

    edge: np.ndarray
    out: np.ndarray
    up: np.ndarray
    width: float
    depth: float
    angle: float  # along the arch, 0 at the midline, positive to +x

    @property
    def along(self) -> np.ndarray:
        return np.cross(self.up, self.out)

    def at(self, along: np.ndarray, out: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Local cm → head space, (…, 3)."""
        return self.edge + along[..., None] * self.along + out[..., None] * self.out + up[..., None] * self.up


def dental_arch(head: AnnotatedHead, upper: bool) -> list[Tooth]:
    """The source's teeth of one jaw from −x to +x, without wisdom teeth, as frames and sizes."""
    faces = head.part("teeth")
    count = len(head.vertices)
    links = sp.coo_matrix((np.ones(len(faces) * 3), (faces.ravel(), np.roll(faces, 1, axis=1).ravel())), (count, count))
    _, label = connected_components(links, directed=False)
    groups = [np.flatnonzero(label == k) for k in np.unique(label[faces])]
    jaw = np.abs(head.expression[head.expression_names.index("jawOpen")]).max(axis=1)
    groups = [g for g in groups if (jaw[g].mean() < 0.5) == upper]
    pivot = np.array([0.0, 0.0, 5.0])
    sign = 1.0 if upper else -1.0
    teeth = []
    for group in groups:
        points = head.vertices[group]
        centre = points.mean(axis=0)
        out = (centre - pivot) * [1.0, 0, 0.55]
        out[0] *= 1.15
        height = sign * points[:, 1]
        crown = points[height < height.min() + 1.0]
        edge = points[height < height.min() + 0.22].mean(axis=0)
        edge[1] = sign * height.min()
        up = points[(height > height.min() + 0.7) & (height < height.min() + 1.2)].mean(axis=0) - edge
        up /= np.linalg.norm(up)
        out -= up * (out @ up)
        out /= np.linalg.norm(out)
        along = np.cross(up, out)
        across = crown @ along
        edge += along * ((across.min() + across.max()) / 2 - edge @ along)
        angle = float(np.arctan2(centre[0], centre[2] - pivot[2]))
        teeth.append(Tooth(edge, out, up, float(np.ptp(across)), float(np.ptp(crown @ out)), angle))
    teeth.sort(key=lambda tooth: tooth.angle)
    return [_symmetric(one, other) for one, other in zip(teeth, teeth[::-1])][1:-1]


def _symmetric(one: Tooth, other: Tooth) -> Tooth:
    """The mean of a tooth and the mirror image of its partner."""
    flip = np.array([-1.0, 1, 1])
    out, up = one.out + flip * other.out, one.up + flip * other.up
    up /= np.linalg.norm(up)
    out -= up * (out @ up)
    return Tooth(
        (one.edge + flip * other.edge) / 2,
        out / np.linalg.norm(out),
        up,
        (one.width + other.width) / 2,
        (one.depth + other.depth) / 2,
        (one.angle - other.angle) / 2,
    )


def _profile(rank: int) -> np.ndarray:
    """Rows (height cm, width, depth, edge shift) from biting edge to root for the ``rank``-th tooth from the middle."""
    if rank <= 1:  # incisors: a chisel
        return np.array([[0.0, 0.84, 0.18], [0.13, 0.97, 0.28], [0.75, 0.98, 0.72], [1.45, 0.66, 0.80]])
    if rank == 2:  # canine: a blunt point
        return np.array([[-0.03, 0.34, 0.20], [0.24, 0.90, 0.48], [0.75, 0.97, 0.80], [1.45, 0.66, 0.80]])
    return np.array([[0.04, 0.62, 0.55], [0.22, 0.92, 0.88], [1.05, 0.80, 0.86]])  # premolars and molars


def tooth(frame: Tooth, rank: int) -> Piece:
    """A crown with a short root; incisors taper towards the edge from behind."""
    profile, segments = _profile(rank), 10 if rank <= 2 else 8
    around = (np.arange(segments) + 0.5) * 2 * np.pi / segments
    square = 2 / 2.8
    c, s = np.cos(around), np.sin(around)
    cos, sin = np.sign(c) * abs(c) ** square, np.sign(s) * abs(s) ** square
    half_width, half_depth = frame.width / 2 * 1.04, frame.depth / 2  # neighbours touch
    rings = []
    for height, wide, deep in profile:
        lean = half_depth * (0.8 - deep) * (0.55 if rank <= 2 else 0)
        rings.append(frame.at(half_width * wide * cos, half_depth * deep * sin + lean, np.full(segments, height)))
    return sweep(np.stack(rings)[:, ::-1], first_cap=True)


def teeth(frames: list[Tooth]) -> Piece:
    """All crowns of a jaw."""
    middle = (len(frames) - 1) / 2
    return Piece.join([tooth(frame, int(abs(k - middle))) for k, frame in enumerate(frames)])


GUM_LINE = 1.0  # cm from the biting edge of the front teeth


def gums(frames: list[Tooth]) -> Piece:
    """A ridge along the arch with a scalloped edge: two cross-sections per tooth, its middle and the gap after it."""
    middle = (len(frames) - 1) / 2
    stations: list[tuple[Tooth, float]] = []
    for k, frame in enumerate(frames):
        stations.append((frame, _gum_line(abs(k - middle))))
        if k + 1 < len(frames):
            other = frames[k + 1]
            out, up = frame.out + other.out, frame.up + other.up
            up /= np.linalg.norm(up)
            out -= up * (out @ up)
            between = Tooth(
                (frame.edge + other.edge) / 2,
                out / np.linalg.norm(out),
                up,
                (frame.width + other.width) / 2,
                (frame.depth + other.depth) / 2 * 0.9,
                (frame.angle + other.angle) / 2,
            )
            stations.append((between, _gum_line(abs(k + 0.5 - middle)) - 0.26))
    rings = []
    for frame, line in stations:
        d = frame.depth / 2
        out = np.array([d + 0.02, d + 0.10, d + 0.03, d * 0.55, -d * 0.55, -d - 0.04, -d - 0.16])
        up = np.array([2.1, line + 0.5, line, line - 0.07, line - 0.07, line, 1.9])
        rings.append(frame.at(np.zeros(7), out, up))
    if frames[0].up[1] < 0:  # the lower jaw has the opposite winding about its own up
        rings.reverse()
    return sweep(np.stack(rings), closed=False)


def _gum_line(rank: float) -> float:
    return GUM_LINE - 0.06 * min(max(rank - 1, 0), 4)


def tongue(lower: list[Tooth]) -> Piece:
    """A flattened tube on the floor of the mouth, its tip behind the lower incisors."""
    inner = np.array([frame.edge - frame.out * frame.depth * 0.75 for frame in lower])
    right = inner[inner[:, 0] > 0]
    order = np.argsort(right[:, 2])
    level = float(np.mean([frame.edge[1] for frame in lower]))
    tip = float(inner[:, 2].max()) - 0.1
    z = np.concatenate([np.linspace(1.5, tip - 1.3, 7), tip - np.array([0.85, 0.5, 0.25, 0.08])])
    blunt = np.sqrt(1 - ((z - tip + 2.2) / 2.2).clip(0) ** 2)  # an ellipse in plan
    half = np.minimum(np.interp(z, right[order, 2], right[order, 0]) * 0.9, 1.75 * blunt)
    thick = np.interp(z, [1.5, 4.5, tip - 1.6, tip - 0.3, tip], [1.5, 1.35, 0.8, 0.45, 0.2]) / 2
    top = np.interp(z, [1.5, 5.0, tip - 1.2, tip], [-0.75, -0.4, -0.62, -0.85]) + level
    around = np.arange(14) * 2 * np.pi / 14
    x = half[:, None] * np.cos(around)
    groove = 0.16 * np.exp(-((np.cos(around) / 0.35) ** 2)) * (np.sin(around) > 0) * blunt[:, None]
    y = (top - thick)[:, None] + thick[:, None] * (np.sin(around) - groove)
    rings = np.stack([x, y, np.broadcast_to(z[:, None], x.shape)], axis=-1)
    return sweep(rings, last_cap=True)
