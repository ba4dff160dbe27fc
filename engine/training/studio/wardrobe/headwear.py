"""Headwear: beanies, caps, headbands and headscarves, swept over the skull of the mean head."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline

from engine.face.maths import smoothstep
from engine.face.model import FaceModel
from engine.training.studio.body.bust import bust, outside_bust
from engine.training.studio.body.piece import (
    Geometry,
    Layer,
    Piece,
    Surface,
    binding,
    grid_normals,
    grid_triangles,
    grid_uv,
    head_share,
    unit,
)
from engine.training.studio.hair import scalp
from engine.training.studio.stage.scene import Material, Parsing

KINDS = ("beanie", "cap", "headband", "scarf")
# Height at z = 0 and slope in z of the lower edge; what hair lies above it is pressed flat. Scarves hide all hair.
BRIMS = {"beanie": (4.6, 0.42), "cap": (5.6, 0.32), "headband": (6.4, 0.2)}
_CENTRE = np.array([0.0, 4.0, -0.5])
_COLUMNS = 48


@functools.lru_cache(maxsize=8)
def made(model: FaceModel, kind: str) -> tuple[Geometry, ...]:
    """The pieces of a kind on the mean head, all with texture 0."""
    skin = scalp.surface(model)
    if kind == "scarf":
        grids = [_scarf(skin)]
    elif kind == "headband":
        grids = [_crown(skin, BRIMS[kind], np.array([0.0, 0.6, 0.65, 0.65, 0.6, 0.0]), np.linspace(0, 0.24, 6))]
    elif kind == "cap":
        rows = np.linspace(0, 1, 12)
        grids = [_crown(skin, BRIMS[kind], 0.55 + 0.6 * smoothstep(rows * 4), rows), _visor(skin)]
    else:
        rows = np.array([0, 0, 0.05, 0.16, 0.2, 0.2, 0.3, 0.42, 0.56, 0.7, 0.84, 1.0])
        thick = np.array([0.1, 0.9, 1.15, 1.15, 1.05, 0.75, 0.95, 1.15, 1.3, 1.5, 1.8, 2.0])
        grids = [_crown(skin, BRIMS[kind], thick, rows)]
    pieces = [_piece(kind, grid, closed=k == 0 and kind != "scarf") for k, grid in enumerate(grids)]
    if kind == "scarf":
        pieces = [replace(pieces[0], share=scarf_share(pieces[0].vertices))]
    return tuple(Geometry(p, binding(skin, p.vertices, len(model.vertices), 12)) for p in pieces)


def scarf_share(points: np.ndarray) -> np.ndarray:
    return np.maximum(head_share(points), smoothstep((points[:, 1] + 13) / 6)).astype(np.float32)


def _skull(skin: Surface, direction: np.ndarray) -> np.ndarray:
    """Distance of the skin from the middle of the skull in directions (…, 3), without ears."""
    ear = (np.abs(skin.vertices[:, 0]) > 7.4) & (skin.vertices[:, 1] < 4.6)
    arm = skin.vertices[~ear & (skin.vertices[:, 1] > -12)] - _CENTRE
    length = np.linalg.norm(arm, axis=1)
    tree = type(skin.tree)(arm / length[:, None])
    distance, near = tree.query(direction.reshape(-1, 3), k=5)
    weight = 1 / (distance + 0.02)
    return ((weight * length[near]).sum(1) / weight.sum(1)).reshape(direction.shape[:-1])


def _crown(skin: Surface, brim: tuple[float, float], thick: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(R, C, 3) from the brim (row 0) to the top (1), ``thick`` (R,) cm off the skull."""
    around = np.arange(_COLUMNS) * 2 * np.pi / _COLUMNS
    flat = np.stack([np.sin(around), 0 * around, np.cos(around)], axis=1)
    edge = np.empty(_COLUMNS)
    for k, way in enumerate(flat):  # where the skull meets the brim's plane
        angles = np.linspace(-0.6, 0.9, 60)
        direction = np.cos(angles)[:, None] * way + np.sin(angles)[:, None] * [0, 1, 0]
        points = _CENTRE + direction * (_skull(skin, direction) + 0.3)[:, None]
        over = points[:, 1] - (brim[0] + brim[1] * points[:, 2])
        edge[k] = np.interp(0, over, angles)
    angle = edge + (np.pi / 2 - edge) * rows[:, None]
    direction = np.cos(angle)[..., None] * flat + np.sin(angle)[..., None] * [0, 1, 0]
    return _CENTRE + direction * (_skull(skin, direction) + thick[:, None])[..., None]


