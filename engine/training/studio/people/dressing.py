"""What a person wears: hair, beard, clothes, glasses and hats, drawn to suit their traits and fitted to their head.

:func:`choose` draws an :class:`Outfit`, :func:`dress` fits it to a head once, :meth:`Wardrobe.meshes` poses it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.face.maths import smoothstep
from engine.face.model import FaceModel
from engine.training.studio.body.pattern import coloured
from engine.training.studio.body.piece import Geometry, Layer, Piece, Posture
from engine.training.studio.body.regions import Regions
from engine.training.studio.hair import beard, scalp, strands
from engine.training.studio.hair import cards as hair
from engine.training.studio.hair import meshes as hair_mesh
from engine.training.studio.hair.strands import Strands
from engine.training.studio.library.items import HairMesh
from engine.training.studio.people.traits import Traits
from engine.training.studio.stage.scene import Mesh, Texture
from engine.training.studio.wardrobe import garments, glasses, headwear
from engine.training.studio.wardrobe.glasses import Spectacles

# How often men and women wear a style, and whether it needs coiled hair (1), excludes it (−1) or allows both (0).
_STYLES: dict[str, tuple[float, float, int]] = {
    "shaved": (0.4, 0.03, 0),
    "buzz": (1.0, 0.05, 0),
    "crop": (1.6, 0.15, 0),
    "short": (2.0, 0.4, -1),
    "side part": (1.8, 0.2, -1),
    "slick": (0.8, 0.3, -1),
    "quiff": (1.0, 0.1, -1),
    "messy": (1.4, 0.4, -1),
    "mop": (0.7, 0.4, -1),
    "bob": (0.08, 1.6, -1),
    "fringed bob": (0.05, 1.1, -1),
    "long": (0.25, 2.0, -1),
    "long fringe": (0.05, 1.2, -1),
    "long wavy": (0.2, 1.8, -1),
    "swept back": (0.25, 1.2, -1),
    "curly": (0.7, 0.6, 0),
    "long curly": (0.1, 0.9, 0),
    "afro": (0.5, 1.0, 1),
    "short afro": (2.5, 0.8, 1),
    "bun": (0.12, 1.5, 0),
    "ponytail": (0.12, 1.5, 0),
}
_BEARDS = {
    **{"stubble": 2.2, "short": 1.6, "full": 1.2, "long": 0.15, "moustache": 0.5, "goatee": 0.7, "chin": 0.25},
    "sideless": 0.25,
}
_GARMENTS = {  # men's and women's shares
    **{"crew": (3.0, 2.4), "wide": (0.2, 1.8), "vee": (0.7, 1.2), "shirt": (1.3, 0.5), "polo": (0.7, 0.3)},
    **{"turtleneck": (0.5, 0.8), "hoodie": (1.0, 0.7), "jacket": (0.9, 0.8), "open shirt": (0.6, 0.5)},
    "knit": (0.9, 1.1),
}
_ASSET_SHARE = 0.4  # share of people who wear a style of the assets


@dataclass(frozen=True)
class Outfit:
    """``hair`` is a style of ``hair.STYLES`` or a mesh of the assets, ``variant`` which one of its kind; ``beard`` of
    ``beard.SHAPES``; ``garment`` of ``garments.CUTS``; ``headwear`` of ``headwear.KINDS``; ``fabrics`` of garment,
    what is under it, and headwear, white if there is none."""

    hair: str | HairMesh
    variant: int
    beard: str
    garment: str
    glasses: Spectacles | None
    headwear: str | None
    fabrics: tuple[Texture, ...]

    def scalp_cover(self, region: Regions) -> np.ndarray:
        """How much hair roots tint the skin, (S, S) 0…1 in the studio's layout."""
        return _scalp_cover("short" if isinstance(self.hair, HairMesh) else self.hair, region)

    def beard_cover(self, model: FaceModel, region: Regions) -> np.ndarray:
        """How much a beard covers the skin, likewise; 0 without a beard and for stubble, which is a trait."""
        return _beard_cover(model, self.beard, region)


