"""``python -m engine evaluate compare A B …``: systems side by side, on the same shots, in one run.

On the studio's held-out pairs every system is driven by coefficients fitted to the driver, as in use, and in a column
of its own by the true ones. Beside the systems stand the floor, a copy of the source, and the ceiling, the truth
encoded again: no system is expected beyond them, but for the grain that it may leave out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine import protocol, systems
from engine.errors import EngineError
from engine.evaluation import landmarkers
from engine.evaluation.cabinet import Cabinet, WeightPaths
from engine.evaluation.clips import Clips
from engine.evaluation.comparison import Contestant, Tile, markdown, sheet, to_json
from engine.evaluation.pairs import Pairs, held_out
from engine.evaluation.pictures import Moment, Picture
from engine.evaluation.testsets import Shot, TestSet
from engine.face import detector
from engine.media.image import encode_png, read_image, write_atomic
from engine.pipeline import render
from engine.protocol import Job

QUALITY = 90  # of the ceiling's JPEG
STUDIO = ("synthetic", "acting", "turning")
_SETS = "the studio's held-out pairs; its takes of people who act, or who turn through ±60 degrees; a folder of clips"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help=f"one or more of {', '.join(systems.names())}")
    parser.add_argument("--set", default=STUDIO[0], metavar=f"{'|'.join(STUDIO)}|DIR", help=_SETS)
    parser.add_argument("--direction", choices=("self", "cross", "both"), default="both", help="(default: both)")
    parser.add_argument("--pairs", type=int, default=24, metavar="N", help="pairs, or takes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="synthetic pictures' side (default: %(default)s)")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="the studio's head assets; none: its own heads")
    parser.add_argument("--frames", help="of each clip, like 0-199x5; default: all")
    parser.add_argument("--motion", choices=protocol.MOTION_PRESETS, help="of cross on clips (default: mixed)")
    parser.add_argument("--detector", default="mediapipe", help="drives the systems (default: %(default)s)")
    parser.add_argument(
        "--landmarker", default="auto", help="scores them; auto: one that did not drive, if there is one"
    )
    parser.add_argument(
        "--metric-net", type=Path, metavar="FILE", help="our network for metrics, if not the shipped one"
    )
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="LPIPS' backbone and heads, safetensors")
    parser.add_argument("--inception", type=Path, metavar="FILE", help="FID's Inception-v3, ONNX")
    parser.add_argument("--arcface", type=Path, metavar="FILE", help="ArcFace for CSIM, ONNX")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write compare.md, .json and a picture of each set here"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="render here, and leave the takes")


def main(options: argparse.Namespace) -> int:
    if options.pairs < 1 or options.size < 64:
        raise EngineError("bad_option", "--pairs is 1 or more, --size 64 or more.", "Correct the number.")
    names = list(dict.fromkeys(options.systems))
    driven = {name: systems.create(name, {}).needs_performance for name in names}  # unknown names stop here
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    landmarker = landmarkers.choose(options.landmarker, options.detector)
    cabinet = Cabinet(landmarker, WeightPaths(options.metric_net, options.lpips, options.inception, options.arcface))
    texts, record = [], []
    with closing(detector.create(options.detector)) as driver, closing(landmarker), _folder(options.keep) as folder:
        for test in _sets(options):
            comparison = _Comparison(test, driven, cabinet, folder, driver, keep=options.keep is not None)
            comparison.run()
            remarks = [landmarkers.remark(landmarker.name, options.detector), *test.remarks()]
            texts.append(markdown(test, comparison.contestants, comparison.shots, remarks, cabinet.missing, QUALITY))
            record.append(to_json(test, comparison.contestants, comparison.shots, remarks, cabinet.missing))
            print(texts[-1], end="\n\n", flush=True)
            if options.out is not None:
                write_atomic(options.out / f"compare_{test.mode}.png", encode_png(sheet(comparison.tiles)))
    if options.out is not None:
        write_atomic(options.out / "compare.md", ("\n\n".join(texts) + "\n").encode())
        write_atomic(options.out / "compare.json", (json.dumps(record, indent=1) + "\n").encode())
    return 0


class _Comparison:
    """All contestants over all shots of one set; ``tiles`` has one row of pictures a shot."""

    def __init__(
        self,
        test: TestSet,
        driven: dict[str, bool],
        cabinet: Cabinet,
        folder: Path,
        driver: detector.Detector,
        keep: bool,
    ) -> None:
        self._test, self._folder, self._driver, self._keep = test, folder, driver, keep

        def contestant(label: str, system: str | None = None, exact: bool = False) -> Contestant:
            return Contestant(label, system, exact, cabinet.scores(test.exact, test.truth))

        self._floor, self._ceiling = contestant("copy of the source"), contestant("truth encoded again")
        self._systems = [
            contestant(f"{name}, true motion" if exact else name, name, exact)
            for name, takes_coefficients in driven.items()
            for exact in ((False, True) if test.exact and takes_coefficients else (False,))
        ]
        self.contestants = [self._floor, *self._systems, *([self._ceiling] if test.truth else [])]
        self.shots: list[str] = []
        self.tiles: list[list[Tile]] = []

    def run(self) -> None:
        for shot in self._test.shots(self._folder, self._driver):
            print(f"{self._test.name}, {self._test.mode}: {shot.label}", file=sys.stderr, flush=True)
            takes = {contestant.label: self._render(contestant, shot) for contestant in self._systems}
            self._score(shot, takes)
            self.shots.append(shot.label)
            if not self._keep:
                for take in takes.values():
                    shutil.rmtree(next(iter(take.values())).parent)
        if not self.shots:
            raise EngineError(
                "no_shots",
                f"Nothing in {self._test.name} can be compared.",
                " ".join(self._test.remarks()) or "Add more.",
            )

    def _render(self, contestant: Contestant, shot: Shot) -> dict[int, Path]:
        """The file of each driver's frame."""
        assert contestant.system is not None
        driving = shot.exact_driving if contestant.exact else shot.driving
        if driving is None:
            raise EngineError("no_labels", f"{shot.label} lacks its true coefficients.", "Compare on another set.")
        job = Job(
            system=contestant.system,
            portraits=(str(shot.portrait),),
            driving=driving,
            frames=tuple((protocol.FIRST_FRAME + k, frame) for k, frame in enumerate(shot.frames)),
            fps=(25, 1),
            output=str(self._folder),
            shot=protocol.clean_shot(f"{shot.label}_{contestant.label}"),
            motion=shot.motion,
            neutral_frame=shot.neutral,
            detector=self._driver.name,
        )
        job.check()
        listener = _Listener()
        render(job, listener, lambda: False)
        return {source: listener.folder / protocol.frame_name(listener.folder.name, n) for n, source in job.frames}

    def _score(self, shot: Shot, takes: dict[str, dict[int, Path]]) -> None:
        middle = shot.frames[len(shot.frames) // 2]
        for moment in shot.moments():
            shown = [(contestant, self._output(contestant, moment, takes)) for contestant in self.contestants]
            for contestant, output in shown:
                for score in contestant.scores:
                    score.update(output, moment)
            if moment.index == middle:
                self.tiles.append(_tiles(moment, [(c.label, picture) for c, picture in shown if c in self._systems]))

    def _output(self, contestant: Contestant, moment: Moment, takes: dict[str, dict[int, Path]]) -> Picture:
        if contestant is self._floor:
            return moment.source
        if contestant is self._ceiling:
            assert moment.truth is not None
            return Picture(encoded_again(moment.truth.rgb))
        return Picture(read_image(takes[contestant.label][moment.index]))


class _Listener:
    """Hears of a take's folder, and tells a person only what went wrong."""

    def __init__(self) -> None:
        self.folder = Path()

    def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "take":
            self.folder = Path(message["folder"])
        elif message["type"] == "warning":
            print(f"warning: {message['text']} {message['remedy']}", file=sys.stderr, flush=True)


def encoded_again(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 through JPEG at ``QUALITY``."""
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def _tiles(moment: Moment, outputs: list[tuple[str, Picture]]) -> list[Tile]:
    shown = [("reference", moment.source), ("driver", moment.driver), *outputs]
    return [
        Tile(label, picture.small) for label, picture in [*shown, *([("truth", moment.truth)] if moment.truth else [])]
    ]


def _sets(options: argparse.Namespace) -> Iterator[TestSet]:
    modes = ("self", "cross") if options.direction == "both" else (options.direction,)
    if options.set in STUDIO and importlib.util.find_spec("torch") is None:
        raise EngineError(
            "missing_package",
            f"The set {options.set} is drawn by the studio, which needs torch.",
            "Use the training environment (scripts/setup training), or compare on a folder of clips.",
        )
    for mode in modes:
        if options.set == "synthetic":
            yield Pairs("synthetic", held_out(options.assets, mode == "cross"), options.pairs, options.size, mode)
        elif options.set in STUDIO:
            from engine.evaluation.acted import Takes  # the studio's renderer needs torch

            yield Takes(options.set, options.assets, options.pairs, options.size, mode)
        else:
            yield Clips(Path(options.set), mode, options.frames, options.motion)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="understudy-compare-") as folder:
        yield Path(folder)
