"""``python -m engine analyse``: footage in, motion file out."""

from __future__ import annotations

import argparse
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from engine.cli.console import Console, reported
from engine.cli.footage import driving_from, frame_range, rate
from engine.errors import EngineError
from engine.media.image import write_fault
from engine.media.source import open_source
from engine.motion.motion import SUFFIX
from engine.progress import Progress
from engine.tracking.registry import terms


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m engine analyse",
        description="Track the motion of a face in footage and write it as a motion file for `render --driving`.",
    )
    parser.add_argument("footage", type=Path, metavar="V", help="a movie or a folder of images")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help=f"the motion file; its name ends in {SUFFIX}"
    )
    parser.add_argument(
        "--frames", type=frame_range, metavar="A-B", help="source frames like 0-99, counted from 0 (default: all)"
    )
    parser.add_argument("--fps", type=rate, default=Fraction(24), help="rate of an image sequence (default: 24)")
    parser.add_argument("--detector", default="builtin", help=f"{terms()} (default: %(default)s)")
    arguments = parser.parse_args(argv)
    return reported(lambda: _analyse(arguments))


def _analyse(arguments: argparse.Namespace) -> int:
    if not arguments.out.name.lower().endswith(SUFFIX):
        raise EngineError("arguments", f"{arguments.out} does not end in {SUFFIX}.", f"Name the file V{SUFFIX}.")
    try:
        arguments.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise write_fault(arguments.out.parent, fault) from fault
    from engine.motion.analyse import analyse
    from engine.motion.footage import Footage
    from engine.tracking.registry import create

    footage = Footage(open_source(driving_from(arguments.footage), arguments.fps), arguments.frames)
    total, extent = footage.stop - footage.start, (footage.start, footage.stop)
    progress = Progress(Console(total), "analyse", total)
    with closing(create(arguments.detector)) as detector, closing(footage.source.frames(*extent)) as frames:
        motion = analyse(frames, footage.rate, detector, str(footage.path), lambda done: progress.update(int(done)))
    progress.update(total)
    motion.save(arguments.out)
    print(arguments.out)
    return 0