@functools.lru_cache(maxsize=32)
def _scalp_cover(name: str, region: Regions) -> np.ndarray:
    style = hair.STYLES[name]
    inside = scalp.hairline(region.positions, style.growth.recede, style.growth.crown)
    thin = np.interp(inside, [0.0, 2.5], [0.75, 1.0])  # sparser along the line
    return (style.scalp * thin * smoothstep(inside / 0.9 + 0.4) * (1 - region.ears)).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _beard_cover(model: FaceModel, name: str, region: Regions) -> np.ndarray:
    shape = beard.SHAPES[name]
    if shape.length <= 0:
        return np.zeros((region.size, region.size), np.float32)
    strength = np.interp(shape.length, [0.5, 2.0], [0.72, 0.9])
    return (strength * beard.density(model, region.positions, shape)).astype(np.float32)


def choose(styles: Sequence[HairMesh], draws: np.random.Generator, traits: Traits) -> Outfit:
    """An outfit for a person with these ``traits``; ``styles`` are the assets' hair of the split, if any."""
    feminine = traits.feminine
    hidden = draws.random()
    hat = None
    if hidden < 0.10:
        shares = np.array([0.4, 0.4, 0.2]) if feminine < 0.5 else np.array([0.3, 0.15, 0.55])
        hat = ("beanie", "cap", "headband")[draws.choice(3, p=shares)]
    elif hidden < 0.13 and feminine > 0.5:
        hat = "scarf"
    chance = 0.14 + 0.3 * smoothstep(np.array((traits.age - 25) / 45)).item()
    spectacles = glasses.sample_glasses(draws) if draws.random() < chance * (0.5 if hat else 1.0) else None
    style = _hair(styles, draws, traits, hat)
    shares = np.array([men + (women - men) * feminine for men, women in _GARMENTS.values()])
    garment = list(_GARMENTS)[draws.choice(len(shares), p=shares / shares.sum())]
    dark = draws.random() < 0.5
    return Outfit(
        hair=style,
        variant=int(draws.integers(hair.VARIANTS)),
        beard=_beard(draws, traits),
        garment=garment,
        glasses=spectacles,
        headwear=hat,
        fabrics=(
            garments.fabric(draws, dark),
            garments.fabric(draws, not dark) if garments.CUTS[garment].inner else _UNUSED,
            garments.fabric(draws, draws.random() < 0.6) if hat else _UNUSED,
        ),
    )


_UNUSED = Texture(np.full((2, 2, 4), 255, np.uint8))


def _hair(styles: Sequence[HairMesh], draws: np.random.Generator, traits: Traits, hat: str | None) -> str | HairMesh:
    """Coiled hair correlates with dark skin, length with femininity, a receding hairline with a man's age."""
    feminine = traits.feminine
    if hat == "scarf":
        return "shaved"
    receding = (1 - feminine) * np.clip((traits.age - 22) / 75, 0, 0.65)
    if draws.random() < receding:
        kinds, later = ("thinning", "balding", "bald", "shaved"), np.clip((traits.age - 35) / 35, 0, 1)
        shares = np.array([1.4 - later, 0.2 + 0.8 * later, 0.5, 0.5])
        return kinds[draws.choice(4, p=shares / shares.sum())]
    coiled = draws.random() < smoothstep(np.array((traits.melanin - 0.45) / 0.35)).item()
    if styles and not coiled and hat is None and draws.random() < _ASSET_SHARE:
        wants_length = draws.random() < 0.08 + 0.75 * feminine
        shares = np.array([hair_mesh.liking(style) * (_is_long(style) == wants_length) for style in styles])
        if draws.random() < shares.max():
            return styles[draws.choice(len(styles), p=shares / shares.sum())]
    shares = np.array(
        [
            (men + (women - men) * feminine) * (coil >= 0 if coiled else coil <= 0) * _under(hat, name)
            for name, (men, women, coil) in _STYLES.items()
        ]
    )
    return list(_STYLES)[draws.choice(len(shares), p=shares / shares.sum())]


