"""Beards: short cards that grow from the skin of the face and move with it. Shorter ones are painted on the skin."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from engine.face.maths import smoothstep
from engine.face.model import FaceModel
from engine.training.studio.body import pattern as hair_pattern
from engine.training.studio.body.pattern import number_of
from engine.training.studio.body.piece import Geometry, Layer, binding, unit
from engine.training.studio.hair import scalp
from engine.training.studio.hair.cards import ribbons
from engine.training.studio.stage.scene import Parsing


@dataclass(frozen=True)
class Shape:
    """``length`` of the hair, cm; which parts grow: ``lip``, ``chin``, ``jaw`` (cheeks and jaw's line), ``throat``."""

    length: float
    lip: float = 1.0
    chin: float = 1.0
    jaw: float = 1.0
    throat: float = 0.6


SHAPES: dict[str, Shape] = {
    "none": Shape(0, 0, 0, 0, 0),
    "stubble": Shape(0),
    "short": Shape(0.7),
    "full": Shape(1.7, throat=0.8),
    "long": Shape(4.0, throat=0.8),
    "moustache": Shape(0.9, chin=0, jaw=0, throat=0),
    "goatee": Shape(1.2, jaw=0, throat=0),
    "chin": Shape(1.0, lip=0, jaw=0, throat=0),
    "sideless": Shape(1.0, lip=0, throat=0.5),
}


def density(model: FaceModel, points: np.ndarray, shape: Shape) -> np.ndarray:
    """(…,) 0…1 density of the beard at points (…, 3) of the mean head; lips and neck are bare."""
    marks = _marks(model)
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    nose, mouth, chin, corner = marks[33, 1], marks[48:60, 1].mean(), marks[8, 1], abs(marks[54, 0])
    # The upper edge runs from under the nose past the mouth's corner over the cheek to the ear.
    edge = np.interp(x, [0, corner, 1.3 * corner, 4.6, 6.2, 7.4], [-0.25, -0.35, -0.9, -0.3, 1.6, 4.6])
    below = smoothstep((nose + edge - y) / 0.9 + 0.5) * smoothstep((z - 1.6) / 1.2 + 0.5)
    throat_line = chin - 0.4 + 0.25 * np.clip(9 - z, -1, 6)
    under = smoothstep((throat_line - y) / 0.8)
    foot = smoothstep((y - chin + 3.2) / 2)
    lip = smoothstep((1.35 * corner - x) / 0.7 + 0.5) * smoothstep((y - mouth) / 0.4 + 0.5)
    middle = smoothstep((1.25 * corner - x) / 0.8 + 0.5) * smoothstep((mouth - y) / 0.5 + 0.5) * (1 - under)
    rest = np.clip(1 - lip - middle, 0, 1) * (1 - under)
    amount = shape.lip * lip + shape.chin * middle + shape.jaw * rest + shape.throat * under * shape.chin
    lips = np.linalg.norm((points - marks[[51, 57]].mean(0)) / [corner * 1.12, 1.25, 4.0], axis=-1)
    below_lip = np.exp(-((x - 1.5) ** 2 / 0.5 + (y - marks[57, 1] + 0.4) ** 2 / 0.25))  # the bare spot beside the tuft
    return below * foot * np.clip(amount, 0, 1) * smoothstep((lips - 0.9) / 0.2) * (1 - 0.8 * below_lip)


@functools.lru_cache(maxsize=64)
def grown(model: FaceModel, name: str, variant: int) -> tuple[Geometry, ...]:
    """The cards of a shape on the mean head; none for painted beards."""
    shape = SHAPES[name]
    if shape.length <= 0:
        return ()
    draws = np.random.Generator(np.random.Philox(key=number_of("beard " + name, variant)))
    skin = scalp.surface(model)
    triangles = model.triangles[model.triangles_of("skin")]
    corners = model.vertices[triangles].astype(np.float64)
    near = (corners[:, :, 2].min(1) > 1) & (corners[:, :, 1].max(1) < 5) & (corners[:, :, 1].min(1) > -12)
    corners = corners[near]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = draws.choice(len(corners), 2600, p=area / area.sum())
    root = np.einsum("nk,nkd->nd", draws.dirichlet(np.ones(3), 2600), corners[chosen])
    chin = _marks(model)[8]
    grows = density(model, root, shape) * smoothstep((root[:, 1] - chin[1] + 1.8) / 1.5)  # the throat is only painted
    root = root[draws.random(len(root)) < 0.5 * grows]
    normal, _, _ = skin.over(root)
    count, steps = len(root), 3 if shape.length < 2 else 4
    way = np.stack(
        [0.35 * np.sign(root[:, 0]) * np.minimum(np.abs(root[:, 0]) / 2, 1), -np.ones(count), 0.25 + 0 * root[:, 0]], 1
    )
    way[:, 0] = np.where(root[:, 1] > chin[1] + 4.2, way[:, 0] * 2.2, -0.25 * way[:, 0])  # moustaches part, beards meet
    way = unit(way + draws.normal(0, 0.25, way.shape))
    at_chin = smoothstep((root[:, 2] - 5) / 4) * smoothstep((chin[1] + 3.2 - root[:, 1]) / 2)
    most = min(shape.length, 0.9)  # on cheeks and lip
    length = (most + (shape.length - most) * at_chin) * draws.uniform(0.7, 1.25, count)
    place, points = root - 0.05 * normal, []
    for k in range(steps):
        points.append(place)
        t = k / (steps - 1)
        direction = unit(way + normal * (0.55 * (1 - t)) + [0, -0.5 * t, 0])
        place = skin.outside(
            place + direction * (length / (steps - 1))[:, None], 0.08 + 0.25 * shape.length * t, reach=1.5
        )
    guides = np.stack(points, 1)

    def cards(chosen: np.ndarray, width: float, layer: Layer, kind: str) -> Geometry:
        piece = ribbons(f"beard {name}", guides[chosen], width, layer, draws)
        out, _, _ = skin.over(piece.vertices)
        shaded, share = unit(out + 0.4 * piece.normals), np.ones(len(out), np.float32)
        piece = replace(piece, parsing=Parsing.BEARD, normals=shaded, share=share)
        follow = binding(skin, np.repeat(root[chosen], steps, axis=0), len(model.vertices), 4)
        return Geometry(piece, follow, hair_pattern.cards(kind, kind != "tufts"), 2)

    made = [cards(np.arange(count), 0.4 + 0.12 * min(shape.length, 2), Layer.WISPS, "tufts")]
    if shape.length > 2.5:  # the closed body of a beard that hangs from the chin
        made.append(cards(np.flatnonzero(at_chin > 0.6)[::2], 0.7, Layer.HAIR, "wavy"))
    return tuple(made)


@functools.lru_cache(maxsize=2)
def _marks(model: FaceModel) -> np.ndarray:
    return model.landmarks68.at(model.vertices)