def _visor(skin: Surface) -> np.ndarray:
    """(R, C, 3) a cap's peak."""
    around = np.linspace(-1.05, 1.05, 25)
    base = _crown(skin, BRIMS["cap"], np.array([0.9]), np.array([0.02]))[0]
    all_around = np.arange(-_COLUMNS, 2 * _COLUMNS) * 2 * np.pi / _COLUMNS
    start = np.stack([np.interp(around, all_around, np.tile(base[:, k], 3)) for k in range(3)], axis=1)
    reach = 6.3 * np.sqrt(np.clip(1 - (around / 1.1) ** 2, 0, 1))
    rows = np.linspace(-0.08, 1, 7)[:, None]
    out = start[None] + (rows * reach)[..., None] * np.array([0, -0.22, 1.0])
    out[..., 1] -= 0.035 * out[..., 0] ** 2 * np.clip(rows, 0, 1)
    under = out[::-1] - np.array([0, 0.18, 0])
    return np.concatenate([out, under])


def _scarf(skin: Surface) -> np.ndarray:
    """(R, C, 3) a headscarf: from the face's edge round the head, under the chin and down to the shoulders."""
    rows = 22
    around = np.linspace(0, 2 * np.pi, 57)
    s, c = np.sin(around), np.cos(around)  # 0 is above the forehead, to the subject's left
    opening = np.stack(
        [6.55 * s, 1.0 + np.where(c > 0, 8.4, 9.2) * c, np.where(c > 0, 7.8 + 1.2 * c, 5.0 + 2.8 * (1 + c))], 1
    )
    up, hem = smoothstep(c * 0.9 + 0.55)[:, None], bust(np.full(57, -31.0), np.pi - around) * [0.92, 1, 1]
    high, low = np.clip(c, 0, 1), np.clip(-c, 0, 1)
    over = np.stack([8.4 * s, 4.5 + 10.7 * high, 0 * s], 1), np.stack([7.6 * s, 1 + 0 * s, -4.5 - 5.8 * high], 1)
    under = np.stack([7.4 * s, -8 - 3.2 * low, 3 + 2.8 * low], 1), np.stack([10.5 * s, -14.5 + 0 * s, -1 + 8 * low], 1)
    rings = [opening, *(under[k] + up * (over[k] - under[k]) for k in (0, 1)), hem * [1, 1, 1.15]]
    at = np.linspace(0, 3, rows)
    points = CubicSpline(np.arange(4), np.stack(rings))(at)
    t = (at / 3)[:, None, None]
    off = 0.25 + 0.75 * smoothstep(t * 4) + 0 * points[..., :1]
    for _ in range(3):
        points = skin.outside(points.reshape(-1, 3), off.ravel(), reach=9.0).reshape(points.shape)
        points[1:-1, 1:-1] = (
            2 * points[1:-1, 1:-1] + points[2:, 1:-1] + points[:-2, 1:-1] + points[1:-1, 2:] + points[1:-1, :-2]
        ) / 6
    points = skin.outside(points.reshape(-1, 3), off.ravel(), reach=9.0).reshape(points.shape)
    low = smoothstep((-9 - points[..., 1:2]) / 4)  # over the garments below
    points += low * (outside_bust(points, 1.3) - points)
    points[:, 0] = points[:, -1] = (points[:, 0] + points[:, -1]) / 2  # the seam above the forehead
    return points


def _piece(kind: str, points: np.ndarray, closed: bool) -> Piece:
    rows, columns = points.shape[:2]
    flat = points.reshape(-1, 3)
    normals = grid_normals(points, closed)
    outward = unit(points - _CENTRE)
    pole = np.linalg.norm(normals, axis=-1, keepdims=True) < 0.99  # here a row is one point
    normals = np.where(pole, outward, normals)
    normals *= np.where((normals * outward).sum(-1, keepdims=True) < 0, -1, 1) if kind != "scarf" else 1
    normals = normals.reshape(-1, 3)
    triangles, uv = grid_triangles(rows, columns, closed), grid_uv(rows, columns, closed)
    a, b, c = (flat[triangles[:, k]] for k in range(3))
    inwards = (np.cross(b - a, c - a) * normals[triangles].sum(axis=1)).sum(axis=1) < 0
    triangles[inwards], uv[inwards] = triangles[inwards, ::-1], uv[inwards, ::-1]
    return Piece(
        name=kind,
        vertices=flat.astype(np.float32),
        triangles=triangles,
        normals=normals,
        uv=uv,
        texture=0,
        material=Material.CLOTH,
        parsing=Parsing.HEADWEAR,
        layer=Layer.OPAQUE,
        share=np.ones(len(flat), np.float32),
        occlusion=np.full(len(flat), 0.9, np.float32),
    )
