"""Writing to the sequencer: a take becomes an image strip above its driver, frame for frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from ..core.fault import Fault
from ..core.takes import TakeFolder
from . import compat
from .compat import Scene, Strip
from .scene import relative_path


def lay_take(scene: Scene, take: TakeFolder, *, above: int, shift: int, note: dict[str, Any], relative: bool) -> Strip:
    """Show all frames of ``take`` that are there; returns its strip.

    Strips that show the take already get its new frames and stay where they are. Otherwise a new strip goes on the
    first channel over ``above`` that is free there, moved by ``shift`` scene frames from the frames' own numbers.
    ``note`` becomes its property ``understudy``. Raises :class:`Fault` ``no_frames`` or ``no_channel``.
    """
    try:
        frames = take.frames()
    except OSError as error:
        raise Fault(
            "no_frames", f"{take.folder} cannot be read: {error}.", "Check the disk, and refresh the list."
        ) from error
    if not frames:
        raise Fault("no_frames", f"There is no frame in {take.folder}.", "Resume the take.")
    strips = strips_of(scene, take)
    for strip in strips:
        _update(strip, take, frames)
    if not strips:
        scene.sequence_editor_create()
        start, end = frames[0] + shift, frames[-1] + shift + 1
        channel = free_channel(scene, above, start, end)
        collection = getattr(scene.sequence_editor, compat.STRIPS)
        strip = collection.new_image(take.name, str(take.frame(frames[0])), channel, start, fit_method="FIT")
        _show(strip, take, frames)
        if relative:
            strip.directory = relative_path(take.folder) + "/"
        strip.blend_type = "REPLACE"
        strip.colorspace_settings.name = "sRGB"
        strips = [strip]
    for strip in strips:
        strip["understudy"] = note
    return strips[0]


def free_channel(scene: Scene, above: int, start: int, end: int) -> int:
    """The first channel over ``above`` that is free on the scene frames [start, end); Fault ``no_channel`` without."""
    taken = set()
    for strip in compat.strips(scene):
        left, right = compat.handles(strip)
        if left < end and start < right:
            taken.add(strip.channel)
    for channel in range(above + 1, compat.LAST_CHANNEL + 1):
        if channel not in taken:
            return channel
    text = f"No channel above {above} is free on frames {start}-{end - 1}, so the take has no place in the sequencer."
    raise Fault("no_channel", text, "Clear a channel above the driving strip.")


def note_of(strip: Strip) -> dict | None:
    """What :func:`lay_take` noted on a strip of ours; None for any other strip."""
    note = strip.get("understudy")
    return note.to_dict() if note is not None and hasattr(note, "to_dict") else None


def strips_of(scene: Scene, take: TakeFolder) -> list[Strip]:
    """The strips that show ``take``: one, or several after a cut."""
    found = []
    for strip in compat.strips(scene):
        note = note_of(strip)
        if note and note.get("take") == take.name and strip.type == "IMAGE":
            folder = Path(bpy.path.abspath(strip.directory))
            if os.path.realpath(folder) == os.path.realpath(take.folder):
                found.append(strip)
    return found


def _show(strip: Strip, take: TakeFolder, frames: Sequence[int]) -> None:
    """Make the strip's elements these frames; one that is missing shows the frame before it."""
    present, names = set(frames), []
    for frame in range(frames[0], frames[-1] + 1):
        names.append(take.frame(frame).name if frame in present else names[-1])
    while len(strip.elements) > len(names):
        strip.elements.pop(len(strip.elements) - 1)
    for element, name in zip(strip.elements, names, strict=False):
        element.filename = name
    for name in names[len(strip.elements) :]:
        strip.elements.append(name)


def _update(strip: Strip, take: TakeFolder, frames: Sequence[int]) -> None:
    """Give a strip of the take its new frames. Each stays where it was shown, and so do handles that were moved.

    In place, which keeps what the user did to the strip; and removing strips from a script can crash Blender 5.2 while
    it prefetches.
    """
    old = strip.elements[0].filename
    before = next((frame for frame in frames if take.frame(frame).name == old), frames[0])
    start = compat.content_start(strip) + frames[0] - before
    (left, right), (left_moved, right_moved) = compat.handles(strip), compat.handle_offsets(strip)
    _show(strip, take, frames)
    compat.set_content_start(strip, start)
    if not left_moved:
        left = round(start)
    if not right_moved:
        right = round(start) + len(strip.elements)
    compat.set_handles(strip, left, right)
    strip.invalidate_cache("RAW")
