"""The user's own clips as samples: analysed once, cropped to the face, stored as records beside the clips.

Parsing and depth are unknown in footage and are None. All other labels come from the face model fitted to every frame,
and are as good as the fit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from engine.cli.footage import driving_from
from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.anatomy import anatomy
from engine.face.camera import Pose
from engine.face.gaze import EYES, eyeball
from engine.face.maths import look
from engine.geometry import pncc
from engine.media.image import IMAGE_SUFFIXES
from engine.media.source import FrameSource, open_source
from engine.motion.footage import CachedAnalysis
from engine.motion.motion import Motion
from engine.training import shards
from engine.training.portrait import Portrait, portrait_of
from engine.training.records import Layout, Parts
from engine.training.resize import smaller_frame
from engine.training.sample import Frame, Pair, Samples
from engine.training.shards import Plan, Records, write
from engine.training.studio.randomness import draws

MOVIE_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mxf", ".mpg", ".mts"})
CACHE = "understudy-samples"  # beside the clips
VERSION = 1
SIZE = 256
_SEQUENCE_RATE = Fraction(24)  # of image sequences, which have no rate; it only affects smoothing
_PER_CLIP = 1500  # frames kept per clip, evenly spaced
_WORST_RESIDUAL = 3.0  # percent of the face's diagonal
_SAME = 0.15  # share of pairs whose driving frame is the source itself
_KEPT = ("image", "matte", "dense", "identity", "expression", "gaze", "rotation", "translation", "focal")


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


class FootageSamples(Samples):
    """Random pairs of frames of the same clip, drawn from ``seed``; longer clips are drawn more often.

    Clips are the movies and the folders of images in ``data``. A clip without a usable face is skipped with a warning.
    Raises EngineError ``no_footage`` if no clip is left.
    """

    def __init__(
        self,
        data: Path,
        seed: int = 7,
        size: int = SIZE,
        detector: str = "builtin",
        on_warning: Callable[[str], None] = warn,
    ) -> None:
        self._seed, self._clips = seed, []
        found = clips(data)
        for path in found:
            try:
                self._clips.append(_records(path, data / CACHE, size, detector))
            except EngineError as fault:
                if fault.code in ("disk_full", "not_writable"):
                    raise
                on_warning(f"{path} is skipped. {fault.text}")
        if not self._clips:
            raise EngineError(
                "no_footage",
                f"{data} holds no clips." if not found else f"None of the {len(found)} clips in {data} shows a face.",
                "Choose a folder of movies, or of folders of images, in which one face is large, lit and not covered.",
            )
        self._weights = np.sqrt([len(records) for records in self._clips])
        self._weights /= self._weights.sum()

    def pair(self, number: int, size: int) -> Pair:
        draw = draws(self._seed, "footage", number)
        clip = int(draw.choice(len(self._clips), p=self._weights))
        records = self._clips[clip]
        here, there = draw.integers(len(records), size=2)
        if draw.random() < _SAME:
            there = here
        source, driving = (self._labelled(records.parts(int(k))["frame"], clip, size) for k in (here, there))
        from engine.training.studio.renderer import labels

        flow, visible = labels.flow(driving[1], source[1])
        return Pair(source[0], driving[0], flow, visible)

    def describe(self) -> dict[str, object]:
        digest = hashlib.sha256("".join(records.sha256 for records in self._clips).encode()).hexdigest()
        return {"kind": "footage", "clips": len(self._clips), "sha256": digest, "seed": self._seed}

    def _labelled(self, stored: Frame, person: int, size: int):
        from engine.training.studio.renderer import labels

        if size > len(stored.image):
            raise EngineError(
                "shard_size",
                f"The clips were cropped to {len(stored.image)} pixels, {size} were asked for.",
                f"Train at {len(stored.image)} or less.",
            )
        picture = drawn(smaller_frame(stored, size), head_of(stored))
        return replace(labels.frame(picture, person), parsing=None, depth=None), picture


def clips(data: Path) -> list[Path]:
    """Movies and folders of images in ``data``, by name; raises EngineError ``missing_file``."""
    if not data.is_dir():
        raise EngineError("missing_file", f"There is no folder {data}.", "Choose a folder of clips.")

    def is_clip(path: Path) -> bool:
        if path.name.startswith(".") or path.name == CACHE:
            return False
        if path.is_dir():
            return any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in path.iterdir())
        return path.suffix.lower() in MOVIE_SUFFIXES

    return sorted(path for path in data.iterdir() if is_clip(path))


def head_of(frame: Frame) -> np.ndarray:
    """The fitted head of a stored frame, (N, 3) in camera space, with the detector's offsets applied."""
    model = face_model.load()
    assert frame.dense is not None and frame.identity is not None and frame.expression is not None
    assert frame.rotation is not None and frame.translation is not None and frame.focal is not None
    assert frame.gaze is not None
    pose, size = Pose(frame.rotation, frame.translation), len(frame.image)
    head = model.deform(model.neutral(frame.identity), frame.expression)
    points = pose.apply(model.dense.at(head))
    scale = frame.focal * size / -points[:, 2:]
    offset = (frame.dense[:, :2] - size / 2) / scale * [1, -1] - points[:, :2]
    offsets = np.column_stack([offset, np.zeros(len(offset))]) @ pose.rotation
    placed = head + anatomy(model, dense=True).spread(offsets)
    for name, gaze in zip(EYES, frame.gaze, strict=True):
        ids = model.vertices_of(name)
        centre, _ = eyeball(model, placed, name)
        placed[ids] = (placed[ids] - centre) @ look(*gaze).T + centre
    return pose.apply(placed)


