"""Hair meshes from the assets, transferred to the mean head and bound to its skin."""

from __future__ import annotations

import functools
import weakref
from dataclasses import replace

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from engine.face.mesh import Normals
from engine.face.model import FaceModel
from engine.training.studio.body.pattern import Pattern
from engine.training.studio.body.piece import Geometry, Layer, Piece, binding, unit
from engine.training.studio.hair import scalp
from engine.training.studio.hair.cards import hanging_share, volume_normals
from engine.training.studio.library.items import HairMesh
from engine.training.studio.stage.scene import Material, Parsing

_carried: weakref.WeakKeyDictionary[HairMesh, tuple[Geometry, ...]] = weakref.WeakKeyDictionary()


def from_assets(model: FaceModel, hair: HairMesh) -> tuple[Geometry, ...]:
    """A style of the assets, bound to the skin of the head it was made for; cached per process."""
    if hair not in _carried:
        _carried[hair] = _carry(model, hair)
    return _carried[hair]


@functools.lru_cache(maxsize=64)
def liking(hair: HairMesh) -> float:
    """Weight of a style of the assets in sampling: 0 if its cards are mostly holes, low if it covers an eye."""
    middle, uv = hair.vertices[hair.triangles].mean(axis=1), hair.uv[hair.triangles].mean(axis=1)
    height, width = hair.texture.shape[:2]
    row, column = ((1 - uv[:, 1]) % 1 * height).astype(int), (uv[:, 0] % 1 * width).astype(int)
    alpha = hair.texture[row.clip(0, height - 1), column.clip(0, width - 1), 3] / 255
    edges = hair.vertices[hair.triangles[:, 1:]] - hair.vertices[hair.triangles[:, :1]]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    if (area * alpha).sum() < 0.7 * area.sum():
        return 0.0
    before_eye = (np.abs(np.abs(middle[:, 0]) - 3.1) < 1.6) & (np.abs(middle[:, 1] - 3.4) < 1.2) & (middle[:, 2] > 5)
    return 0.12 if (area * alpha)[before_eye].sum() > 2 else 1.0


def _carry(model: FaceModel, hair: HairMesh) -> tuple[Geometry, ...]:
    """The cards in two layers, outer over inner, so that gaps in a card show hair."""
    skin = scalp.surface(model)
    on_rest = replace(skin, vertices=hair.rest[skin.index].astype(np.float64))
    on_rest = replace(on_rest, tree=type(skin.tree)(on_rest.vertices))
    follow = binding(on_rest, hair.vertices, len(model.vertices))
    vertices = hair.vertices + follow @ (model.vertices - hair.rest)
    vertices = skin.outside(vertices, 0.35)
    faces = hair.triangles
    count = len(vertices)
    links = sparse.coo_matrix((np.ones(faces.size), (faces.ravel(), np.roll(faces, 1, 1).ravel())), (count, count))
    cards, card = connected_components(links, directed=False)
    height = skin.tree.query(vertices)[0]
    mean_height = np.bincount(card, height) / np.bincount(card)
    outer = (mean_height > np.median(mean_height[card])) if cards > 1 else np.zeros(1, bool)
    uv = hair.uv[faces] * [1, -1] + [0, 1]
    tangents, outward = _downwards(vertices, faces, uv), volume_normals(vertices)
    own = Normals(faces, count)(vertices)
    own *= np.sign((own * outward).sum(1, keepdims=True))
    whole = Piece(
        name=hair.id,
        vertices=vertices,
        triangles=faces,
        normals=unit(outward + 0.8 * own),
        uv=(uv % 1.0 if uv.min() < 0 or uv.max() > 1 else uv).astype(np.float32),
        texture=0,
        material=Material.HAIR,
        parsing=Parsing.HAIR,
        layer=Layer.HAIR,
        share=hanging_share(vertices),
        occlusion=np.clip(0.55 + 0.3 * height, 0.55, 0.95).astype(np.float32),
        tangents=tangents,
    )
    pattern = _pattern_of(hair.texture)
    made = []
    for layer, chosen in ((Layer.HAIR, ~outer[card[faces[:, 0]]]), (Layer.WISPS, outer[card[faces[:, 0]]])):
        index, renumbered = np.unique(faces[chosen], return_inverse=True)
        if len(index):
            piece = replace(
                whole,
                layer=layer,
                triangles=renumbered.reshape(-1, 3),
                uv=whole.uv[chosen],
                **{name: getattr(whole, name)[index] for name in _PER_VERTEX},
            )
            made.append(Geometry(piece, follow[index], pattern))
    return tuple(made)


_PER_VERTEX = ("vertices", "normals", "share", "occlusion", "tangents")


def _downwards(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(n, 3) the direction in which v grows, along the painted strands."""
    edge, grade = vertices[faces[:, 1:]] - vertices[faces[:, :1]], uv[:, 1:] - uv[:, :1]
    area = grade[:, 0, 0] * grade[:, 1, 1] - grade[:, 1, 0] * grade[:, 0, 1]
    down = (edge[:, 1] * grade[:, :1, 0] - edge[:, 0] * grade[:, 1:, 0]) * np.sign(area)[:, None]
    total = np.zeros_like(vertices)
    np.add.at(total, faces.ravel(), np.repeat(unit(down), 3, axis=0))
    return unit(total)


def _pattern_of(texture: np.ndarray) -> Pattern:
    """The brightness and coverage of a painted texture, without its hue."""
    small = cv2.resize(texture, (384, 384), interpolation=cv2.INTER_AREA)
    luminance = (small[..., :3].astype(np.float32) / 255).mean(axis=2) ** 2.2
    covered = small[..., 3] > 128
    middle = max(float(np.median(luminance[covered])) if covered.any() else 0.2, 1e-3)
    brightness = 0.5 + np.log((luminance + 0.02 * middle) / middle) / 1.9 * 0.55
    draws = np.random.Generator(np.random.Philox(key=5))
    strand = np.tile(draws.random(len(small)).astype(np.float32), (len(small), 1))
    return Pattern(brightness.clip(0.05, 0.95), small[..., 3] / 255 * 1.4, strand)
