"""``python -m engine evaluate self|cross|compare``: render takes through the real pipeline, score them, print a table.

``self``: a clip drives one of its own frames, so that its frames are the truth; motion is taken relative to that very
frame. ``cross``: clips drive other people's portraits, so that only motion can be compared. Beside each take stands
the floor, the portrait, not moved at all, and in ``self`` the ceiling, the truth encoded again. ``compare`` is in
:mod:`engine.evaluation.compare`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from engine import protocol
from engine.cli.console import Console, reported
from engine.cli.footage import driving_from, source_frames
from engine.evaluation import compare, landmarkers
from engine.evaluation import detector as detector_table
from engine.evaluation.judge import DrivingClip, Judge
from engine.evaluation.metrics import all_metrics
from engine.evaluation.report import Row, markdown, median
from engine.media.image import encode_png, read_image, write_atomic
from engine.media.source import open_source
from engine.pipeline import render
from engine.protocol import Job
from engine.tracking import registry as detectors
from engine.tracking.detector import Detector


def main(argv: list[str]) -> int:
    options = _arguments(argv)
    doors = {"compare": compare.main, "detector": detector_table.main}
    return reported(lambda: doors.get(options.mode, _evaluate)(options))


def _evaluate(options: argparse.Namespace) -> int:
    landmarker = landmarkers.choose(options.landmarker, options.detector)
    with _output(options.keep) as folder, closing(landmarker):
        rows = _Evaluation(options, folder, landmarker).rows()
    report = [*rows, median(rows)] if len(rows) > 1 else rows
    print(markdown(report, all_metrics()))
    print(f"\n{landmarkers.remark(landmarker.name, options.detector)}")
    for row in rows:
        if "cross_check" in row.notes:
            found = row.notes["cross_check"]
            print(
                f"\n{row.label}: our points of the driver differ from the stored ones by "
                f"{found['points_percent']:.2f} % of the face diagonal and {found['pose_degrees']:.2f}° of pose, "
                f"mean of {found['frames']} frames."
            )
    if options.json:
        record = {
            "mode": options.mode,
            "driven_by": options.detector,
            "scored_by": landmarker.name,
            "takes": [row.to_json() for row in rows],
        }
        write_atomic(options.json, (json.dumps(record, indent=1) + "\n").encode())
    return 0


class _Evaluation:
    def __init__(self, options: argparse.Namespace, folder: Path, landmarker: Detector) -> None:
        self._options = options
        self._folder = folder
        self._judge = Judge(landmarker, options.step)

    def rows(self) -> list[Row]:
        """One for each take, in the order asked for."""
        return list(self._self() if self._options.mode == "self" else self._cross())

    def _self(self) -> Iterator[Row]:
        checks = self._options.cross_check or [None] * len(self._options.driving)
        for path, reference, check in zip(self._options.driving, self._options.reference, checks, strict=True):
            clip = self._clip(path)
            clip.source.check([reference])
            portrait = self._folder / f"{clip.label}_reference.{reference}.png"
            picture = next(rgb for _, rgb in clip.source.frames(reference, reference + 1))
            write_atomic(portrait, encode_png(picture))
            row = self._row(clip, portrait, f"{clip.label} ({reference})", clip.label, reference)
            if check is not None:
                row.notes["cross_check"] = self._judge.cross_check(clip, check)
            yield row

    def _cross(self) -> Iterator[Row]:
        for path in self._options.driving:
            clip = self._clip(path)
            for portrait in self._options.portrait:
                name = protocol.clean_shot(portrait.stem)
                yield self._row(clip, portrait, f"{name} × {clip.label}", f"{name}_{clip.label}", None)

    def _clip(self, path: Path) -> DrivingClip:
        driving = driving_from(path)
        source = open_source(driving, Fraction(25))
        frames = tuple(source_frames(self._options.frames, source.count))
        source.check(frames)
        return DrivingClip(protocol.clean_shot(path.stem), driving, source, frames)

    def _row(self, clip: DrivingClip, portrait: Path, label: str, shot: str, reference: int | None) -> Row:
        """``reference``: the source frame that is the portrait, None if the portrait shows someone else."""
        job = Job(
            system=self._options.system,
            portraits=(str(portrait),),
            driving=clip.driving,
            frames=tuple((protocol.FIRST_FRAME + k, source) for k, source in enumerate(clip.frames)),
            fps=(clip.source.fps.numerator, clip.source.fps.denominator),
            output=str(self._folder),
            shot=shot,
            motion=self._options.motion,
            identity=self._options.identity,
            detector=self._options.detector,
            neutral_frame=reference,
        )
        job.check()
        console = Console(len(job.frames))
        render(job, console, lambda: False)
        take = Path(console.folder)
        outputs = {source: take / protocol.frame_name(take.name, number) for number, source in job.frames}
        scored = self._judge.score(clip, outputs, read_image(portrait), truth=reference is not None)
        return Row(label, job.system, scored, {"take": take.name})


@contextlib.contextmanager
def _output(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="understudy-evaluate-") as folder:
        yield Path(folder)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m engine evaluate", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    own = modes.add_parser("self", help="a clip drives one of its own frames")
    other = modes.add_parser("cross", help="clips drive other people's portraits")
    compare.add_arguments(modes.add_parser("compare", help="systems side by side", description=compare.__doc__))
    eyes = modes.add_parser(
        "detector", help="face detectors and mattes side by side", description=detector_table.__doc__
    )
    detector_table.add_arguments(eyes)
    # A clip's own frame is the rest it moves away from; another person's portrait gets what a user gets.
    for mode, motion in ((own, "relative"), (other, "mixed")):
        mode.add_argument("--system", default="mesh_warp")
        mode.add_argument("--driving", type=Path, nargs="+", required=True, metavar="CLIP")
        mode.add_argument("--motion", choices=protocol.MOTION_PRESETS, default=motion, help="(default: %(default)s)")
        mode.add_argument("--identity", choices=protocol.IDENTITIES, default="portrait", help="whose head moves")
        mode.add_argument("--frames", help="source frames to render, like 0-299x3; default: all")
        mode.add_argument("--step", type=int, default=1, help="score every n-th rendered frame (no jitter then)")
        mode.add_argument(
            "--detector", choices=detectors.names(), default="mediapipe", help="drives (default: %(default)s)"
        )
        mode.add_argument(
            "--landmarker", default="auto", help="scores, and has dense points; auto: one that did not drive"
        )
        mode.add_argument("--keep", type=Path, metavar="DIR", help="render here, one take a folder, and leave them")
        mode.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    own.add_argument("--reference", type=int, nargs="+", default=[0], metavar="N", help="the source frame, by clip")
    own.add_argument("--cross-check", type=Path, nargs="+", metavar="NPZ", help="stored landmarks, by clip")
    other.add_argument("--portrait", type=Path, nargs="+", required=True, metavar="IMAGE")
    options = parser.parse_args(argv)
    if options.mode in ("compare", "detector"):
        return options
    if options.step < 1:
        parser.error("--step: 1 or more")
    if options.mode == "self":
        count = len(options.driving)
        if len(options.reference) == 1:
            options.reference = options.reference * count
        if len(options.reference) != count or (options.cross_check and len(options.cross_check) != count):
            parser.error("--reference and --cross-check: one for each clip")
    return options
