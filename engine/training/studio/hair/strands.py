"""Hair as strands in place of cards, for slower and better pictures: thin ribbons that face the camera."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from engine.face.model import FaceModel
from engine.training.studio.body.pattern import display, faded, number_of
from engine.training.studio.body.piece import Layer, Posture, binding, unit
from engine.training.studio.hair import cards as hair
from engine.training.studio.hair import scalp
from engine.training.studio.hair.cards import STYLES, grid_strip, hanging_share, volume_normals
from engine.training.studio.stage.scene import Material, Mesh, Parsing, Texture

_COUNT = 4500
_WIDTH = 0.11  # cm; one ribbon stands for several hairs
_SHADES = 16


@dataclass(frozen=True)
class Strands:
    """``guides`` (G, K, 3) cm in a sitter's head space and the way they run; ``shade`` (G,) a column of the texture."""

    name: str
    guides: np.ndarray
    along: np.ndarray
    shade: np.ndarray
    texture: int

    def mesh(self, posture: Posture, first_texture: int) -> Mesh:
        """In camera space, each ribbon across the line of sight."""
        count, steps = self.guides.shape[:2]
        flat = self.guides.reshape(-1, 3)
        share = hanging_share(flat)
        middle = posture.place(flat, share)
        along = posture.turn(self.along.reshape(-1, 3), share)
        across = unit(np.cross(along, middle))
        t = np.tile(np.linspace(0, 1, steps), count)
        half = 0.5 * _WIDTH * np.interp(t, [0, 0.7, 1], [1.0, 0.9, 0.15])[:, None]
        vertices = np.stack([middle - half * across, middle + half * across], axis=1).reshape(-1, 3)
        outward = posture.turn(volume_normals(flat), share)
        triangles = (grid_strip(steps)[None] + (np.arange(count) * steps * 2)[:, None, None]).reshape(-1, 3)
        u = np.repeat((self.shade + 0.5) / _SHADES, steps * 2)
        uv = np.stack([u, np.repeat(t, 2)], axis=1)
        faces = len(triangles)
        return Mesh(
            name=self.name,
            vertices=vertices.astype(np.float32),
            triangles=triangles,
            normals=outward.repeat(2, axis=0),
            uv=uv[triangles].astype(np.float32),
            texture=np.full(faces, first_texture + self.texture),
            material=np.full(faces, Material.HAIR),
            parsing=np.full(faces, Parsing.HAIR),
            occlusion=np.interp(t, [0, 0.5, 1], [0.6, 0.85, 1.0]).repeat(2).astype(np.float32),
            tangents=along.repeat(2, axis=0),
            layer=int(Layer.WISPS),
        )


@functools.lru_cache(maxsize=12)
def _grown(model: FaceModel, name: str, variant: int) -> tuple[np.ndarray, object]:
    """Guides of a style on the mean head, and the weights by which they follow the skin."""
    style = STYLES[name]
    draws = np.random.Generator(np.random.Philox(key=number_of("strands " + name, variant)))
    growth = hair.varied(style.growth, np.random.Generator(np.random.Philox(key=number_of(name, variant))))
    if style.shell:
        growth = replace(growth, base=0.85 * style.shell)
    guides = scalp.grow(model, growth, _COUNT, draws).points
    return guides, binding(scalp.surface(model), guides.reshape(-1, 3), len(model.vertices), 4)


def has(name: str) -> bool:
    """Whether a style can have strands: loose hair that is not pressed, gathered or coiled."""
    style = STYLES[name]
    return style.loose > 0 and style.pattern != "coily" and style.growth.comb != "bun"


def fitted(model: FaceModel, name: str, variant: int, shift: np.ndarray, texture: int) -> Strands:
    """The strands of a style on a sitter whose head differs from the mean by ``shift`` (N, 3)."""
    guides, follow = _grown(model, name, variant)
    placed = guides + (follow @ shift).reshape(guides.shape)  # type: ignore[operator]
    shade = np.random.Generator(np.random.Philox(key=number_of(name, variant + 97))).integers(_SHADES, size=len(guides))
    return Strands(f"strands {name}", placed, unit(np.gradient(placed, axis=1)), shade, texture)


def texture(colour: np.ndarray, grey: float) -> Texture:
    """Shades of ``colour`` (3,) linear side by side, a share ``grey`` of them without pigment; roots are darker."""
    gain = np.exp(np.linspace(-0.45, 0.45, _SHADES))[:, None]
    shades = colour * gain
    white = (np.arange(_SHADES) * 7 % _SHADES) < grey * _SHADES
    shades[white] = faded(colour) * (0.7 + 0.3 * gain[white])
    rows = shades[None] * np.linspace(0.8, 1.05, 8)[:, None, None]
    alpha = np.broadcast_to(
        np.array([255, 255, 255, 255, 250, 240, 210, 110], np.uint8)[:, None, None], (8, _SHADES, 1)
    )
    return Texture(np.concatenate([display(rows), alpha], axis=-1))
