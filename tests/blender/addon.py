"""The add-on as Blender loads it: an extension in a user folder of its own, with a real engine and real footage."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULE = "bl_ext.user_default.understudy"


def _engine_python() -> Path:
    """The engine's Python, from the variable by which users name it too."""
    default = ROOT / ".venvs" / "engine" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return Path(os.environ.get("UNDERSTUDY_ENGINE_PYTHON") or default)


ENGINE_PYTHON = _engine_python()
os.environ["UNDERSTUDY_ENGINE_PYTHON"] = str(ENGINE_PYTHON)

# Before bpy is imported: Blender reads these at its start. The extension is a link to this very tree.
_USER = Path(tempfile.mkdtemp(prefix="understudy tests äß "))
atexit.register(shutil.rmtree, _USER, ignore_errors=True)
os.environ["BLENDER_USER_RESOURCES"] = str(_USER)
(_USER / "extensions" / "user_default").mkdir(parents=True)
(_USER / "extensions" / "user_default" / "understudy").symlink_to(ROOT, target_is_directory=True)

import bpy as _bpy  # noqa: E402

bpy: Any = _bpy  # tests take it from here: the stubs know nothing of our operators, and this is the first import


def addon(name: str):
    """A module of the add-on as Blender loaded it, such as ``addon("tool.take")``."""
    return import_module(f"{MODULE}.blender_addon.{name}")


def add_movie(scene, path: Path, start: int = 1001, channel: int = 1):
    """A movie strip as a script adds it: one source frame a scene frame."""
    scene.sequence_editor_create()
    strips = getattr(scene.sequence_editor, addon("tool.compat").STRIPS)
    return strips.new_movie("Führung", str(path), channel, start)


def add_images(scene, folder: Path, count: int, start: int = 1001, channel: int = 1):
    files = sorted(folder.iterdir())[:count]
    scene.sequence_editor_create()
    strips = getattr(scene.sequence_editor, addon("tool.compat").STRIPS)
    strip = strips.new_image("Bilder", str(files[0]), channel, start)
    for file in files[1:]:
        strip.elements.append(file.name)
    return strip


def stored(group) -> Any:
    """What a file keeps of a property group, by name: also what the group itself would not take."""
    return group.bl_system_properties_get(do_create=True) if hasattr(group, "bl_system_properties_get") else group


def takes(scene) -> list:
    """The strips of takes, lowest channel first."""
    strips = [strip for strip in addon("tool.compat").strips(scene) if addon("tool.take").note_of(strip)]
    return sorted(strips, key=lambda strip: strip.channel)


def refusal(**arguments) -> str:
    """The one error that Reenact gives."""
    try:
        bpy.ops.understudy.render(**arguments)
    except RuntimeError as error:
        text = str(error).removeprefix("Error: ").strip()
        assert "\n" not in text, "one error, one line"
        return text
    raise AssertionError("Reenact refused nothing")
