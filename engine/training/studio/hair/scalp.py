"""The hairline on the face model's mean head, and guide hairs that grow from it without entering the skin."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from engine.face.maths import smoothstep
from engine.face.mesh import Normals
from engine.face.model import FaceModel
from engine.training.studio.body.bust import outside_bust
from engine.training.studio.body.piece import Surface, unit

# The hairline in profile: its height y by z, cm on the mean head; from the nape round ear and temple to the top.
_LINE = (
    (-8.5, -6.5, -4.5, -3.0, -2.4, -1.4, -0.4, 0.7, 1.5, 2.0, 3.2, 4.2, 5.2, 6.2, 7.5, 8.8, 9.6, 10.2),
    (-7.4, -7.2, -5.0, -2.0, 0.5, 3.4, 4.4, 4.2, 2.0, 1.0, 2.6, 4.8, 6.8, 8.3, 9.4, 10.0, 10.3, 10.6),
)
WHORL = np.array([0.8, 13.0, -5.0])  # from where short hair radiates
KNOT = np.array([0.0, 6.0, -9.6])  # where gathered hair meets
_FACE_HALF_WIDTH = 6.7  # cm at which long hair hangs beside the face
_AREA = 620.0  # cm² of scalp


def hairline(points: np.ndarray, recede: float = 0.0, crown: float = np.inf) -> np.ndarray:
    """How far inside the hair points (…, 3) of the mean head lie, cm, negative outside; ``recede`` cm moves
    temples and forehead back; above the height ``crown`` the head is bald."""
    x, y, z = np.moveaxis(points, -1, 0)
    height, width = (np.array(values) for values in _LINE)
    line = np.interp(z, height, width)
    slope = np.interp(z, (height[1:] + height[:-1]) / 2, np.diff(width) / np.diff(height))
    front = np.clip((z - 3) / 3, 0, 1)
    back = recede * front * (1 + 0.6 * np.exp(-(((np.abs(x) - 4.2) / 1.6) ** 2)))
    inside = np.minimum((y - line) / np.sqrt(1 + slope**2) - back, crown - y - 0.25 * z)
    ear = (np.abs(x) > 7.5) & (y < 4.2) & (np.abs(z + 0.5) < 2.2)
    return np.where(ear, -1.0, inside)


@dataclass(frozen=True)
class Growth:
    """How a style grows. Lengths in cm: ``length`` (least, most) at the top of the head and ``sides`` times that below
    the temples; ``comb`` is ``whorl``, ``back``, ``part``, ``forward``, ``up`` or ``bun``; ``part`` its x;
    ``lift`` 0 lies flat, 1 stands; ``weight`` is gravity's; ``curl`` turns about the strand's way; ``messy`` scatters;
    ``gap`` cm off the skin at most, ``base`` at least; ``fringe`` is the share of guides at the forehead combed into
    it; hair that hangs is ``cut`` at that height."""

    length: tuple[float, float]
    comb: str = "whorl"
    sides: float = 1.0
    part: float = 0.0
    lift: float = 0.3
    weight: float = 0.3
    curl: float = 0.0
    messy: float = 0.25
    gap: float = 0.8
    steps: int = 6
    recede: float = 0.0
    crown: float = np.inf
    fringe: float = 0.0
    base: float = 0.0
    cut: float | None = None

    def off(self, points: np.ndarray, thickness: float) -> np.ndarray:
        """``thickness`` (n,) of the hair at points of the scalp: less at shorter sides, and
        decreasing to 0 at the hairline."""
        low = smoothstep((8 - points[:, 1]) / 4)
        rise = np.sqrt(smoothstep((hairline(points, self.recede, self.crown) + 0.6) / (1.2 + thickness)))
        return thickness * (1 + (self.sides - 1) * low) * rise


@dataclass(frozen=True)
class Guides:
    """Hairs on the mean head: ``points`` (G, K, 3) from root to tip, ``normals`` (G, 3) the skin's at the root."""

    points: np.ndarray
    normals: np.ndarray


@functools.lru_cache(maxsize=2)
def surface(model: FaceModel) -> Surface:
    """The mean head's skin."""
    triangles = model.triangles[model.triangles_of("skin")]
    index = np.unique(triangles)
    normals = Normals(triangles, len(model.vertices))(model.vertices)[index]
    vertices = model.vertices[index].astype(np.float64)
    return Surface(vertices, normals.astype(np.float64), index, cKDTree(vertices))


