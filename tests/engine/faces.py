"""Faces to test on: the rendered clip, a public-domain portrait, and a smaller face model than the one that ships."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from skimage import data

from engine.face.maths import rotation_from_vector
from engine.face.model import DEFAULT_PATH, FaceModel
from engine.face.subject import FaceFit, fit_portraits
from engine.media.movie import MovieSource
from engine.motion.analyse import analyse
from engine.motion.motion import Motion, Tracked
from engine.tracking.detector import Observation
from engine.tracking.registry import create

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "data" / "driving_sample.mp4"


@functools.cache
def sample_frames() -> tuple[np.ndarray, ...]:
    """The clip that the repository renders itself: 48 pictures of a head that talks, blinks and turns."""
    source = MovieSource(SAMPLE)
    with closing(source.frames(0, source.count)) as frames:
        return tuple(rgb for _, rgb in frames)


@functools.cache
def sample_script() -> ModuleType:
    """The script that rendered the clip; its ``performance(frame)`` says what the head does."""
    loader = SourceFileLoader("render_sample", str(ROOT / "scripts" / "render_sample"))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def analysed(
    frames: Iterable[np.ndarray],
    start: int = 0,
    name: str = "clip.mp4",
    listen: Callable[[float], None] = lambda done: None,
) -> Motion:
    with closing(create("builtin")) as detector:
        return analyse(enumerate(frames, start), Fraction(24000, 1001), detector, name, listen)


@functools.cache
def sample_motion() -> Motion:
    return analysed(sample_frames())


def tracked_of(motion: Motion) -> Tracked:
    assert motion.tracked
    return motion.tracked


def retracked(motion: Motion, **fields: Any) -> Motion:
    """``motion`` with other values in its tracked part."""
    return replace(motion, tracked=replace(tracked_of(motion), **fields))


def observed(rgbs: Iterable[np.ndarray]) -> list[Observation]:
    """What the detector sees in the consecutive frames of a clip, each of which must show a face."""
    with closing(create("builtin")) as detector:
        faces = [detector.track(rgb) for rgb in rgbs]
    seen = [face for face in faces if face is not None]
    assert len(seen) == len(faces)
    return seen


def portrait_rgb() -> np.ndarray:
    """Eileen Collins by NASA, in the public domain: a smiling face, 288 wide and 320 high."""
    return np.ascontiguousarray(data.astronaut()[:320, 80:368])


@functools.cache
def portrait_face() -> FaceFit:
    return fitted(portrait_rgb())


def fitted(rgb: np.ndarray) -> FaceFit:
    with closing(create("builtin")) as detector:
        return fit_portraits([(Path("portrait.png"), rgb)], detector)[0]


def weights(model: FaceModel, **amounts: float) -> np.ndarray:
    """Expression weights (E,) by name; a name without its side means both."""
    names = model.expression_names
    for name in amounts:
        assert name in names or f"{name}_L" in names, name
    return np.array([amounts.get(n, amounts.get(n.removesuffix("_L").removesuffix("_R"), 0.0)) for n in names])


def turn(yaw: float, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Rotation of a head, degrees: towards +x, chin down, tilted to its left."""
    turns = [np.radians(angle) * axis for angle, axis in zip((yaw, pitch, roll), np.eye(3)[[1, 0, 2]])]
    return rotation_from_vector(turns[0]) @ rotation_from_vector(turns[1]) @ rotation_from_vector(turns[2])


def degrees_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1))))


def write_smaller_model(path: Path) -> Path:
    """The shipped face model less its tongue, most of its identities and most of its expressions."""
    with safe_open(str(DEFAULT_PATH), framework="numpy") as file:
        header = file.metadata()
        unread = {"uv", "pupil", "iris_left", "iris_right", "eye_centre"}
        tensors = {name: file.get_tensor(name) for name in file.keys() if name not in unread}
    names, parts = json.loads(header["expressions"]), json.loads(header["parts"])
    kept = [i for i, name in enumerate(names) if name.startswith(("jawOpen", "eyeBlink", "mouthSmile", "brow"))]
    stays = tensors["triangle_part"] != parts.pop("tongue")
    vertices = np.unique(tensors["triangles"][stays])
    for name in ("landmarks68_triangle", "dense_triangle"):
        tensors[name] = (np.cumsum(stays) - 1)[tensors[name]]
    tensors["triangles"] = np.searchsorted(vertices, tensors["triangles"][stays])
    tensors["triangle_part"] = tensors["triangle_part"][stays]
    tensors["vertices"] = tensors["vertices"][vertices]
    tensors["identity"] = tensors["identity"][:12, vertices]
    tensors["expression"] = tensors["expression"][kept][:, vertices]
    header |= {"expressions": json.dumps([names[i] for i in kept]), "parts": json.dumps(parts)}
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, str(path), header)
    return path
