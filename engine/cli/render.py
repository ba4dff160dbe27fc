"""``python -m engine render``: a take without Blender."""

from __future__ import annotations

import argparse
import signal
import threading
from fractions import Fraction
from pathlib import Path

from engine.cli.console import Console, reported
from engine.cli.footage import driving_from, rate, source_frames
from engine.cli.system_option import system_option
from engine.errors import EngineError
from engine.protocol import (
    FIRST_FRAME,
    IDENTITIES,
    MOTION_PRESETS,
    NO_FACE_POLICIES,
    Driving,
    Job,
    ProtocolError,
    clean_shot,
)
from engine.tracking.registry import terms

DESCRIPTION = """Make a take: OUT/SHOT_understudy_vNNN/SHOT_understudy_vNNN.1001.png and on, with a sidecar JSON.

--frames are source frames, counted from 0. The first one becomes output frame 1001 (--first-frame), and the others
keep their distance from it: --frames 10-20x5 gives 1001, 1006, 1011."""


def main(argv: list[str]) -> int:
    """Exit status 0 only when every frame asked for is on disk, 1 after an error, 130 when interrupted."""
    return reported(lambda: _render(_arguments(argv)))


def _render(arguments: argparse.Namespace) -> int:
    job = _job(arguments)
    from engine.pipeline import render

    cancelled = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: cancelled.set())
    signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
    console = Console(len(job.frames))
    finished = render(job, console, cancelled.is_set)
    if console.folder:
        print(console.folder)
    return 0 if finished else 130


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m engine render", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--system", default="mesh_warp", help="the reenactment system (default: %(default)s)")
    parser.add_argument(
        "--portrait", required=True, type=Path, nargs="+", action="extend", help="one or more images of one person"
    )
    parser.add_argument("--driving", type=Path, metavar="V", help="a movie, a folder of images or a .performance file")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder that receives the take")
    parser.add_argument("--shot", help="the name in front (default: the driving's)")
    parser.add_argument("--frames", help="source frames like 0-99, 0-99x2 or 3,7 (default: all)")
    parser.add_argument("--first-frame", type=int, default=FIRST_FRAME, help="(default: %(default)s)")
    parser.add_argument("--fps", type=rate, default=Fraction(24), help="rate of an image sequence (default: 24)")
    parser.add_argument(
        "--motion",
        default="mixed",
        help=f"{', '.join(MOTION_PRESETS)}, or parts like rotation=absolute,expression=relative (default: %(default)s)",
    )
    parser.add_argument(
        "--identity",
        choices=IDENTITIES,
        default=IDENTITIES[0],
        help="whose head moves: the portrait's own, or the driver's, to compare with (default: %(default)s)",
    )
    parser.add_argument("--neutral", type=int, metavar="N", help="source frame of the driver's rest (default: found)")
    parser.add_argument("--no-face", choices=NO_FACE_POLICIES, default="hold", help="for frames without a face")
    parser.add_argument("--detector", default="builtin", help=f"{terms()} (default: %(default)s)")
    parser.add_argument("--option", action="append", default=[], metavar="K=V", help="an option of the system")
    return parser.parse_args(argv)


def _job(arguments: argparse.Namespace) -> Job:
    driving = driving_from(arguments.driving) if arguments.driving else Driving("none")
    start, stop, fps = _extent(driving, arguments.fps)
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
    )
    try:
        job.check()
    except ProtocolError as fault:
        raise EngineError("arguments", f"{fault}.", "See python -m engine render --help.") from fault
    return job


def _extent(driving: Driving, fps: Fraction) -> tuple[int, int, Fraction]:
    """First source frame, the one after the last, and the rate."""
    if driving.kind == "none":
        return 0, 1, fps
    if driving.kind == "performance":
        from engine.motion.performance import Performance

        performance = Performance.load(Path(driving.path))
        return performance.start, performance.stop, performance.fps
    from engine.media.source import open_source

    source = open_source(driving, fps)
    return 0, source.count, source.fps


def _motion(text: str) -> str | dict[str, str]:
    if "=" not in text:
        return text
    pairs = (part.partition("=") for part in text.split(","))
    return {part: mode for part, _, mode in pairs}