@functools.lru_cache(maxsize=2)
def _roots(model: FaceModel, count: int = 60000) -> tuple[np.ndarray, np.ndarray]:
    """Points (R, 3) spread evenly over the scalp, and their normals; always the same."""
    draws = np.random.Generator(np.random.Philox(key=11))
    triangles = model.triangles[model.triangles_of("skin")]
    corners = model.vertices[triangles].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = draws.choice(len(triangles), count, p=area / area.sum())
    weight = draws.dirichlet(np.ones(3), count)
    points = np.einsum("nk,nkd->nd", weight, corners[chosen])
    normals = Normals(triangles, len(model.vertices))(model.vertices)[triangles[chosen]]
    inside = hairline(points) > -0.6
    return points[inside], unit(np.einsum("nk,nkd->nd", weight, normals))[inside]


def strew(model: FaceModel, growth: Growth, count: int, draws: np.random.Generator) -> np.ndarray:
    """Indices of about ``count`` roots among the scalp's points, denser at the hairline, with a minimum distance."""
    points, _ = _roots(model)
    inside = hairline(points, growth.recede, growth.crown)
    some = draws.permutation(np.flatnonzero(inside > draws.normal(0.05, 0.2, len(points))))[: 12 * count]
    if count > 1500:  # many strands: random choice is even enough
        return some[:count]
    spacing = np.sqrt(_AREA / count)
    kept: list[int] = []
    tree = cKDTree(points[some])
    free = np.ones(len(some), bool)
    for k in range(len(some)):
        if free[k]:
            kept.append(int(some[k]))
            free[tree.query_ball_point(points[some[k]], 0.72 * spacing)] = False
    return np.array(kept)


def grow(model: FaceModel, growth: Growth, count: int, draws: np.random.Generator) -> Guides:
    """About ``count`` guides of a style."""
    chosen = strew(model, growth, count, draws)
    all_points, all_normals = _roots(model)
    root, normal = all_points[chosen], all_normals[chosen]
    count = len(root)
    skin = surface(model)
    clump = _clumps(root, draws)
    combed, fringe = _comb(root, growth, draws)
    way = combed + growth.messy * (clump + 0.4 * draws.normal(0, 1, (count, 3)))
    way = unit(way - 0.95 * (way * normal).sum(1, keepdims=True) * normal)
    low = np.clip((7.5 - root[:, 1] + 0.1 * np.abs(root[:, 2])) / 4, 0, 1)
    length = draws.uniform(*growth.length, count) * (1 + (growth.sides - 1) * low)
    length *= np.clip(0.45 + hairline(root, growth.recede, growth.crown) / 3, 0.35, 1) if growth.length[1] < 8 else 1
    length = np.where(fringe, draws.uniform(4.4, 5.3, count), length)
    base = growth.off(root, growth.base)
    paces = np.linspace(0.5, 1.5, growth.steps - 1) / (growth.steps - 1)  # short steps where the skull bends
    lift = growth.lift * np.exp(draws.normal(0, 0.3, count))[:, None]
    direction = unit(normal * lift + way * (1 - np.minimum(lift, 0.95)))
    across = unit(np.cross(direction, normal))
    phase = draws.uniform(0, 2 * np.pi, count)
    clearance = growth.gap * draws.uniform(0.5, 1, count)
    place = root - 0.1 * normal
    points = [place]
    for k in range(1, growth.steps):
        t = k / (growth.steps - 1)
        if growth.comb == "bun":  # gathered: straight to the knot, round the skull
            on_way = root + (KNOT - root) * t
            points.append(skin.outside(on_way, base + 0.1 + clearance * min(1.0, 2 * t + 0.25), reach=20.0))
            continue
        pace = length * paces[k - 1]
        pull = growth.weight * (0.3 + t) * np.maximum(1, pace)[:, None]
        direction = direction + [0, -1, 0] * pull + 0.15 * (1 - t) * way
        turn = phase + 2.2 * k
        direction = direction + growth.curl * (np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * normal)
        direction = unit(direction)
        place = place + direction * pace[:, None]
        if growth.length[1] > 8:
            place = _beside_face(place, root)
        above, height, _ = skin.over(place)
        least = (base + 0.1 + clearance * min(1.0, t + 0.25)) * min(1.0, 0.5 + 2 * t)
        most = base + 0.15 + 1.3 * clearance
        held = np.where(place[:, 1] > 1, np.maximum(height - most, 0), 0)  # it lies on the skull, and falls free below
        place = place + (np.maximum(least - height, 0) * (height > -4) - held)[:, None] * above
        if growth.length[1] > 8:
            place = outside_bust(place, 0.9 + 0.5 * clearance)
        points.append(place)
    guides = np.stack(points, axis=1)
    if growth.cut is not None:
        guides = np.where(fringe[:, None, None], guides, _cut(guides, growth.cut + draws.normal(0, 0.5, count)))
    return Guides(guides, normal)


