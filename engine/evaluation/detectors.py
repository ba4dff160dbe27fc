"""``python -m engine evaluate detectors``: face detectors compared on pictures, clips and rendered people; mattes too.

Real pictures have no truth: errors are distances to what MediaPipe sees. ``mean face`` is the floor: the mean face,
fitted to the reference's points by rotation, scale and shift.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.cli.footage import driving_from, source_frames
from engine.errors import EngineError
from engine.evaluation.datasets.clips import clips_in, images_in
from engine.evaluation.extractors.landmarks import REGRESSOR, similarity
from engine.evaluation.tables import markdown
from engine.face import model
from engine.media.image import read_image, write_atomic
from engine.media.source import open_source
from engine.tracking import registry as detectors
from engine.tracking.detector import Detector, Observation
from engine.tracking.network_matte import WEIGHTS as MATTING
from engine.tracking.network_matte import NetworkMatte
from engine.tracking.person_matte import PersonMatte
from engine.tracking.regressor.inference import Regressor
from engine.tracking.regressor_detector import RegressorDetector

REFERENCE = "builtin"
_FAILED = 10.0  # percent of the distance of the eyes, beyond which a face counts as missed
_BAND = 0.02  # of the picture's side: how far from the edge of a person a matte's edge error is measured

_VISIBLE = 0.4  # least share of the 68 points in a picture of a face
OWN = "understudy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", nargs="+", choices=sorted({*detectors.names(), OWN}), default=[REFERENCE, OWN])
    parser.add_argument("--weights", type=Path, default=REGRESSOR, metavar="FILE", help=f"other weights for {OWN}")
    parser.add_argument("--matting", type=Path, default=MATTING, metavar="FILE", help="other weights for its matte")
    parser.add_argument("--portraits", type=Path, metavar="DIR", help="images, each looked at alone")
    parser.add_argument("--clips", type=Path, metavar="DIR", help="movies, or folders of images, each tracked")
    parser.add_argument("--frames", help="of each clip, like 0-199x2; default: all")
    parser.add_argument("--rendered", type=int, default=0, metavar="N", help="pairs of the studio's held-out people")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="the studio's head assets; none: its own heads")
    parser.add_argument("--size", type=int, default=256, help="side of rendered pictures (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def main(options: argparse.Namespace) -> int:
    if not (options.portraits or options.clips or options.rendered):
        raise EngineError("arguments", "There is nothing to look at.", "Give --portraits, --clips or --rendered.")
    frames = list(_held_out(options))
    rows = [*_real(options), *_rendered(frames, options)]
    mattes = list(_mattes(frames, options))
    print(table(rows))
    if mattes:
        print(f"\n{matte_table(mattes)}")
    if options.json:
        record = {"detectors": [row.to_json() for row in rows], "mattes": [vars(row) for row in mattes]}
        write_atomic(options.json, (json.dumps(record, indent=1) + "\n").encode())
    return 0


def _create(name: str, options: argparse.Namespace) -> Detector:
    return RegressorDetector(Regressor(options.weights)) if name == OWN else detectors.create(name)


@dataclass
class Row:
    """One detector on one set.

    ``errors68`` and ``errors_dense``: one a picture seen by both, percent of the distance of the outer eye corners.
    ``missed``: pictures with a face that it does not see, or misplaces by more than a tenth of that distance.
    ``jitter``: in the same unit, the mean second difference of the 68 points. ``ms`` of CPU per picture.
    """

    name: str
    against: str
    detector: str
    pictures: int = 0
    missed: int = 0
    errors68: list[float] = field(default_factory=list)
    errors_dense: list[float] = field(default_factory=list)
    jitter: float | None = None
    ms: float | None = None

    def add(self, seen: Observation | None, truth: Observation) -> None:
        self.pictures += 1
        if seen is None:
            self.missed += 1
            return
        unit = 100 / _eyes(truth)
        error = _apart(seen.landmarks68, truth.landmarks68) * unit
        self.errors68.append(error)
        if seen.dense is not None and truth.dense is not None:
            self.errors_dense.append(_apart(seen.dense[:, :2], truth.dense[:, :2]) * unit)
        self.missed += error > _FAILED

    def compare(self, seen: Sequence[Observation | None], truths: Sequence[Observation | None]) -> None:
        for observation, truth in zip(seen, truths, strict=True):
            if truth is not None:
                self.add(observation, truth)

    def to_json(self) -> dict[str, Any]:
        return {
            "set": self.name, "against": self.against, "detector": self.detector, "pictures": self.pictures,
            "missed": self.missed, "nme68": _mean(self.errors68), "nme_dense": _mean(self.errors_dense),
            "jitter": self.jitter, "ms": self.ms,
        }  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    lines = markdown.head(
        ["set", "detector", "against", "n", "missed", "68 % ↓", "dense % ↓", "jitter % ↓", "CPU-ms ↓"], 3
    )
    for row in rows:
        values = row.to_json()
        cells = [row.name, row.detector, row.against, str(row.pictures), str(row.missed)]
        figures = (("nme68", 2), ("nme_dense", 2), ("jitter", 3), ("ms", 1))
        lines.append(markdown.row([*cells, *(markdown.number(values[key], digits) for key, digits in figures)]))
    return "\n".join(lines)


def _real(options: argparse.Namespace) -> Iterator[Row]:
    if options.portraits:
        pictures = [read_image(path) for path in images_in(options.portraits)]
        yield from _compared("portraits", pictures, options, tracked=False)
    for path in clips_in(options.clips) if options.clips else []:
        source = open_source(driving_from(path), Fraction(25))
        wanted = set(source_frames(options.frames, source.count))
        pictures = [rgb for number, rgb in source.frames(min(wanted), max(wanted) + 1) if number in wanted]
        yield from _compared(path.stem, pictures, options, tracked=True)


def _rendered(frames: list[Any], options: argparse.Namespace) -> Iterator[Row]:
    frames = [frame for frame in frames if frame.visible68.mean() > _VISIBLE]
    if frames:
        truths = [Observation(frame.landmarks68, frame.dense, None, 1.0) for frame in frames]
        yield from _compared("held-out", [frame.image for frame in frames], options, tracked=False, exact=truths)


def _compared(
    name: str,
    pictures: list[np.ndarray],
    options: argparse.Namespace,
    tracked: bool,
    exact: Sequence[Observation] | None = None,
) -> Iterator[Row]:
    """Every detector against the ``exact`` points, or against the reference where there are none; then the floor."""
    against = REFERENCE if exact is None else "truth"
    looked = {}
    for kind in {*options.detector, *([REFERENCE] if exact is None else [])}:
        with closing(_create(kind, options)) as detector:
            looked[kind] = _look(detector, pictures, tracked)
    truths = looked[REFERENCE][0] if exact is None else exact
    for kind in options.detector:
        seen, ms = looked[kind]
        row = Row(name, against, kind, jitter=jitter(seen) if tracked else None, ms=ms)
        if kind == against:
            row.pictures, row.missed = len(pictures), sum(observation is None for observation in seen)
        else:
            row.compare(seen, truths)
        yield row
    floor = Row(name, against, "mean face")
    floor.compare([None if truth is None else _mean_face(truth) for truth in truths], truths)
    yield floor


def _look(detector: Detector, pictures: list[np.ndarray], tracked: bool) -> tuple[list[Observation | None], float]:
    """What a detector sees, and its CPU milliseconds per picture after a warm-up."""
    look = detector.track if tracked else detector.detect
    look(pictures[0])
    detector.restart()
    began = time.process_time()
    seen = [look(picture) for picture in pictures]
    return seen, 1000 * (time.process_time() - began) / len(pictures)


def jitter(seen: Sequence[Observation | None]) -> float | None:
    """Mean over runs of three frames of |x₋₁ − 2x + x₊₁| of the 68 points, percent of the distance between the eyes."""
    found = []
    for before, now, after in zip(seen, seen[1:], seen[2:]):
        if before is not None and now is not None and after is not None:
            bend = before.landmarks68 - 2 * now.landmarks68 + after.landmarks68
            found.append(float(np.linalg.norm(bend, axis=1).mean()) * 100 / _eyes(now))
    return _mean(found)


def _mean_face(truth: Observation) -> Observation:
    """The mean face, fitted to the points of ``truth`` by a similarity transform."""
    face = model.load()
    marks, dense = (anchors.at(face.vertices)[:, :2] * [1, -1] for anchors in (face.landmarks68, face.dense))
    transform = similarity(marks, truth.landmarks68)
    placed, flat = (points @ transform[:, :2].T + transform[:, 2] for points in (marks, dense))
    return Observation(placed, np.concatenate([flat, np.zeros((len(flat), 1))], axis=1), None, 1.0)


def _held_out(options: argparse.Namespace) -> Iterator[Any]:
    """The driving frames of the studio's held-out pairs."""
    if not options.rendered:
        return
    from engine.training.studio.dataset import Options, StudioSamples

    samples = StudioSamples(options.assets, split="held-out", options=Options(loose=0.3))
    for number in range(options.rendered):
        yield samples.pair(number, options.size).driving


