"""Named arrays: how each kind is stored, what a network is given of it, and how it is reduced to a smaller picture.

Pictures are S pixels wide, with pixel centres at +.5. Networks see places on the *grid*: −1 and 1 are the centres of
the first and last pixel, which is ``align_corners=True`` everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

_COVERED = 0.5  # share of a pixel's area that must be known for the pixel to be


class Kind:
    """Numbers that do not depend on the picture's size."""

    dtype = "<f4"

    def stored(self, value: Any) -> np.ndarray:
        """``value`` as it is kept."""
        return np.asarray(value).astype(self.dtype)

    def tensor(self, value: Any, size: int) -> np.ndarray:
        """``value``, stored or not, as networks are given it: channels first, no batch."""
        return np.asarray(value, np.float32)

    def smaller(self, value: Any, size: int, before: int) -> Any:
        """The stored ``value`` of pictures that shrink from ``before`` to ``size`` pixels."""
        return value


class Flags(Kind):
    """Booleans, 0 or 1 in a tensor."""

    dtype = "?"


class Number(Kind):
    """An integer."""

    dtype = "<i8"

    def tensor(self, value: Any, size: int) -> np.ndarray:
        return np.asarray(value, np.int64)


class Points(Kind):
    """(P, 2 or 3) in pixels; in a tensor (x, y) on the grid and z in its unit."""

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        depth = value[:, 2:] * (2 / (size - 1))
        return np.concatenate([to_grid(value[:, :2], size), depth], axis=1).astype(np.float32)

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        return value * np.float32(size / before)


class Picture(Kind):
    """(S, S, 3) uint8 display-referred sRGB; −1…1 in a tensor."""

    dtype = "u1"

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        return _planes(value) * np.float32(2 / 255) - 1

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        return average(value, size)


class Share(Kind):
    """(S, S) 0…1, stored as 0…255."""

    dtype = "u1"

    def stored(self, value: np.ndarray) -> np.ndarray:
        return np.rint(value * 255).astype(np.uint8)

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        planes = _planes(value)
        return planes * np.float32(1 / 255) if value.dtype == np.uint8 else planes

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        return average(value, size)


class Classes(Kind):
    """(S, S) numbers that cannot be averaged."""

    dtype = "u1"

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        return value.astype(np.int64)

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        return cv2.resize(value, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)


class Mask(Flags):
    """(S, S) booleans."""

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        return _planes(value)

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        return average(value.astype(np.float32), size) >= _COVERED


class Map(Kind):
    """(S, S) numbers."""

    dtype = "<f2"

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        return _planes(value)

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        return average(value.astype(np.float32), size).astype(np.float16)


class Code(Map):
    """(S, S, 3) in 0…1, 0 where there is none; averaged where there is some."""

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        code = value.astype(np.float32)
        return _average_where(code, code[..., 0] + code[..., 1] + code[..., 2] > 0, size, empty=0.0)


class Depth(Map):
    """(S, S) cm, infinity where there is nothing, which is 0 in a tensor."""

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        depth = _planes(value)
        return np.where(np.isfinite(depth), depth, np.float32(0))

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        depth = value.astype(np.float32)
        near = np.isfinite(depth)
        depth[~near] = 0
        return _average_where(depth, near, size, empty=np.inf)


class Flow(Map):
    """(S, S, 2) offsets (x, y) in pixels; on the grid in a tensor."""

    def tensor(self, value: np.ndarray, size: int) -> np.ndarray:
        return _planes(value) * np.float32(2 / (size - 1))

    def smaller(self, value: np.ndarray, size: int, before: int) -> np.ndarray:
        return smaller_flow(value, None, size)[0]


@dataclass(frozen=True)
class Field:
    """One named array. ``shape`` has numbers and letters: S is the picture's side, K and E are the face model's
    identities and expressions. ``text`` says what it is, for people."""

    kind: Kind
    shape: tuple[int | str, ...]
    text: str = ""

    def dims(self, sides: Mapping[str, int]) -> tuple[int, ...]:
        """``shape`` with the letters replaced by ``sides``."""
        return tuple(sides[n] if isinstance(n, str) else n for n in self.shape)


def to_grid(pixels: Any, size: int) -> Any:
    """Pixels (…, 2), centres at +.5, to the grid."""
    return (pixels - 0.5) * (2 / (size - 1)) - 1


def to_pixels(grid: Any, size: int) -> Any:
    """The inverse of :func:`to_grid`."""
    return (grid + 1) * ((size - 1) / 2) + 0.5


def smaller_flow(flow: np.ndarray, visible: np.ndarray | None, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(S, S, 2) offsets in pixels and where they hold, averaged where they hold and scaled to the new pixels."""
    scale = np.float32(size / len(flow))
    flow = flow.astype(np.float32)
    everywhere = average(flow, size) * scale
    if visible is None:
        return everywhere.astype(np.float16), None
    share = average(visible.astype(np.float32), size)
    seen = average(flow * visible[..., None], size)
    holds = share >= _COVERED
    seen *= (scale / np.maximum(share, 1e-6))[..., None]
    return np.where(holds[..., None], seen, everywhere).astype(np.float16), holds


def average(image: np.ndarray, size: int) -> np.ndarray:
    """``image`` reduced to ``size`` pixels, each the mean of what it covers."""
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _average_where(values: np.ndarray, known: np.ndarray, size: int, empty: float) -> np.ndarray:
    """The mean of what is ``known`` under each new pixel, ``empty`` where that is less than half of it, as float16;
    ``values`` float32 are 0 where they are not known."""
    share = average(known.astype(np.float32), size)
    total = average(values, size)
    if values.ndim == 3:
        share = share[..., None]
    return np.where(share >= _COVERED, total / np.maximum(share, 1e-6), np.float32(empty)).astype(np.float16)


def _planes(picture: np.ndarray) -> np.ndarray:
    """(S, S) or (S, S, C) as (C, S, S) float32."""
    return np.ascontiguousarray(np.atleast_3d(picture).transpose(2, 0, 1), np.float32)