def _under(hat: str | None, name: str) -> float:
    """Whether a hairstyle fits under a hat: hair that stands up does not."""
    return 1.0 if hat is None or hair.STYLES[name].shell < 0.85 and name not in ("quiff", "bun") else 0.0


def _is_long(style: HairMesh) -> bool:
    return float(style.vertices[:, 1].min()) < -9


def _beard(draws: np.random.Generator, traits: Traits) -> str:
    """Adult men only; fuller with age."""
    if traits.feminine > 0.5 or traits.age < 20 or draws.random() > 0.3 + 0.15 * min(1.0, traits.age / 50):
        return "none"
    shares = np.array(list(_BEARDS.values()))
    if traits.age < 26:
        shares = shares * [1.5, 1, 0.4, 0.1, 0.6, 1, 1, 1]
    return list(_BEARDS)[draws.choice(len(shares), p=shares / shares.sum())]


@dataclass(frozen=True)
class Wardrobe:
    """A fitted outfit: pieces and strands in a sitter's head space and their textures."""

    pieces: tuple[Piece, ...]
    textures: tuple[Texture, ...]
    strands: tuple[Strands, ...] = ()

    def meshes(self, posture: Posture, first_texture: int) -> tuple[Mesh, ...]:
        """The pieces in camera space; their textures start at ``first_texture`` in the scene."""
        return tuple(thing.mesh(posture, first_texture) for thing in (*self.pieces, *self.strands))


def dress(
    model: FaceModel, neutral: np.ndarray, outfit: Outfit, traits: Traits, with_strands: bool = False
) -> Wardrobe:
    """Fit an outfit to a neutral head (N, 3); ``with_strands`` gives loose hair as strands in place of cards."""
    shift = (neutral - model.vertices).astype(np.float32)
    pieces: list[Piece] = []
    loose: list[Strands] = []
    textures = list(outfit.fabrics)

    def add(geometries: tuple[Geometry, ...], colour: np.ndarray, grey: float, on_face: bool = False) -> None:
        for geometry in geometries:
            if geometry.pattern is not None:
                textures.append(coloured(geometry.pattern, colour, grey))
            piece = geometry.fitted(shift, len(textures) - 1)
            if on_face:
                piece = replace(piece, follow=geometry.follow, each=geometry.each, neutral=neutral)
            pieces.append(piece)

    for geometry in garments.sewn(model, outfit.garment):
        pieces.append(geometry.fitted(shift, geometry.piece.texture))
    brim = headwear.BRIMS.get(outfit.headwear or "")
    if isinstance(outfit.hair, HairMesh):
        add(hair_mesh.from_assets(model, outfit.hair), traits.hair_colour, 0.0)
    elif outfit.headwear != "scarf":
        grown, grey = hair.grown(model, outfit.hair, outfit.variant, brim), 0.3 * traits.grey
        if with_strands and brim is None and strands.has(outfit.hair):
            grown = tuple(geometry for geometry in grown if geometry.piece.layer != Layer.WISPS)
            loose.append(strands.fitted(model, outfit.hair, outfit.variant, shift, len(textures)))
            textures.append(strands.texture(traits.hair_colour, grey))
        add(grown, traits.hair_colour, grey)
    add(beard.grown(model, outfit.beard, outfit.variant), traits.beard_colour, 0.3 * traits.grey, on_face=True)
    if outfit.headwear is not None:
        pieces += [geometry.fitted(shift, 2) for geometry in headwear.made(model, outfit.headwear)]
    if outfit.glasses is not None:
        pieces += glasses.fit(model, neutral, outfit.glasses, len(textures), len(textures) + 1)
        textures += glasses.textures(outfit.glasses)
    return Wardrobe(tuple(pieces), tuple(textures), tuple(loose))
