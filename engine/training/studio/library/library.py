"""Everything a scene can be made from: heads, skins, brows, irises, surroundings, hair; each with an id of its own.

:func:`load` makes it from the user's folder of assets (``carried.py``) or, without one, from the shipped face model and
procedures (``builtin.py``). What is held out is held out whole: a :class:`Split` never shows an item of the other.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine.face import model as face_model
from engine.face.model import FaceModel
from engine.training.studio.people.anatomy import Anatomy
from engine.training.studio.people.layout import Layout

_BALANCE = 0.65  # of a cast that white balance takes out


class Split(Enum):
    """What the judge tests on is never trained on."""

    TRAIN = "train"
    HELD_OUT = "held-out"


@dataclass(frozen=True, eq=False)
class Item:
    """``id`` names it in labels and splits."""

    id: str
    held_out: bool


@dataclass(frozen=True, eq=False)
class HeadSource(Item):
    """Neutral heads on the face model's topology: ``mean`` (N, 3) cm and ``modes`` (K, N, 3) for N(0, 1)."""

    mean: np.ndarray
    modes: np.ndarray


@dataclass(frozen=True, eq=False)
class Skin(Item):
    """``albedo`` (S, S, 3) uint8 sRGB in the studio's layout, brows and scalp bare; ``melanin`` 0…1 from fair to dark;
    ``age`` in years or None where it suits any; ``feminine`` 0…1 or None."""

    albedo: np.ndarray
    melanin: float
    age: float | None
    feminine: float | None


@dataclass(frozen=True, eq=False)
class Brow(Item):
    """``coverage`` (S, S) uint8 in the studio's layout."""

    coverage: np.ndarray


@dataclass(frozen=True, eq=False)
class Iris(Item):
    """``rgb`` (e, e, 3) uint8 sRGB, the iris alone filling the square's inscribed circle, pupil in the middle;
    ``pupil`` its radius as a share of the iris'; ``darkness`` 0…1 from ice blue to black-brown."""

    rgb: np.ndarray
    pupil: float
    darkness: float


@dataclass(frozen=True, eq=False)
class Environment(Item):
    """``harmonics`` (9, 3): irradiance over π (what a white surface sends back) as real spherical harmonics in the
    usual order; ``mirror`` (h, w, 3) blurred radiance and ``panorama`` (H, W, 3) linear radiance, latitude-longitude
    maps as in ``scene.Light``: row 0 is +y, the middle column −z, to the right +x."""

    harmonics: np.ndarray
    mirror: np.ndarray
    panorama: np.ndarray


@dataclass(frozen=True, eq=False)
class HairMesh(Item):
    """A hair style as cards, fitted to the head ``rest``: ``vertices`` (M, 3) cm, ``uv`` (M, 2) v up, ``triangles``
    (t, 3), ``texture`` (h, w, 4) uint8 sRGB with alpha; ``rest`` (N, 3) on the face model's topology."""

    vertices: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    texture: np.ndarray
    rest: np.ndarray


@dataclass(frozen=True, eq=False)
class Choices:
    """What one split may choose from."""

    heads: tuple[HeadSource, ...]
    skins: tuple[Skin, ...]
    brows: tuple[Brow, ...]
    irises: tuple[Iris, ...]
    environments: tuple[Environment, ...]
    hair: tuple[HairMesh, ...]


_Kind = TypeVar("_Kind", bound=Item)


def _of(split: Split, items: tuple[_Kind, ...]) -> tuple[_Kind, ...]:
    return tuple(item for item in items if item.held_out == (split is Split.HELD_OUT)) or items


@dataclass(frozen=True, eq=False)
class Library:
    """``digest`` is the SHA-256 of all it was made from; ``occlusion`` (N,) how much sky each vertex of the mean head
    sees; ``hair`` is empty without assets."""

    model: FaceModel
    anatomy: Anatomy
    layout: Layout
    occlusion: np.ndarray
    heads: tuple[HeadSource, ...]
    skins: tuple[Skin, ...]
    brows: tuple[Brow, ...]
    irises: tuple[Iris, ...]
    environments: tuple[Environment, ...]
    hair: tuple[HairMesh, ...]
    digest: str

    def choices(self, split: Split) -> Choices:
        """The items of a split; where a kind has none of its own, brows and irises say, all are shared."""

        return Choices(
            _of(split, self.heads),
            _of(split, self.skins),
            _of(split, self.brows),
            _of(split, self.irises),
            _of(split, self.environments),
            _of(split, self.hair),
        )


def load(assets: Path | None = None) -> Library:
    """The library of a folder of assets, or the built-in one. Raises EngineError for assets that cannot be used.

    The first time, assets are carried onto our topology, which takes about a minute; the result is kept in the user's
    cache folder.
    """
    return _load(assets.resolve() if assets is not None else None)


@functools.lru_cache(maxsize=2)
def _load(assets: Path | None) -> Library:
    from engine.training.studio.library import builtin, carried

    model = face_model.load()
    return builtin.library(model) if assets is None else carried.library(model, assets)


def balanced(*maps: np.ndarray) -> list[np.ndarray]:
    """Harmonics (9, 3) and maps (h, w, 3) of one place as a camera's white balance has them: most of the cast of the
    mean light, which the first harmonic holds, is taken out, as no eye and no camera would leave it."""
    mean = np.maximum(maps[0][0], 1e-4)
    gain = (mean.mean() / mean) ** _BALANCE
    return [(values * gain).astype(np.float32) for values in maps]


def digest_of(model: FaceModel, *parts: bytes) -> str:
    """SHA-256 over the model's own and further bytes."""
    return hashlib.sha256(b"\0".join([model.sha256.encode(), *parts])).hexdigest()
