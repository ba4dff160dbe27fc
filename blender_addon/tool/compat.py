"""Every difference between Blender 4.2 and 5.2 that the add-on meets; nothing else asks for the version.

Blender 4.4 renamed sequences to strips, 4.5 wants relative paths marked, 5.0 gave the sequencer a scene of its own,
5.2 renamed the times of a strip.
"""

from __future__ import annotations

from typing import Any

import bpy

Strip = Any  # bpy.types.Strip, bpy.types.Sequence before 4.4
Scene = Any  # bpy.types.Scene, with the add-on's own property
Context = Any  # bpy.types.Context; the members differ with the editor
LAST_CHANNEL = 128

STRIPS = "strips" if "strips" in bpy.types.SequenceEditor.bl_rna.properties else "sequences"

_NEW_TIMES = "left_handle" in (getattr(bpy.types, "Strip", None) or bpy.types.Sequence).bl_rna.properties

# From 4.5 on, a path that may begin with // has to say so.
RELATIVE_PATH: Any = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5) else set()


def strips(scene: Scene) -> Any:
    """The top-level strips of ``scene``; an empty tuple when it has no sequencer yet."""
    return getattr(scene.sequence_editor, STRIPS) if scene.sequence_editor else ()


def sequencer_scene(context: Context) -> Scene:
    """The scene whose strips the sequencer shows; before 5.0, and with none chosen, the context's own."""
    return getattr(context, "sequencer_scene", None) or context.scene


def shows_scene(context: Context) -> bool:
    """Whether the sequencer shows a scene: from 5.0 on it has none until one is chosen."""
    return getattr(context, "sequencer_scene", context.scene) is not None


def content_start(strip: Strip) -> float:
    """The scene frame of the content's first frame, wherever the handles are."""
    return strip.content_start if _NEW_TIMES else strip.frame_start


def set_content_start(strip: Strip, frame: float) -> None:
    if _NEW_TIMES:
        strip.content_start = frame
    else:
        strip.frame_start = frame


def handles(strip: Strip) -> tuple[int, int]:
    """The first scene frame of the strip, and the first after it."""
    if _NEW_TIMES:
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def set_handles(strip: Strip, left: int, right: int) -> None:
    if _NEW_TIMES:
        strip.left_handle, strip.right_handle = left, right
    else:
        strip.frame_final_start, strip.frame_final_end = left, right


def handle_offsets(strip: Strip) -> tuple[float, float]:
    """Scene frames from the content's ends to the handles inside it; negative where an end is held."""
    if _NEW_TIMES:
        return strip.left_handle_offset, strip.right_handle_offset
    return strip.frame_offset_start, strip.frame_offset_end


def trims(strip: Strip) -> tuple[int, int]:
    """Source frames cut off before and after the content."""
    if _NEW_TIMES:
        return int(strip.content_trim_start), int(strip.content_trim_end)
    return int(strip.animation_offset_start), int(strip.animation_offset_end)


def content_frames(strip: Strip) -> int:
    """Scene frames from the content's start to its end, wherever the handles are."""
    (left, right), (left_offset, right_offset) = handles(strip), handle_offsets(strip)
    return round(right - left + left_offset + right_offset)