@dataclass(frozen=True)
class MatteRow:
    """``iou`` of the mattes cut at ½; ``edge``: mean |difference| in percent, within 2 % of the picture's side from the
    edge of the person."""

    matte: str
    pictures: int
    iou: float
    edge: float
    ms: float


def _mattes(frames: list[Any], options: argparse.Namespace) -> Iterator[MatteRow]:
    if not frames:
        return
    makers: dict[str, Callable[[], Any]] = {
        OWN: lambda: NetworkMatte(options.matting),
        "builtin": PersonMatte,
        "all person": _AllPerson,
    }
    for name, make in makers.items():
        with closing(make()) as matte:
            matte(frames[0].image)
            began = time.process_time()
            made = [matte(frame.image) for frame in frames]
            seconds = time.process_time() - began
        truths = [frame.matte.astype(np.float32) / 255 for frame in frames]
        overlap, edge = (float(np.mean([f(a, b) for a, b in zip(made, truths)])) for f in (iou, edge_error))
        yield MatteRow(name, len(frames), overlap, edge, 1000 * seconds / len(frames))


class _AllPerson:
    """The floor."""

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        return np.ones(rgb.shape[:2], np.float32)

    def close(self) -> None:
        """Nothing to release."""


def matte_table(rows: Sequence[MatteRow]) -> str:
    lines = markdown.head(["matte", "n", "IoU ↑", "edge error % ↓", "CPU-ms ↓"])
    for r in rows:
        lines.append(markdown.row([r.matte, str(r.pictures), f"{r.iou:.3f}", f"{r.edge:.1f}", f"{r.ms:.1f}"]))
    return "\n".join(lines)


def iou(made: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two mattes (H, W) cut at ½; 1 where both are empty."""
    a, b = made > 0.5, truth > 0.5
    either = (a | b).sum()
    return float((a & b).sum() / either) if either else 1.0


def edge_error(made: np.ndarray, truth: np.ndarray) -> float:
    """Percent: mean |difference| of two mattes near the edge of the second one."""
    inside = (truth > 0.5).astype(np.uint8)
    radius = max(1, round(_BAND * truth.shape[1]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    band = cv2.dilate(inside, kernel) != cv2.erode(inside, kernel, borderType=cv2.BORDER_REPLICATE)
    return float(np.abs(made - truth)[band].mean() * 100) if band.any() else 0.0


def _eyes(truth: Observation) -> float:
    return max(float(np.linalg.norm(truth.landmarks68[45] - truth.landmarks68[36])), 1.0)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b, axis=1).mean())


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
