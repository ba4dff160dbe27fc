"""Garments: surfaces swept from a neckline on the skin over the bust."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import cv2
import numpy as np

from engine.face.maths import smoothstep
from engine.face.model import FaceModel
from engine.training.studio.body.bust import bust
from engine.training.studio.body.pattern import display
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
from engine.training.studio.stage.scene import Material, Parsing, Texture

COLUMNS, _FOOT = 56, -52.0


@dataclass(frozen=True)
class Cut:
    """A neckline's height at the throat, the side of the neck and the nape, cm; ``vee`` cm it drops to a point,
    ``thick`` cm off the skin, ``collar`` the kind that stands or lies on it: none, ``fold``, ``tube`` or ``hood``."""

    front: float
    side: float
    back: float
    vee: float = 0.0
    thick: float = 0.3
    collar: str = ""
    inner: str = ""


CUTS: dict[str, Cut] = {
    "crew": Cut(-13.4, -11.3, -10.6),
    "wide": Cut(-15.6, -12.8, -11.6),
    "vee": Cut(-13.4, -11.4, -10.8, vee=4.0),
    "shirt": Cut(-12.2, -10.6, -10.0, vee=2.5, collar="fold"),
    "polo": Cut(-12.6, -10.8, -10.2, vee=1.5, collar="fold"),
    "turtleneck": Cut(-12.2, -10.6, -9.8, thick=0.4, collar="tube"),
    "hoodie": Cut(-13.0, -11.0, -10.2, thick=0.6, collar="hood"),
    "jacket": Cut(-13.6, -11.2, -10.4, vee=6.0, thick=0.8, collar="fold", inner="crew"),
    "open shirt": Cut(-12.6, -10.8, -10.2, vee=5.0, thick=0.6, collar="fold", inner="crew"),
    "knit": Cut(-12.6, -10.9, -10.3, thick=0.6),
}


@functools.lru_cache(maxsize=32)
def sewn(model: FaceModel, name: str) -> tuple[Geometry, ...]:
    """The pieces of a garment on the mean head; texture 0 is the outer garment's, 1 the inner one's."""
    cut = CUTS[name]
    made = [_body(model, name, cut)]
    if cut.collar:
        made.append(_collar(model, cut))
    pieces = [Geometry(p, binding(scalp.surface(model), p.vertices, len(model.vertices), 12)) for p in made]
    if cut.inner:
        pieces += [replace(g, piece=replace(g.piece, texture=1)) for g in sewn(model, cut.inner)]
    return tuple(pieces)


def _neckline(cut: Cut, around: np.ndarray) -> np.ndarray:
    """Its height by azimuth (C,)."""
    c = np.cos(around)
    line = cut.side + np.where(c > 0, (cut.front - cut.side) * c**2, (cut.back - cut.side) * c**2)
    return line - cut.vee * np.clip(1 - np.abs(np.sin(around)) / 0.3, 0, 1) * (c > 0)


def _body(model: FaceModel, name: str, cut: Cut) -> Piece:
    around = np.arange(COLUMNS) * 2 * np.pi / COLUMNS
    around = around - 0.55 * np.sin(around)  # more columns in front, where necklines have a shape
    top = _neckline(cut, around)
    steps = np.concatenate([[0, 0], np.linspace(0, 1, 17)[1:] ** 1.6])
    height = top + (_FOOT - top) * steps[:, None]
    points = bust(height, np.broadcast_to(around, height.shape))
    skin = scalp.surface(model)
    off = np.full(height.shape, cut.thick)
    off[2:] += 0.5 * smoothstep((top - height[2:]) / 4)  # the distance from the skin increases
    points = _outside(skin, points, off)
    points += cut.thick * unit(points - [0, -22, -2.0])
    on_skin = _on_skin(skin, points[1])
    on_skin = (2 * on_skin + np.roll(on_skin, 1, 0) + np.roll(on_skin, -1, 0)) / 4
    points[1] = on_skin + cut.thick * unit(points[1] - on_skin)
    points[0] = on_skin - 0.25 * unit(points[1] - on_skin)  # the hem ends inside the skin, so there is no gap
    folds = np.sin(5 * around + 0.22 * height) * np.cos(3 * around - 0.31 * height)
    away = unit(points - [0, 0, -2.0])
    points[2:] += (0.22 * folds * smoothstep((top - height) / 6))[2:, :, None] * away[2:]
    occlusion = np.clip(0.55 + 0.4 * smoothstep((top - height) / 3), 0.5, 0.95)
    piece = _piece(f"garment {name}", points, occlusion, closed=True)
    uv = piece.uv.copy()
    uv[..., 1] = np.clip((-9 - piece.vertices[piece.triangles, 1]) / 43, 0, 1)  # stripes are horizontal
    return replace(piece, uv=uv)


def _on_skin(skin: Surface, points: np.ndarray) -> np.ndarray:
    normal, height, _ = skin.over(points)
    return points - height[:, None] * normal


def _outside(skin: Surface, grid: np.ndarray, off: np.ndarray) -> np.ndarray:
    """A grid (R, C, 3) pushed ``off`` (R, C) cm from the skin by a smooth field, so that lines stay smooth."""
    out = grid
    for _ in range(3):
        push = skin.outside(out.reshape(-1, 3), off.ravel(), reach=5).reshape(grid.shape) - out
        out = (
            out
            + cv2.GaussianBlur(np.concatenate([push] * 3, axis=1), (5, 5), 1.2)[:, grid.shape[1] : -grid.shape[1]] * 1.1
        )
    return out


def _collar(model: FaceModel, cut: Cut) -> Piece:
    """Rises from the neckline; a folded one turns down outside, a hood lies behind the neck."""
    skin = scalp.surface(model)
    if cut.collar == "fold":
        around = np.linspace(0.16, 2 * np.pi - 0.16, COLUMNS)  # open in front
        rise, widths = np.array([-0.4, 1.2, 2.3, 2.6, 2.1, 0.6, -1.0]), np.array([0.2, 0.35, 0.4, 0.6, 0.9, 1.1, 1.25])
        front = np.clip(np.cos(around), 0, 1) ** 2
        rise = rise[:, None] - np.array([0, 0.2, 0.5, 0.6, 0.7, 1.2, 2.2])[:, None] * front  # points of the collar
    elif cut.collar == "tube":
        around = np.arange(COLUMNS) * 2 * np.pi / COLUMNS
        rise = np.array([-1.0, 1.0, 2.6, 4.0, 4.3, 4.0])[:, None] + 0 * around
        widths = np.array([0.3, 0.45, 0.5, 0.45, 0.25, -0.2])
    else:
        around = np.linspace(0.5, 2 * np.pi - 0.5, COLUMNS)
        behind = np.clip(-np.cos(around), 0, 1)
        profile = np.array([[-1.0, 0.2], [1.2, 0.3], [2.0, 1.0], [1.6, 2.0], [0.0, 2.7], [-3.0, 2.8], [-6.0, 1.2]])
        rise = profile[:, :1] * (0.45 + 0.75 * behind)
        widths = profile[:, 1:] * (0.5 + 1.1 * behind)
    height = _neckline(cut, around) + rise
    widths = np.broadcast_to(widths if np.ndim(widths) == 2 else np.asarray(widths)[:, None], height.shape)
    points = bust(np.minimum(height, -7.0), np.broadcast_to(around, height.shape))
    points[..., 1] = height
    points = _outside(skin, points, widths)
    out = unit(points * [1, 0, 1] - [0, 0, -1.5]) * (0.35 * widths)[..., None]
    occlusion = np.full(height.shape, 0.85)
    occlusion[:2] = 0.5
    return _piece("collar", points + out, occlusion, closed=cut.collar == "tube")


def _piece(name: str, points: np.ndarray, occlusion: np.ndarray, closed: bool) -> Piece:
    rows, columns = points.shape[:2]
    flat = points.reshape(-1, 3)
    uv = grid_uv(rows, columns, closed)
    uv[..., 1] *= 0.999
    return Piece(
        name=name,
        vertices=flat,
        triangles=grid_triangles(rows, columns, closed),
        normals=grid_normals(points, closed).reshape(-1, 3),
        uv=uv,
        texture=0,
        material=Material.CLOTH,
        parsing=Parsing.CLOTH,
        layer=Layer.OPAQUE,
        share=head_share(flat),
        occlusion=occlusion.ravel().astype(np.float32),
    )


def fabric(draws: np.random.Generator, dark: bool) -> Texture:
    """Texture of a cloth, 128 × 128 texels: plain, heather, stripes, checks, or a print."""
    size = 128
    colour, second = _cloth_colour(draws, dark), _cloth_colour(draws, draws.random() < 0.5)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    kind = draws.choice(["plain", "heather", "stripes", "checks", "print"], p=[0.5, 0.2, 0.14, 0.08, 0.08])
    amount = np.zeros((size, size), np.float32)
    if kind == "stripes":
        amount = (np.sin(2 * np.pi * y * draws.uniform(12, 40)) > draws.uniform(-0.3, 0.7)).astype(np.float32)
    elif kind == "checks":
        count = draws.uniform(12, 28)
        amount = 0.5 * (np.sin(2 * np.pi * y * count) > 0) + 0.5 * (np.sin(2 * np.pi * x * np.round(count * 1.6)) > 0)
    elif kind == "print":
        noise = cv2.GaussianBlur(draws.normal(0, 1, (size, size)).astype(np.float32), (0, 0), draws.uniform(2, 6))
        amount = (noise > noise.std() * 0.8).astype(np.float32)
    weave = (0.14 if kind == "heather" else 0.04) * draws.standard_normal((size, size), np.float32)
    steps = np.linspace(-0.5, 0.5, 32)[:, None]
    table = np.stack([display((colour + (second - colour) * share) * (1 + steps)) for share in np.linspace(0, 1, 3)])
    level = np.clip((weave + 0.5) * 31, 0, 31).astype(np.uint8)
    rgba = np.full((size, size, 4), 255, np.uint8)
    rgba[..., :3] = table[(amount * 2).astype(np.uint8), level]
    return Texture(rgba)


def _cloth_colour(draws: np.random.Generator, dark: bool) -> np.ndarray:
    """(3,) linear: black, grey, navy and white more often than bright."""
    value = draws.uniform(0.008, 0.08) if dark else draws.uniform(0.1, 0.75)
    tint = draws.normal(0, 0.1 if draws.random() < 0.5 else 0.7, 3)
    return np.clip(value * np.exp(tint - tint.mean()), 0.004, 0.82)
