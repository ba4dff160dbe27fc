"""Glasses: rims, bridge, temples and lenses, fitted to a sitter's eyes, nose and ears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.face.model import FaceModel
from engine.training.studio.body.pattern import display
from engine.training.studio.body.piece import Layer, Piece, grid_normals, grid_triangles, unit
from engine.training.studio.stage.scene import Material, Parsing, Texture

_AROUND = 28  # points of a rim


@dataclass(frozen=True)
class Spectacles:
    """``half_width`` and ``half_height`` of a lens, cm; ``square`` its superellipse's exponent; ``drop`` cm its outer
    corners are lower than the inner ones; ``gauge`` cm of the frame; ``wire`` of metal; ``colour`` (3,) linear;
    ``tint`` (3,) of the lenses and their ``opacity``."""

    half_width: float
    half_height: float
    square: float
    drop: float
    gauge: float
    wire: bool
    colour: np.ndarray
    tint: np.ndarray
    opacity: float


def sample_glasses(draws: np.random.Generator) -> Spectacles:
    """Reading glasses, sometimes sunglasses."""
    wire = draws.random() < 0.4
    sun = draws.random() < 0.12
    metals = np.array([[0.55, 0.55, 0.56], [0.62, 0.47, 0.22], [0.1, 0.1, 0.1], [0.5, 0.34, 0.27]])
    plastics = np.array(
        [[0.01, 0.01, 0.01], [0.06, 0.025, 0.012], [0.02, 0.03, 0.07], [0.18, 0.03, 0.03], [0.4, 0.36, 0.3]]
    )
    share = [0.55, 0.22, 0.09, 0.07, 0.07]
    width = draws.uniform(2.45, 2.95)
    return Spectacles(
        half_width=width,
        half_height=float(width * draws.uniform(0.62, 0.95)),
        square=float(draws.uniform(2.0, 4.0)),
        drop=float(draws.uniform(-0.1, 0.25)),
        gauge=float(draws.uniform(0.09, 0.15) if wire else draws.uniform(0.2, 0.42)),
        wire=bool(wire),
        colour=metals[draws.integers(4)] if wire else plastics[draws.choice(5, p=share)],
        tint=draws.uniform(0.01, 0.05, 3) if sun else np.array([0.9, 0.95, 0.95]),
        opacity=float(draws.uniform(0.65, 0.95) if sun else draws.uniform(0.03, 0.08)),
    )


def textures(glasses: Spectacles) -> tuple[Texture, Texture]:
    """Textures of frame and lenses."""
    frame = np.append(display(glasses.colour), 255).astype(np.uint8)
    lens = np.append(display(glasses.tint), round(255 * glasses.opacity)).astype(np.uint8)
    return Texture(np.tile(frame, (2, 2, 1))), Texture(np.tile(lens, (2, 2, 1)))


def fit(model: FaceModel, neutral: np.ndarray, glasses: Spectacles, frame: int, lens: int) -> tuple[Piece, Piece]:
    """Frame and lenses in the head space of a sitter; ``frame`` and ``lens`` are indices of their textures."""
    marks = model.landmarks68.at(neutral)
    skin = neutral[model.vertices_of("skin")]
    rims, discs = [], []
    half_bridge = max(0.9, abs(marks[42, 0] - marks[39, 0]) / 2 - 0.75)
    middle = glasses.half_width + half_bridge
    height = float(marks[36:48, 1].mean()) - 0.25
    lids = float(marks[36:48, 2].max())
    plane = max(lids + 1.05, float(marks[27, 2]) - 0.05, float(marks[[19, 24], 2].mean()) + 0.2)
    outline = _outline(glasses)
    for side in (1.0, -1.0):
        points = outline * [side, 1]
        points = points[::-1] if side < 0 else points
        x, y = points[:, 0] + side * middle, points[:, 1] + height
        wrap = plane - 0.012 * x**2 - 0.10 * (height - y)
        ring = np.stack([x, y, wrap], axis=-1)
        rims.append(_tube(ring, glasses.gauge, closed=True))
        discs.append(ring)
    inner = [ring[np.argmin(np.abs(ring[:, 0]) - 0.3 * ring[:, 1])] for ring in discs]
    arch = np.linspace(0, 1, 7)[:, None]
    bridge = inner[1] + (inner[0] - inner[1]) * arch + np.array([0, 0.35, 0.15]) * np.sin(np.pi * arch)
    rims.append(_tube(bridge, glasses.gauge * 0.9, closed=False))
    for side, ring in zip((1.0, -1.0), discs):
        hinge = ring[np.argmax(np.abs(ring[:, 0]) + 0.4 * ring[:, 1])] + [side * 0.1, 0, 0]
        beside = (np.abs(skin[:, 1] - marks[16, 1] - 0.3) < 0.9) & (skin[:, 2] > 0.5) & (skin[:, 2] < hinge[2] - 1)
        widest = float((side * skin[beside, 0]).max()) + 0.15 if beside.any() else 7.6
        ear = np.array([side * widest, marks[16, 1] + 0.7, -0.3])
        t = np.array([0, 0.04, 0.12, 0.3, 0.6, 0.85, 1.0])[:, None]
        arm = hinge + (ear - hinge) * t
        arm[1:, 0] = side * np.maximum(
            side * arm[1:, 0], np.interp(t[1:, 0], [0, 0.3, 1], [abs(hinge[0]), widest, widest])
        )
        hook = ear + np.array([[side * 0.05, -0.25, -0.8], [side * 0.0, -1.2, -1.5], [-side * 0.2, -2.2, -1.8]])
        rims.append(_tube(np.concatenate([arm, hook]), glasses.gauge * 0.9, closed=False))
    frame_piece = _join("glasses", rims, frame, Material.METAL if glasses.wire else Material.CLOTH, Layer.OPAQUE)
    lens_piece = _join("lenses", [_disc(ring) for ring in discs], lens, Material.GLASS, Layer.GLASS)
    return frame_piece, lens_piece


def _outline(glasses: Spectacles) -> np.ndarray:
    """(A, 2) of the subject's left lens about its middle."""
    angle = np.arange(_AROUND) * 2 * np.pi / _AROUND
    c, s = np.cos(angle), np.sin(angle)
    power = 2 / glasses.square
    x = glasses.half_width * np.sign(c) * np.abs(c) ** power
    y = glasses.half_height * np.sign(s) * np.abs(s) ** power
    y = np.where(y < 0, y * (1 - 0.06 * np.abs(x)), y) - glasses.drop * x / glasses.half_width * (y < 0)
    return np.stack([x * np.where(y < 0, 0.93, 1.0), y], axis=-1)


