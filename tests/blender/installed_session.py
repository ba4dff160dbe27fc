"""Run in a Blender of its own (test_extension.py): install the zip, or make a take with what was installed.

python installed_session.py REPORT install ZIP
python installed_session.py REPORT render SYSTEM PORTRAIT MOVIE FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

import bpy as blender

bpy: Any = blender
MODULE = "bl_ext.user_default.understudy"


def install(archive: str) -> dict[str, Any]:
    result = bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
    assert MODULE in bpy.context.preferences.addons
    return {"result": sorted(result)}


def render(system: str, portrait: str, movie: str, folder: str) -> dict[str, Any]:
    bpy.ops.preferences.addon_enable(module=MODULE)  # the bpy module never reads a user's preferences
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strips.new_movie("Führung", movie, 1, 1001)
    bpy.ops.wm.save_as_mainfile(filepath=str(Path(folder) / "Aufnahme 1.blend"))
    scene.understudy.system = system
    file = Path(portrait)
    bpy.ops.understudy.add_portraits(directory=str(file.parent), files=[{"name": file.name}])
    result = bpy.ops.understudy.render()
    return {"result": sorted(result), "root": sys.modules[MODULE].__file__}


report, verb, *arguments = sys.argv[1:]
Path(report).write_text(json.dumps({"install": install, "render": render}[verb](*arguments)), "utf-8")
