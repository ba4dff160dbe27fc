"""``blender -b shot.blend --command understudy render [--scene S] [--frames 1001-1100x1]``."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import bpy

from .core.fault import Fault
from .core.render_run import RenderRun, State
from .tool.reenact import Reenactment
from .tool.scene import scene_named

_command: Any = None


def main(argv: list[str]) -> int:
    """The command's exit code: 0 only when every frame asked for is on disk and whole."""
    parser = argparse.ArgumentParser(prog="blender -b FILE --command understudy", description="Face reenactment")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("render", help="make a take of a scene's driving strip, as its panel is set")
    verb.add_argument("--scene", default="", help="the scene's name (default: the active scene)")
    verb.add_argument("--frames", default="", help="scene frames such as 1001-1100x2 (default: as set in the panel)")
    verb.add_argument("--save", action="store_true", help="save the .blend with the take's strip in it")
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # argparse's way to answer --help and mistakes; Blender must not end halfway
        return int(end.code or 0)
    try:
        return _render(options.scene, options.frames, options.save)
    except Fault as fault:
        print(f"understudy: {fault}", file=sys.stderr)
        return 1


def _render(scene: str, frames: str, save: bool) -> int:
    reenactment = Reenactment(scene_named(scene) if scene else bpy.context.scene, frames)
    reenactment.run.wait(_Printer())
    run = reenactment.run
    for warning in run.warnings:
        print(f"understudy: warning: {warning}", file=sys.stderr)
    strip = reenactment.land()
    if strip and save:
        bpy.ops.wm.save_mainfile()
    if run.take is not None:
        print(f"{len(run.frames)} of {len(run.job.frames)} frames in {run.take.folder}")
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
