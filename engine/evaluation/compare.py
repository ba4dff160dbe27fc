"""``python -m engine evaluate compare A B …``: systems side by side, on the same shots, in one run.

On the studio's held-out pairs every system is driven by coefficients fitted to the driver, as in use, and in a column
of its own by the true ones. Beside the systems stand the floor, a copy of the source, and the ceiling, the truth
encoded again: no system is expected beyond them, but for the grain that it may leave out. A system may stand there more
than once, with options: ``null:delay_ms=5``, or under a name of one's own, ``slow=null:delay_ms=5``. Differences from
the copy and from the first system follow, pair by pair; takes and clips are listed one by one too.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from engine import protocol, systems
from engine.errors import EngineError
from engine.evaluation import entrants, landmarkers
from engine.evaluation.cabinet import Cabinet, WeightPaths
from engine.evaluation.clips import Clips
from engine.evaluation.comparison import Comparison
from engine.evaluation.contest import Contest
from engine.evaluation.differences import against_all
from engine.evaluation.pairs import Pairs, held_out
from engine.evaluation.shot_table import ShotTable
from engine.evaluation.testsets import TestSet
from engine.evaluation.yaw_table import YawTable
from engine.media.image import encode_png, write_atomic
from engine.tracking import registry as detectors

if TYPE_CHECKING:
    from engine.evaluation.stored import StoredPairs

STUDIO = ("synthetic", "acting", "turning")
_KEEP_EVERY = 25  # shots, so that a long run that is broken off leaves what it has
_SETS = (
    "the studio's held-out pairs; its takes of people who act, or who turn through ±60 degrees; a folder of clips, or "
    "of shards made by `train realism` or `train shards`"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    form = (
        f"{entrants.FORM}, SYSTEM one of {', '.join(systems.names())}; each may take identity=driver, with which the "
        "driver's own head moves instead of the portrait's"
    )
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help=form)
    parser.add_argument("--set", default=STUDIO[0], metavar=f"{'|'.join(STUDIO)}|DIR", help=_SETS)
    parser.add_argument("--direction", choices=("self", "cross", "both"), default="both", help="(default: both)")
    parser.add_argument("--pairs", type=int, default=24, metavar="N", help="pairs, or takes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of pairs and takes (default: %(default)s)")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="the studio's head assets; none: its own heads")
    parser.add_argument("--portraits", type=Path, metavar="DIR", help="whom clips drive in cross; none: each other")
    parser.add_argument("--drivers", type=int, default=2, help="clips that drive each portrait (default: %(default)s)")
    parser.add_argument(
        "--against", nargs="+", metavar="LABEL", help="of differences: labels, or copy (default: copy, the first)"
    )
    parser.add_argument(
        "--true-motion", nargs="*", metavar="LABEL", help="whom exact sets drive by true motion too (default: all)"
    )
    parser.add_argument("--frames", help="of each clip, like 0-199x5; default: all")
    parser.add_argument("--motion", choices=protocol.MOTION_PRESETS, help="of cross on clips (default: mixed)")
    parser.add_argument("--detector", default="mediapipe", help="drives the systems (default: %(default)s)")
    parser.add_argument(
        "--landmarker", default="auto", help="scores them; auto: one that did not drive (default: auto)"
    )
    parser.add_argument(
        "--regressor", type=Path, metavar="FILE", help="a face regressor of ours, ONNX, if not the one that comes along"
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
    if options.pairs < 1 or options.size < 64 or options.drivers < 1:
        raise EngineError(
            "bad_option", "--pairs and --drivers are 1 or more, --size 64 or more.", "Correct the number."
        )
    entered = entrants.parse_all(options.systems)  # unknown names stop here
    if unknown := set(options.true_motion or []) - {entrant.label for entrant in entered}:
        raise EngineError("arguments", f"--true-motion: {unknown.pop()!r} is not compared here.", "Correct the label.")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    paths = WeightPaths(options.metric_net, options.lpips, options.inception, options.arcface)
    done: list[Comparison] = []
    with ExitStack() as used:
        scorer = landmarkers.choose(options.landmarker, options.detector, options.regressor)
        landmarker = used.enter_context(closing(landmarkers.Landmarker(scorer)))
        other = landmarkers.witness(landmarker, options.regressor)
        witness = used.enter_context(closing(landmarkers.Landmarker(other)))
        cabinet = Cabinet(landmarker, witness, paths, options.detector)
        driver = used.enter_context(closing(detectors.create(options.detector)))
        folder = used.enter_context(_folder(options.keep))
        for test in _sets(options):
            keep = options.keep is not None
            contest = Contest(test, entered, cabinet, folder, driver, keep, options.true_motion)
            against_all(contest.contestants, {}, options.against)  # so do labels of nobody
            for count in contest.run():
                if options.out is not None and count % _KEEP_EVERY == 0:
                    _write(options.out, [*done, _compared(test, contest, cabinet, options)], contest)
            done.append(_compared(test, contest, cabinet, options))
            print(done[-1].markdown(), end="\n\n", flush=True)
            if options.out is not None:
                _write(options.out, done, contest)
    return 0


def _compared(test: TestSet, contest: Contest, cabinet: Cabinet, options: argparse.Namespace) -> Comparison:
    scorer = landmarkers.remark(cabinet.landmarker.name, options.detector)
    return Comparison(
        test=test,
        contestants=contest.contestants,
        shots=contest.shots,
        remarks=[scorer, *test.remarks()],
        missing=cabinet.missing,
        against=against_all(contest.contestants, contest.shots, options.against),
        by_shot=ShotTable(contest.contestants, contest.lengths) if test.takes else None,
        by_yaw=YawTable(contest.contestants, contest.shots, contest.yaws) if contest.yaws else None,
    )


def _write(out: Path, done: list[Comparison], contest: Contest) -> None:
    """All comparisons so far, and the pictures of the last."""
    write_atomic(out / "compare.md", ("\n\n".join(one.markdown() for one in done) + "\n").encode())
    write_atomic(out / "compare.json", (json.dumps([one.to_json() for one in done], indent=1) + "\n").encode())
    for name, sheet in (("", contest.frames), ("_regions", contest.regions)):
        picture = sheet.picture()
        if picture is not None:
            write_atomic(out / f"compare_{done[-1].test.mode}{name}.png", encode_png(picture))


def _sets(options: argparse.Namespace) -> Iterator[TestSet]:
    modes = ("self", "cross") if options.direction == "both" else (options.direction,)
    if options.set in STUDIO and importlib.util.find_spec("torch") is None:
        raise EngineError(
            "missing_package",
            f"The set {options.set} is drawn by the studio, which needs torch.",
            "Use the training environment (scripts/setup training), or compare on a folder of clips.",
        )
    folder, pairs = Path(options.set), _stored(options)
    if pairs is not None and not pairs.cross and options.direction == "both":
        print(f"{folder} shows the motion on nobody else: no cross.", file=sys.stderr, flush=True)
        modes = ("self",)
    for mode in modes:
        if options.set == "synthetic":
            yield Pairs("synthetic", held_out(options.assets, mode == "cross"), options.pairs, options.size, mode)
        elif options.set in STUDIO:
            from engine.evaluation.acted import Takes  # the studio's renderer needs torch

            yield Takes(options.set, options.assets, options.pairs, options.size, mode)
        elif pairs is not None:
            yield Pairs(folder.name, pairs, len(pairs), min(options.size, pairs.size), mode)
        else:
            yield Clips(folder, mode, options.frames, options.motion, options.portraits, options.drivers)


def _stored(options: argparse.Namespace) -> StoredPairs | None:
    """The pairs of a folder of shards, None for every other set."""
    from engine.evaluation.stored import StoredPairs, holds_shards  # what reads shards is the training's

    folder = Path(options.set)
    return StoredPairs(folder, options.pairs) if options.set not in STUDIO and holds_shards(folder) else None


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="understudy-compare-") as folder:
        yield Path(folder)