def _cut(guides: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Guides (G, K, 3) that end where they first come below ``level`` (G,), still of K points."""
    steps = guides.shape[1]
    arc = np.concatenate(
        [np.zeros((len(guides), 1)), np.linalg.norm(np.diff(guides, axis=1), axis=2).cumsum(1)], axis=1
    )
    out = np.empty_like(guides)
    for k, (guide, along) in enumerate(zip(guides, arc)):
        below = np.flatnonzero(guide[:, 1] < level[k])
        end = along[-1]
        if len(below) and below[0] > 0:
            j = below[0]
            share = (guide[j - 1, 1] - level[k]) / (guide[j - 1, 1] - guide[j, 1])
            end = along[j - 1] + share * (along[j] - along[j - 1])
        at = np.linspace(0, max(end, 1.0), steps)
        out[k] = np.stack([np.interp(at, along, guide[:, axis]) for axis in range(3)], axis=1)
    return out


def _comb(root: np.ndarray, growth: Growth, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The direction of combing at each root, (n, 3), and whether it is fringe, (n,)."""
    x, y, z = root.T
    one, none = np.ones(len(root)), np.zeros(len(root))
    side = np.where(x + draws.normal(0, 0.12, len(root)) > growth.part, 1.0, -1.0)
    if growth.comb == "back":
        way = np.stack([x * 0.1, -0.15 * one, -one], 1)
    elif growth.comb == "part":
        front = np.clip((z - 2) / 4, 0, 1)
        behind = np.clip((-1 - z) / 4, 0, 1)
        way = np.stack([side * (1 - 0.85 * behind), -0.35 - 0.6 * behind, 0.2 - 0.55 * front - 0.4 * behind], 1)
    elif growth.comb == "up":
        way = np.stack([x * 0.12, 0.8 * one, 0.5 - 0.6 * (z < 4)], 1)
        low = (y < 8)[:, None]
        way = np.where(low, np.stack([none, -one, -0.5 * one], 1), way)
    elif growth.comb == "forward":
        way = np.stack([x * 0.05, -0.2 * one, one], 1)
    elif growth.comb == "bun":
        way = KNOT - root
    else:
        way = root - WHORL
    way = unit(way)
    fringe = (z > 6.2) & (y > 8) & (draws.random(len(root)) < growth.fringe)
    way[fringe] = unit(np.stack([0.1 * x + 0.2 * np.sign(growth.part), -0.9 * one, 0.5 * one], 1))[fringe]
    return way, fringe


def _clumps(root: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """(n, 3) noise that is similar for neighbours."""
    centres = root[draws.integers(len(root), size=max(12, len(root) // 12))]
    return draws.normal(0, 1, (len(centres), 3))[cKDTree(centres).query(root)[1]]


def _beside_face(place: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Moves long hair beside the face, and in front of or behind the shoulders."""
    place = place.copy()
    x, y, z = place.T
    side = np.where(np.abs(x) > 0.5, np.sign(x), np.sign(root[:, 0] + 1e-6))
    before = (z > 1.5) & (y < 7.5)
    least = _FACE_HALF_WIDTH + 0.25 * np.clip(7.5 - y, 0, 3) - 0.2 * np.clip(-y - 4, 0, 8)
    place[:, 0] = np.where(before, side * np.maximum(np.abs(x), least), x)
    ease = smoothstep((-5 - place[:, 1]) / 7)
    before = np.where(root[:, 2] > -1.5, np.maximum(place[:, 2], 6.0), np.minimum(place[:, 2], -10.5))
    place[:, 2] += ease * (before - place[:, 2])
    place[:, 0] += ease * (np.clip(place[:, 0], -8.5, 8.5) - place[:, 0])
    return place
