"""Writing to the sequencer: a take becomes an image strip above its driver, frame for frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ..core.fault import Fault
from ..core.render_run import TakeFolder
from . import compat
from .compat import Scene, Strip


def add_take(
    scene: Scene,
    take: TakeFolder,
    frames: Sequence[int],
    *,
    above: int,
    shift: int,
    note: dict[str, Any],
    relative: bool,
) -> Strip:
    """Add the frames that are there, named by scene frame, as one strip; returns it.

    It spans the first to the last of ``frames``; a frame between them that is missing (a stepped or cancelled take)
    shows the one before it. It goes on the first channel over ``above`` that is free there, moved by ``shift`` scene
    frames. ``note`` becomes its property ``understudy``. Raises :class:`Fault` ``no_channel``.
    """
    first, last = min(frames), max(frames)
    start = first + shift
    channel = _free_channel(scene, above, start, last + shift + 1)
    if channel is None:
        raise Fault(
            "no_channel",
            f"No channel above the driving strip is free, so no strip was added for {take.folder}.",
            "Clear a channel, then add that folder as an image sequence.",
        )
    strips = getattr(scene.sequence_editor, compat.STRIPS)
    strip = strips.new_image(take.name, str(take.frame(first)), channel, start, fit_method="FIT")
    present, shown = set(frames), first
    for frame in range(first + 1, last + 1):
        shown = frame if frame in present else shown
        strip.elements.append(take.frame(shown).name)
    if relative:
        strip.directory = bpy.path.relpath(str(take.folder)) + "/"
    strip.blend_type = "REPLACE"
    strip.colorspace_settings.name = "sRGB"
    strip["understudy"] = note
    return strip


def _free_channel(scene: Scene, above: int, start: int, end: int) -> int | None:
    taken = set()
    for strip in compat.strips(scene):
        left, right = compat.handles(strip)
        if left < end and start < right:
            taken.add(strip.channel)
    return next((channel for channel in range(above + 1, compat.LAST_CHANNEL + 1) if channel not in taken), None)
