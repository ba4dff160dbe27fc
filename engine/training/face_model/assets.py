"""The head assets that the face model is learned from: two parametric heads and a set of skins, as npz files.

``head_lod0.npz`` (first source): ``v`` (N, 3) cm, y up, face towards +z; ``I`` (K, N, 3) identity modes and ``X``
(E, N, 3) expressions as displacements, ``ex`` their names; ``f`` (T, 3) triangles, ``part`` (T,) an index into
``part_names``; ``vt``, ``ft`` texture coordinates (face in u 0…1, back of the head in 1…2); ``lm`` 68 iBUG vertices.
``mh_head_cc0.npz`` (second source): ``v``, ``I``, ``f`` of an unrelated mesh, in cm, anywhere in space.
``textures.npz``: ``face`` (S, 1024, 1024, 3) and ``back`` (S, 512, 512, 3) sRGB skins on those coordinates, ``brows``
(B, 1024, 1024) coverage, ``eyes`` (C, 256, 256, 3) irises seen from the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from engine.errors import EngineError

SURFACE_PARTS = ("skin", "mouth", "sock")  # one continuous sheet, open only at the neck


@dataclass(frozen=True)
class Head:
    """A parametric head: ``vertices`` (N, 3) cm, ``triangles`` (T, 3), ``identity`` (K, N, 3) for N(0, 1)."""

    vertices: np.ndarray
    triangles: np.ndarray
    identity: np.ndarray


@dataclass(frozen=True)
class AnnotatedHead(Head):
    """The first source: also expressions (E, N, 3), parts, landmarks (68,) and texture coordinates."""

    expression: np.ndarray
    expression_names: tuple[str, ...]
    triangle_part: np.ndarray  # (T,) names
    landmarks68: np.ndarray
    uv: np.ndarray  # (U, 2)
    uv_triangles: np.ndarray  # (T, 3)

    def part(self, *names: str) -> np.ndarray:
        """The triangles (t, 3) of those parts."""
        return self.triangles[np.isin(self.triangle_part, names)]


@dataclass(frozen=True)
class Skins:
    """``face`` (S, H, H, 3), ``back`` (S, h, h, 3), ``eyes`` (C, e, e, 3) uint8 RGB; ``brows`` (B, H, H) uint8."""

    face: np.ndarray
    back: np.ndarray
    brows: np.ndarray
    eyes: np.ndarray


def _load(folder: Path, name: str, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    path = folder / name
    remedy = "Give --assets the folder that holds the head assets; docs/develop.md lists them."
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in keys}
    except FileNotFoundError as fault:
        raise EngineError("missing_file", f"{path} does not exist.", remedy) from fault
    except (KeyError, ValueError, OSError, BadZipFile) as fault:
        raise EngineError("bad_assets", f"{path} cannot be read as head assets: {fault}.", remedy) from fault


def load_first(folder: Path) -> AnnotatedHead:
    """The head with expressions, teeth, eyes and landmarks."""
    data = _load(folder, "head_lod0.npz", ("v", "I", "X", "ex", "f", "part", "part_names", "lm", "vt", "ft"))
    return AnnotatedHead(
        vertices=data["v"].astype(np.float64),
        triangles=data["f"].astype(np.int64),
        identity=data["I"].astype(np.float32),
        expression=data["X"].astype(np.float32),
        expression_names=tuple(str(name) for name in data["ex"]),
        triangle_part=data["part_names"][data["part"]].astype(str),
        landmarks68=data["lm"].astype(np.int64),
        uv=data["vt"].astype(np.float64),
        uv_triangles=data["ft"].astype(np.int64),
    )


def load_second(folder: Path) -> Head:
    """The head that only adds identity statistics."""
    data = _load(folder, "mh_head_cc0.npz", ("v", "I", "f"))
    return Head(data["v"].astype(np.float64), data["f"].astype(np.int64), data["I"].astype(np.float32))


def load_skins(folder: Path) -> Skins:
    """Colours for the renders that the detector is shown."""
    data = _load(folder, "textures.npz", ("face", "back", "brows", "eyes"))
    return Skins(data["face"], data["back"], data["brows"], data["eyes"])