def drawn(frame: Frame, vertices: np.ndarray):
    """``frame`` as a Picture of the studio that holds the head only, so that the studio's code can label it."""
    from engine.raster.opencv import rasterise
    from engine.training.studio.renderer.render import Picture
    from engine.training.studio.stage.scene import HeadState, Light, Mesh, Scene

    model, size = face_model.load(), len(frame.image)
    assert frame.identity is not None and frame.expression is not None and frame.gaze is not None
    assert frame.rotation is not None and frame.translation is not None and frame.focal is not None
    unlit = Light(np.zeros((9, 3)), np.zeros((1, 1, 3)), np.eye(3), np.array([0, 0, 1.0]), np.zeros(3))
    looks: Any = {name: np.zeros(0) for name in ("normals", "uv", "texture", "material", "parsing", "occlusion")}
    mesh = Mesh("head", vertices, model.triangles, **looks)
    state = HeadState(vertices, frame.identity, frame.expression, frame.gaze, frame.rotation, frame.translation)
    scene = Scene((mesh,), (), unlit, np.zeros((1, 1, 3), np.float32), frame.focal, state)
    pixels, depth = scene.project(vertices, size)
    fragments = rasterise(pixels, depth, model.triangles, (size, size))
    return Picture(
        scene=scene,
        size=size,
        image=frame.image,
        matte=frame.matte if frame.matte is not None else np.zeros((size, size), np.uint8),
        parsing=np.zeros((size, size), np.uint8),
        depth=fragments.image(fragments.depth, np.inf),
        pncc=fragments.image(fragments.gather(pncc.normalised_coordinates(model), model.triangles).astype(np.float16)),
        pixel=fragments.pixel,
        mesh=np.zeros(len(fragments.pixel), np.intp),
        corners=model.triangles[fragments.triangle],
        barycentric=fragments.barycentric,
    )


def _records(path: Path, cache: Path, size: int, detector: str) -> Records:
    """The kept frames of one clip, from the cache or made now."""
    source = open_source(driving_from(path), _SEQUENCE_RATE)
    motion, analysis = _analysed(cache, source, detector)
    key = hashlib.sha256(json.dumps([analysis, VERSION, shards.VERSION, size]).encode()).hexdigest()[:16]
    folder = cache / f"{path.stem[:40]}.{key}"
    portrait = portrait_of(motion)
    kept = _kept(motion, portrait)
    model = face_model.load()
    layout = Layout(("frame",), _KEPT, size, len(model.identity), len(model.expression))
    plan = Plan.of(layout, len(kept), {"kind": "clip", "key": key, "version": VERSION})
    with closing(_Frames(source, motion, portrait, kept, size)) as frames:
        write(folder, plan, frames)
    return Records(folder)


def _analysed(cache: Path, source: FrameSource, detector: str) -> tuple[Motion, str]:
    """The motion of a clip and a name that changes with it."""
    from engine.tracking.registry import create

    with closing(create(detector)) as finder:
        analysis = CachedAnalysis(cache, source, 0, source.count, finder)
        motion = analysis.motion(lambda message: None)
    if motion.tracked is None or motion.tracked.offsets.shape[1] != 468:
        raise EngineError(
            "unknown_detector", f"The detector {detector} sees too few points to label footage.", "Choose builtin."
        )
    return motion, analysis.path.stem


def _kept(motion: Motion, portrait: Portrait) -> list[int]:
    """Indices into the motion of frames that are worth learning from."""
    assert motion.tracked
    good = motion.valid & (motion.tracked.residual <= _WORST_RESIDUAL) & portrait.inside
    kept = np.flatnonzero(good)
    if not len(kept):
        raise EngineError("no_face", "The fitted face matches the picture well enough in no frame.", "")
    return kept[np.linspace(0, len(kept) - 1, min(_PER_CLIP, len(kept))).astype(int)].tolist()


class _Frames:
    """The kept frames of a clip as records; asked for in order, so that one picture is in memory at a time."""

    def __init__(self, source: FrameSource, motion: Motion, portrait: Portrait, kept: list[int], size: int) -> None:
        self._source, self._motion, self._portrait = source, motion, portrait
        self._kept, self._size = kept, size
        self._stream: Generator[tuple[int, np.ndarray], None, None] | None = None

    def __call__(self, number: int) -> Parts:
        wanted = self._motion.start + self._kept[number]
        if self._stream is None:
            self._stream = self._source.frames(wanted, self._motion.stop)
        for index, rgb in self._stream:
            if index == wanted:
                return {"frame": self._frame(rgb, self._kept[number])}
        raise EngineError("missing_frame", f"{self._source.path} ends before its frame {wanted}.", "Copy it again.")

    def _frame(self, rgb: np.ndarray, k: int) -> Frame:
        motion, portrait, size = self._motion, self._portrait, self._size
        assert motion.tracked
        image = portrait.crop(rgb, size)
        return Frame(
            image=image,
            person=0,
            matte=np.rint(self._matte(image) * 255).astype(np.uint8),
            dense=portrait.points(k, size),
            identity=motion.tracked.identity.astype(np.float32),
            expression=motion.expression[k].astype(np.float32),
            gaze=motion.gaze[k].astype(np.float32),
            rotation=portrait.rotation(k).astype(np.float32),
            translation=portrait.translation(k).astype(np.float32),
            focal=portrait.focal,
        )

    @functools.cached_property
    def _matte(self) -> Callable[[np.ndarray], np.ndarray]:
        from engine.tracking.person_matte import PersonMatte

        return PersonMatte()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if "_matte" in vars(self):
            vars(self)["_matte"].close()
