"""``python -m engine render``: a take without Blender."""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

# Slow imports come after Ctrl-C is handled.
from engine.cli.console import INTERRUPTED, Console, Interrupt, reported
from engine.errors import EngineError
from engine.protocol import (
    FIRST_FRAME,
    IDENTITIES,
    MOTION_PRESETS,
    NEW,
    NO_FACE_POLICIES,
    Driving,
    Job,
    ProtocolError,
    clean_shot,
)

DESCRIPTION = """Make a take: OUT/SHOT_understudy_vNNN/SHOT_understudy_vNNN.1001.png and on, with a sidecar JSON.

--frames are source frames, counted from 0. The first one becomes output frame 1001 (--first-frame), and the others
keep their distance from it: --frames 10-20x5 gives 1001, 1006, 1011.

--take v003 or latest resumes a take, or begins it: frames that it has already are skipped, and several processes and
hosts may share the work. Each draws its part, given by --frames and --first-frame.

--job takes everything from the sidecar of a take and makes the take again."""


def main(argv: list[str]) -> int:
    """Exit status 0 only when every frame asked for is on disk, 1 after an error, 130 when interrupted."""
    console = Console()
    interrupt = Interrupt(before_exit=lambda: _close(console.folder))
    return interrupt.end(reported(lambda: _render(_arguments(argv), console, interrupt)))


def _render(arguments: argparse.Namespace, console: Console, interrupt: Interrupt) -> int:
    job = _replayed(arguments) if arguments.job else _job(arguments)
    console.total = len(job.frames)
    from engine.pipeline import render

    finished = render(job, console, interrupt.asked.is_set)
    if console.folder:
        print(console.folder)
    return 0 if finished else INTERRUPTED


def _close(folder: str) -> None:
    """Record in the sidecar that this process ends."""
    if folder:
        from engine.takes.take import Take
        from engine.takes.writer import close_records

        close_records(Take(Path(folder)))


def _arguments(argv: list[str]) -> argparse.Namespace:
    from engine.cli.footage import frame_range, rate
    from engine.cli.system_option import add_system_arguments
    from engine.tracking.registry import terms

    parser = argparse.ArgumentParser(
        "python -m engine render", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_system_arguments(parser)
    parser.add_argument("--portrait", type=Path, nargs="+", action="extend", help="one or more images of one person")
    parser.add_argument(
        "--driving",
        type=Path,
        metavar="V",
        help="a movie, a folder of images, or a file that ends in .motion.npz or .curves.npz",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder that receives the take")
    parser.add_argument(
        "--take", default=NEW, help="new, latest, or a version like v003: the take that receives the frames"
    )
    parser.add_argument("--job", type=Path, metavar="JSON", help="make the take of this sidecar again")
    parser.add_argument("--shot", help="the first part of the take's name (default: that of the driving file)")
    parser.add_argument("--frames", help="source frames like 0-99, 0-99x2 or 3,7 (default: all)")
    parser.add_argument(
        "--analyse",
        type=frame_range,
        metavar="A-B",
        help="source frames to analyse, whichever are drawn; the same for all chunks of a take (default: all footage)",
    )
    parser.add_argument("--first-frame", type=int, default=FIRST_FRAME, help="(default: %(default)s)")
    parser.add_argument("--fps", type=rate, default=Fraction(24), help="rate of an image sequence (default: 24)")
    parser.add_argument(
        "--motion",
        default="mixed",
        help=f"{', '.join(MOTION_PRESETS)}, or parts like rotation=absolute,expression=0.5 (default: %(default)s)",
    )
    parser.add_argument(
        "--identity",
        choices=IDENTITIES,
        default=IDENTITIES[0],
        help="whose head moves: the portrait's own, or the driver's, to compare with (default: %(default)s)",
    )
    parser.add_argument("--neutral", type=int, metavar="N", help="source frame with a neutral face (default: found)")
    parser.add_argument(
        "--no-face",
        choices=NO_FACE_POLICIES,
        default="hold",
        help="for frames without a face (default: %(default)s)",
    )
    parser.add_argument("--detector", default="builtin", help=f"{terms()} (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.job:
        given = [name for name, value in vars(arguments).items() if value != parser.get_default(name)]
        if others := sorted(set(given) - {"job", "out", "take"}):
            parser.error(f"--job allows only --out and --take beside it, not --{others[0].replace('_', '-')}")
    elif not arguments.portrait or not arguments.out:
        parser.error("--portrait and --out are required (or --job)")
    return arguments


def _replayed(arguments: argparse.Namespace) -> Job:
    from engine.takes.replay import read_job

    job, changed = read_job(arguments.job, arguments.out, arguments.take)
    for text in changed:
        print(f"warning: {text}", file=sys.stderr)
    return _checked(job)


def _job(arguments: argparse.Namespace) -> Job:
    from engine.cli.footage import driving_from, source_frames
    from engine.cli.system_option import system_option

    driving = driving_from(arguments.driving) if arguments.driving else Driving("none")
    start, stop, fps = _extent(driving, arguments.fps, arguments.analyse)
    frames = source_frames(arguments.frames, stop, start)
    job = Job(
        system=arguments.system,
        portraits=tuple(str(path.absolute()) for path in arguments.portrait),
        driving=driving,
        frames=tuple((arguments.first_frame + source - frames[0], source) for source in frames),
        fps=(fps.numerator, fps.denominator),
        output=str(arguments.out.absolute()),
        shot=clean_shot(arguments.shot or (arguments.driving.stem if arguments.driving else "")),
        motion=_motion(arguments.motion),
        neutral_frame=arguments.neutral,
        detector=arguments.detector,
        no_face=arguments.no_face,
        identity=arguments.identity,
        options=dict(system_option(text) for text in arguments.option),
        analysed=arguments.analyse,
        take=arguments.take,
    )
    return _checked(job)


def _checked(job: Job) -> Job:
    try:
        job.check()
    except ProtocolError as fault:
        raise EngineError("arguments", f"{fault}.", "See python -m engine render --help.") from fault
    return job


def _extent(driving: Driving, fps: Fraction, analysed: tuple[int, int] | None) -> tuple[int, int, Fraction]:
    """First source frame of the motion, the one after the last, and the rate."""
    if driving.kind == "none":
        return 0, 1, fps
    from engine.motion.registry import open_motion

    source = open_motion(driving, fps, analysed)
    return source.start, source.stop, source.rate


def _motion(text: str) -> str | dict[str, str | float]:
    if "=" not in text:
        return text
    pairs = (part.partition("=") for part in text.split(","))
    return {part: _number(mode) for part, _, mode in pairs}


def _number(mode: str) -> str | float:
    try:
        return float(mode)
    except ValueError:
        return mode