Shape = tuple[np.ndarray, np.ndarray, np.ndarray]  # vertices, triangles, normals


def _tube(path: np.ndarray, gauge: float, closed: bool) -> Shape:
    """A tube along a path (P, 3)."""
    if closed:
        along = unit(np.roll(path, -1, 0) - np.roll(path, 1, 0))
    else:
        along = unit(np.gradient(path, axis=0))
    side = unit(np.cross(along, np.where(np.abs(along[:, 2:]) > 0.9, [[0, 1.0, 0]], [[0, 0, 1.0]])))
    up = np.cross(side, along)
    angle = np.arange(7) * 2 * np.pi / 6
    ring = np.cos(angle)[:, None] * side[:, None] + np.sin(angle)[:, None] * up[:, None]
    points = path[:, None] + gauge / 2 * ring
    if closed:
        points, ring = np.concatenate([points, points[:1]]), np.concatenate([ring, ring[:1]])
    rows, columns = points.shape[:2]
    return points.reshape(-1, 3), grid_triangles(rows, columns), ring.reshape(-1, 3)


def _disc(ring: np.ndarray) -> Shape:
    """A lens inside its rim."""
    middle = ring.mean(axis=0)
    rows = np.stack([middle + (ring - middle) * r for r in (0.0, 0.35, 0.7, 1.0)])
    rows[:, :, 2] += 0.12 * np.array([1, 0.85, 0.5, 0])[:, None]
    rows = np.concatenate([rows, rows[:, :1]], axis=1)
    normals = grid_normals(rows)
    normals *= np.sign(normals[..., 2:] + 1e-9)
    normals[0] = [0, 0, 1]
    return rows.reshape(-1, 3), grid_triangles(*rows.shape[:2]), normals.reshape(-1, 3)


def _join(name: str, shapes: list[Shape], texture: int, material: Material, layer: Layer) -> Piece:
    starts = np.cumsum([0] + [len(vertices) for vertices, _, _ in shapes])
    vertices = np.concatenate([vertices for vertices, _, _ in shapes])
    triangles = np.concatenate([triangles + start for (_, triangles, _), start in zip(shapes, starts)])
    return Piece(
        name=name,
        vertices=vertices.astype(np.float32),
        triangles=triangles,
        normals=np.concatenate([normals for _, _, normals in shapes]),
        uv=np.full((len(triangles), 3, 2), 0.5, np.float32),
        texture=texture,
        material=material,
        parsing=Parsing.GLASSES,
        layer=layer,
        share=np.ones(len(vertices), np.float32),
        occlusion=np.ones(len(vertices), np.float32),
    )
