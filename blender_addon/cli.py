"""``blender -b shot.blend --command understudy render [--scene S] [--frames 1001-1100x1] [--take latest]``."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import bpy

from .core.fault import Fault
from .core.render_run import RenderRun, State
from .tool import blend_file, compat
from .tool.reenact import Reenactment
from .tool.scene import scene_named

FAILED, NOT_SAVED, SIGNALLED = 1, 3, 128
EXIT_CODES = """\
exit code 0: every frame asked for is on disk and whole
          1: an error; finished frames stay, and --take continues from there
          2: the command line is wrong
          3: every frame is there, but the .blend could not be saved, or was saved by another process meanwhile
        130: interrupted by Ctrl-C (143: by a termination signal); finished frames stay"""

_command: Any = None


def main(argv: list[str]) -> int:
    """The command's exit code, as in :data:`EXIT_CODES`."""
    parser = argparse.ArgumentParser(prog="blender -b FILE --command understudy", description="Face reenactment")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser(
        "render",
        help="make a take of a scene's driving strip, as its panel is set",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--scene", default="", help="the scene's name (default: the one that the sequencer shows)")
    verb.add_argument("--frames", default="", help="scene frames such as 1001-1100x2 (default: as set in the panel)")
    verb.add_argument(
        "--take",
        default="new",
        help="new (default), or the take that receives its missing frames: latest, or a version such as v003",
    )
    verb.add_argument("--strict", action="store_true", help="refuse frames outside the driving strip (default: skip)")
    verb.add_argument("--save", action="store_true", help="save the .blend with the take's strip in it")
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # argparse's way to answer --help and mistakes; Blender must not end halfway
        return int(end.code or 0)
    try:
        return _render(options)
    except Fault as fault:
        print(f"understudy: {fault}", file=sys.stderr)
        return FAILED


def _render(options: argparse.Namespace) -> int:
    if options.save:
        blend_file.check_saved()
    scene = scene_named(options.scene) if options.scene else compat.sequencer_scene(bpy.context)
    reenactment = Reenactment(scene, options.frames, options.take, options.strict)
    reenactment.wait(_Printer())
    run = reenactment.run
    strip = reenactment.land()
    for warning in run.warnings:
        print(f"understudy: warning: {warning}", file=sys.stderr)
    if run.take is not None:
        kept = f" ({run.kept} were there before)" if run.kept else ""
        print(f"{len(run.frames)} of {len(run.job.frames)} frames in {run.take.folder}{kept}", flush=True)
    if reenactment.signal is not None and run.state is State.CANCELLED:
        return SIGNALLED + reenactment.signal
    if strip and run.take and options.save:
        try:
            blend_file.save(run.take.folder)
        except Fault as fault:
            print(f"understudy: {fault}", file=sys.stderr)
            return NOT_SAVED if run.state is State.FINISHED else FAILED
    if run.state is State.FINISHED:
        return 0
    raise run.fault or Fault("cancelled", "The take was cancelled.")


class _Printer:
    """One line a second is enough for a log."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, run: RenderRun) -> None:
        if run.phase and (time.monotonic() >= self._next or run.over):
            self._next = time.monotonic() + 1.0
            rate = f", {run.fps:.1f} frames/s" if run.fps else ""
            left = f", {run.seconds_left:.0f} s left" if run.seconds_left is not None else ""
            print(f"{run.phase} {run.done}/{run.total}{rate}{left}", flush=True)


def register() -> None:
    global _command
    _command = bpy.utils.register_cli_command("understudy", main)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_command)
