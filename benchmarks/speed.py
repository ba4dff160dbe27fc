"""Frames per second and milliseconds per stage: the pipeline, the baseline, and decode + encode alone."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import Material
from benchmarks.piecewise_affine import PiecewiseAffine
from engine.media.image import read_image
from engine.media.writer import FrameWriter
from engine.motion.analyse import analyse
from engine.pipeline import forget, render
from engine.protocol import FIRST_FRAME, Driving, Job
from engine.tracking.detector import Detector, Observation
from engine.tracking.registry import create as create_detector

Figures = dict[str, float]


def measure(material: Material, system: str, repeats: int) -> Figures:
    """Medians over ``repeats`` warm runs. The four kinds of run take turns, so that other load affects all alike.

    Milliseconds per frame by stage, frames per second by kind of run; ``once`` is the seconds before the first frame
    (portrait fitted and prepared).
    """
    kinds: list[Callable[[Material, str], Figures]] = [_product, _analysis, _piecewise_affine, _limit]
    for kind in kinds:
        kind(_shortened(material), system)  # warm up imports, networks and caches
    runs = [{k: v for kind in kinds for k, v in kind(material, system).items()} for _ in range(repeats)]
    return {name: float(np.median([run[name] for run in runs])) for name in runs[0]}


def job_for(material: Material, system: str, output: Path, frames: int | None = None) -> Job:
    """A job for the first ``frames`` of the material (all by default)."""
    fps = material.source().fps
    return Job(
        system=system,
        portraits=(str(material.portrait),),
        driving=Driving("movie", str(material.clip)),
        frames=tuple((FIRST_FRAME + k, k) for k in range(frames or material.frames)),
        fps=(fps.numerator, fps.denominator),
        output=str(output),
        shot="benchmark",
        analysed=(0, frames or material.frames),
    )


class _TimedDetector(Detector):
    """A detector that times another."""

    def __init__(self, inner: Detector) -> None:
        self.name = inner.name
        self.seconds = 0.0
        self._inner = inner

    def detect(self, rgb: np.ndarray) -> Observation | None:
        return self._timed(self._inner.detect, rgb)

    def track(self, rgb: np.ndarray) -> Observation | None:
        return self._timed(self._inner.track, rgb)

    def restart(self) -> None:
        self._inner.restart()

    def close(self) -> None:
        self._inner.close()

    def _timed(self, look: Callable[[np.ndarray], Observation | None], rgb: np.ndarray) -> Observation | None:
        started = time.perf_counter()
        seen = look(rgb)
        self.seconds += time.perf_counter() - started
        return seen


class _TimedFrames:
    """Frames of the material, with the seconds that decoding takes."""

    def __init__(self, material: Material) -> None:
        self.seconds = 0.0
        self._frames = material.source().frames(0, material.frames)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        return self

    def __next__(self) -> tuple[int, np.ndarray]:
        started = time.perf_counter()
        try:
            return next(self._frames)
        finally:
            self.seconds += time.perf_counter() - started


def _product(material: Material, system: str) -> Figures:
    """The real pipeline, timed by the take's sidecar, without caches of earlier takes."""
    forget()
    messages: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        render(job_for(material, system, Path(folder)), messages.append, lambda: False)
        sidecar = Path(next(m["sidecar"] for m in messages if m["type"] == "done"))
        seconds = json.loads(sidecar.read_text(encoding="utf-8"))["seconds"]
    a_frame = 1000 / material.frames
    return {
        "warp": seconds["draw"] * a_frame,
        "write": seconds["write"] * a_frame,
        "fps": material.frames / (seconds.get("analyse", 0.0) + seconds["render"]),
        "once": seconds.get("portraits", 0.0) + seconds["prepare"],
    }


def _analysis(material: Material, _: str) -> Figures:
    """Decode, detect and fit, in one pass."""
    frames, detector = _TimedFrames(material), _TimedDetector(create_detector("builtin"))
    started = time.perf_counter()
    analyse(frames, material.source().fps, detector, material.clip.name)
    whole = time.perf_counter() - started
    detector.close()
    a_frame = 1000 / material.frames
    return {
        "decode": frames.seconds * a_frame,
        "detect": detector.seconds * a_frame,
        "fit": (whole - frames.seconds - detector.seconds) * a_frame,
    }


def _piecewise_affine(material: Material, _: str) -> Figures:
    """The baseline with our decoder, detector and writer, so that only the warp differs."""
    portrait, detector = read_image(material.portrait), create_detector("builtin")
    own = _points(detector.detect(portrait), material)
    warp: PiecewiseAffine | None = None
    warping = 0.0
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with FrameWriter(Path(folder), lambda *_: None) as writer:
            for index, rgb in material.source().frames(0, material.frames):
                points = _points(detector.track(rgb), material)
                since = time.perf_counter()
                warp = warp or PiecewiseAffine(portrait, own, points)
                drawn = warp.draw(points)
                warping += time.perf_counter() - since
                writer.put(index, f"{index}.png", drawn, "ok")
        whole = time.perf_counter() - started
    detector.close()
    return {"affine_warp": warping * 1000 / material.frames, "affine_fps": material.frames / whole}


def _limit(material: Material, _: str) -> Figures:
    """Decode and encode only."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with FrameWriter(Path(folder), lambda *_: None) as writer:
            for index, rgb in material.source().frames(0, material.frames):
                writer.put(index, f"{index}.png", rgb, "ok")
        whole = time.perf_counter() - started
    return {"limit_fps": material.frames / whole}


def _points(seen: Observation | None, material: Material) -> np.ndarray:
    if seen is None or seen.dense is None:
        raise SystemExit(f"{material.clip} or {material.portrait}: every measured frame must show a face")
    return seen.dense[:, :2]


def _shortened(material: Material) -> Material:
    return Material(material.clip, material.portrait, material.size, min(material.frames, 12))
