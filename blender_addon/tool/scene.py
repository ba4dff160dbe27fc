"""What the user has chosen, saved with the scene: ``Scene.understudy``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ...engine import catalog
from ...engine.catalog import DetectorInfo, SystemInfo
from ..core.fault import Fault
from . import compat, engine, options
from .compat import Context, Scene

MOTIONS = (
    (
        "mixed",
        "Mixed",
        "The head turns as the driver's does; its position and expression start from the portrait's own. "
        "A smiling portrait takes over the driver's expression as it is",
    ),
    ("relative", "Relative", "Everything starts from the portrait's own pose and expression, and moves as the driver"),
    ("absolute", "Absolute", "Everything is as in the driver, whatever the portrait's own pose and expression"),
)
IDENTITIES = (
    ("portrait", "Portrait", "The portrait's own head takes the driver's pose and expression"),
    ("driver", "Driver", "The driver's head shape is transferred with pose and expression, for comparison"),
)
RANGES = (
    ("STRIP", "Strip", "Every frame on which the driving strip is shown"),
    ("SCENE", "Scene", "The scene's frame range, as far as the driving strip is shown in it"),
)
NO_FACE = (
    ("hold", "Hold", "Keep the last pose; the take's JSON file lists these frames"),
    ("reference", "Portrait", "Show the portrait as it is"),
    ("fail", "Fail", "Stop with an error"),
)


def choices(infos: Iterable[SystemInfo | DetectorInfo]) -> list[tuple[str, str, str, int]]:
    """Entries of the catalog as the items of a menu, each with the number that files keep."""
    return [(info.name, info.label, info.description, info.number) for info in infos]


def _name_portrait(portrait: Any, context: Context) -> None:
    portrait.name = bpy.path.basename(portrait.path)


class UNDERSTUDY_PG_portrait(bpy.types.PropertyGroup):
    """One reference image of the person; ``name`` is its file's."""

    path: StringProperty(
        name="Portrait",
        description="An image of the person",
        subtype="FILE_PATH",
        options=compat.RELATIVE_PATH,
        update=_name_portrait,
    )


class UNDERSTUDY_PG_settings(bpy.types.PropertyGroup):
    portraits: CollectionProperty(type=UNDERSTUDY_PG_portrait, description="One or several images of one person")
    portrait_index: IntProperty(name="Active Portrait", min=0)
    driving: StringProperty(
        name="Driving Strip",
        description="The strip whose face drives the portrait. Empty: the active strip",
    )
    range: EnumProperty(name="Frames", description="Which frames to make", items=RANGES, default="STRIP")
    output: StringProperty(
        name="Output",
        description="The folder that receives a new folder for each take",
        subtype="DIR_PATH",
        default="//understudy/",
        options=compat.RELATIVE_PATH,
    )
    shot: StringProperty(
        name="Shot",
        description="The first part of a take's name. Empty: the name of the .blend file",
    )
    system: EnumProperty(
        name="System",
        description="The method that draws the frames",
        items=choices(catalog.systems(engine.WEIGHTS)),
        default="mesh_warp",
    )
    options: PointerProperty(type=options.UNDERSTUDY_PG_options)
    motion: EnumProperty(
        name="Motion", description="How the driver's motion is applied to the portrait", items=MOTIONS, default="mixed"
    )
    identity: EnumProperty(name="Head Shape", description="Whose head moves", items=IDENTITIES, default="portrait")
    use_neutral_frame: BoolProperty(
        name="Neutral Frame",
        description="Name the frame on which the driver looks neutral. Off: the least expressive good one is found",
    )
    neutral_frame: IntProperty(
        name="Neutral Frame", description="The scene frame on which the driver looks neutral", default=1
    )
    detector: EnumProperty(
        name="Face Detector",
        description="The method that finds the driver's face",
        items=choices(catalog.detectors(engine.WEIGHTS)),
        default="builtin",
    )
    no_face: EnumProperty(name="No Face Found", description="What is drawn in a frame without a face", items=NO_FACE)


def absolute_path(path: str, what: str) -> Path:
    """``path`` without Blender's ``//``; raises :class:`Fault` ``no_path`` or, for a new file, ``unsaved_blend``."""
    if not path.strip():
        raise Fault("no_path", f"{what} is empty.", "Choose it in the panel.")
    if path.startswith("//") and not bpy.data.filepath:
        raise Fault(
            "unsaved_blend",
            f"{what} is {path}, relative to a .blend file that has not been saved yet.",
            "Save the file first, or choose an absolute path.",
        )
    return Path(os.path.abspath(bpy.path.abspath(path)))


def relative_path(path: Path) -> str:
    """``path`` with Blender's ``//``, or as it is where that is not possible: on another drive of Windows."""
    try:
        return bpy.path.relpath(str(path))
    except ValueError:
        return str(path)


def add_portrait(scene: Scene, path: Path) -> None:
    """Append ``path`` to the portraits, relative to the .blend file where Blender's preferences ask for it."""
    portraits = scene.understudy.portraits
    item = portraits.add()
    context: Context = bpy.context
    relative = bpy.data.filepath and context.preferences.filepaths.use_relative_paths
    item.path = relative_path(path) if relative else str(path)
    scene.understudy.portrait_index = len(portraits) - 1


def output_folder(scene: Scene) -> Path:
    """The folder that receives the takes; raises :class:`Fault` ``no_path`` or ``unsaved_blend``."""
    return absolute_path(scene.understudy.output, "The output folder")


def portraits(scene: Scene) -> tuple[str, ...]:
    """The portraits' absolute paths; raises :class:`Fault` ``no_portrait`` or ``unsaved_blend``."""
    if not scene.understudy.portraits:
        raise Fault("no_portrait", f"No portrait has been chosen in the scene {scene.name}.", "Add one in the panel.")
    return tuple(str(absolute_path(item.path, "The path of a portrait")) for item in scene.understudy.portraits)


def scene_by_uid(uid: int) -> Scene | None:
    """The scene with this session-wide number, which a rename or an undo does not change."""
    return next((scene for scene in bpy.data.scenes if scene.session_uid == uid), None)


def scene_named(name: str) -> Scene:
    """Raises :class:`Fault` ``no_scene``."""
    if name not in bpy.data.scenes:
        known = ", ".join(scene.name for scene in bpy.data.scenes)
        raise Fault("no_scene", f"There is no scene {name!r}.", f"The file has: {known}.")
    return bpy.data.scenes[name]


SCENE_CLASS: Any = bpy.types.Scene
CLASSES = (*options.CLASSES, UNDERSTUDY_PG_portrait, UNDERSTUDY_PG_settings)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    SCENE_CLASS.understudy = PointerProperty(type=UNDERSTUDY_PG_settings)


def unregister() -> None:
    del SCENE_CLASS.understudy
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
