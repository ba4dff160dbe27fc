"""Reading the sequencer: the driving strip, its footage, and which source frame it shows when."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy

from ...engine.protocol import Driving
from ..core.fault import Fault
from ..core.frame_map import StripTiming, rational_fps
from . import compat
from .compat import Scene, Strip
from .scene import absolute_path
from .take import note_of


def is_footage(strip: Strip) -> bool:
    return strip.type in ("MOVIE", "IMAGE")


def driving_strip(scene: Scene) -> Strip:
    """The strip named in the settings, else the active one, else the only footage there is.

    Our own takes count only when named. Raises :class:`Fault` ``no_driver``.
    """
    name = scene.understudy.driving
    strips = compat.strips(scene)
    if name:
        strip = strips.get(name) if strips else None
        if strip is None:
            raise Fault("no_driver", f"There is no strip {name!r} in the sequencer.", "Choose the driving strip again.")
        if not is_footage(strip):
            raise Fault("no_driver", f"The strip {name!r} is neither a movie nor images.", "Choose another strip.")
        return strip
    active = scene.sequence_editor.active_strip if scene.sequence_editor else None
    footage = [strip for strip in strips if is_footage(strip) and note_of(strip) is None]
    if active in footage:
        return active
    if len(footage) == 1:
        return footage[0]
    what = "more than one strip that could drive" if footage else "neither a movie nor an image strip"
    raise Fault("no_driver", f"The sequencer of {scene.name} has {what}.", "Choose the driving strip in the panel.")


def footage(strip: Strip) -> Driving:
    """Where the strip's pixels come from; raises :class:`Fault` ``unsaved_blend`` or ``footage_missing``."""
    what = f"The strip {strip.name!r}"
    if strip.type == "MOVIE":
        path = absolute_path(strip.filepath, what)
        if not path.is_file():
            raise _missing(strip, path)
        return Driving("movie", str(path))
    folder = absolute_path(strip.directory, what)
    if not folder.is_dir():
        raise _missing(strip, folder)
    return Driving("sequence", str(folder), tuple(element.filename for element in strip.elements))


def check_images(strip: Strip, driving: Driving, sources: Iterable[int]) -> None:
    """Raise :class:`Fault` ``footage_missing`` unless each of ``sources`` of an image strip is on disk."""
    for source in sorted(set(sources)) if driving.kind == "sequence" else ():
        path = Path(driving.path) / driving.files[source]
        if not path.is_file():
            raise _missing(strip, path)


def timing(scene: Scene, strip: Strip) -> StripTiming:
    """Which source frame ``strip`` shows when.

    Raises :class:`Fault` ``retimed`` where Blender does not tell, ``footage_unreadable`` where it does not.
    """
    if len(getattr(strip, "retiming_keys", ())) > 0:
        raise _retimed(strip, "has retiming keys", "Remove them (Strip ▸ Retiming ▸ Reset)")
    for other in compat.strips(scene):
        if other.type == "SPEED" and other.input_1 == strip:
            raise _retimed(strip, f"is retimed by the effect {other.name!r}", "Remove the effect")
    left, right = compat.handles(strip)
    trim, trim_end = compat.trims(strip)
    rate = 1.0
    if strip.type == "IMAGE":
        length = len(strip.elements) - trim - trim_end
    else:
        if strip.fps <= 0.0:
            text = f"Blender cannot read the footage of the strip {strip.name!r}: {strip.filepath}."
            raise Fault("footage_unreadable", text, "Check whether the file is damaged, or convert it.")
        length = compat.content_frames(strip)
        numerator, denominator = scene_fps(scene)
        own = strip.fps * denominator / numerator
        if abs(own - 1.0) > 1e-6:
            length, rate = _own_rate(strip, length, trim + trim_end, own)
    return StripTiming(
        content_start=compat.content_start(strip),
        left=left,
        right=right,
        length=length,
        trim=trim,
        reverse=strip.use_reverse_frames,
        strobe=strip.strobe,
        rate=rate,
    )


def scene_fps(scene: Scene) -> tuple[int, int]:
    return rational_fps(scene.render.fps, scene.render.fps_base)


def _own_rate(strip: Strip, shown: int, trimmed: int, own: float) -> tuple[int, float]:
    """(source frames, source frames a scene frame) of a movie whose own rate is ``own`` times the scene's.

    No property tells whether the strip plays every source frame or keeps the movie's own speed, as those added from
    the menu do; the number of scene frames it is ``shown`` does.

    The map is what Blender decodes. From 5.0 on, playing footage slower than the scene it may show the source frame
    before it, from its cache.
    """
    image = bpy.data.images.load(strip.filepath)
    try:
        source = image.frame_duration - trimmed
    finally:
        bpy.data.images.remove(image)
    if shown == source:
        return source, 1.0
    if abs(shown - source / own) <= 1.0:
        return source, own
    reason = f"shows {source} frames of footage in {shown}, which neither its own rate nor the scene's explains"
    raise _retimed(strip, reason, "Set the scene's frame rate to the footage's")


def _retimed(strip: Strip, reason: str, remedy: str) -> Fault:
    text = f"The strip {strip.name!r} {reason}, and so its source frames cannot be known exactly."
    return Fault("retimed", text, f"{remedy}, or render the strip to a movie and drive from that.")


def _missing(strip: Strip, path: Path) -> Fault:
    text = f"The footage of the strip {strip.name!r} is missing: {path}."
    return Fault("footage_missing", text, "Correct the strip's path in the sequencer's Source panel.")
