"""What people and places are made from: heads, skins, brows, irises, environments, hair; each item has an id.

Items are split as a whole: nothing held out is seen in training.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from enum import Enum
from typing import TypeVar

import numpy as np

from engine.face.model import FaceModel
from engine.training.studio.body.anatomy import Anatomy
from engine.training.studio.body.layout import Layout
from engine.training.studio.stage.environment import Environment


class Split(Enum):
    """What is measured on (``held-out``) is never trained on."""

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
    ``age`` in years, or None if it suits any; ``feminine`` 0…1 or None."""

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


_Kind = TypeVar("_Kind", bound=Item | Environment)


def _of(split: Split, items: tuple[_Kind, ...]) -> tuple[_Kind, ...]:
    return tuple(item for item in items if item.held_out == (split is Split.HELD_OUT)) or items


@dataclass(frozen=True, eq=False)
class Library(Choices):
    """All items of both splits, and the model they are made for. ``digest`` is the SHA-256 of all sources;
    ``occlusion`` (N,) how much sky each vertex of the mean head sees; ``hair`` is empty without assets."""

    model: FaceModel
    anatomy: Anatomy
    layout: Layout
    occlusion: np.ndarray
    digest: str

    def choices(self, split: Split) -> Choices:
        """The items of a split; a kind without held-out items, such as brows, is shared by both."""
        return Choices(**{kind.name: _of(split, getattr(self, kind.name)) for kind in fields(Choices)})


def digest_of(model: FaceModel, *parts: bytes) -> str:
    """SHA-256 over the model's hash and further bytes."""
    return hashlib.sha256(b"\0".join([model.sha256.encode(), *parts])).hexdigest()
