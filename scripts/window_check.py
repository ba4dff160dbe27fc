"""The main job by mouse, in a Blender with a window: install, Reenact, watch, cancel, resume, scrub, undo, quit.

    blender --factory-startup --enable-event-simulate --window-geometry 0 0 1600 900 \\
        --python scripts/window_check.py -- ZIP MOVIE PORTRAIT FOLDER [SYSTEM]

FOLDER receives the .blend, the takes and, where ImageMagick's `import` is there, screenshots. A Blender under Xvfb
will do; set BLENDER_USER_RESOURCES to leave your own preferences alone. Exit code 0 if all checks passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import bpy as blender

bpy: Any = blender
MODULE = "bl_ext.user_default.understudy"
TICK = 0.05
LENGTH = 720  # frames that the driving strip has at least
PATIENCE = 120.0  # seconds that any one condition may take

ZIP, MOVIE, PORTRAIT, FOLDER = (Path(argument).absolute() for argument in sys.argv[sys.argv.index("--") + 1 :][:4])
SYSTEM = (sys.argv[sys.argv.index("--") + 1 :] + ["mesh_warp"])[4]

Step = Iterator[Callable[[], object]]  # yields conditions to wait for


def script() -> Step:
    """The whole session; each ``yield`` lets Blender work until the condition holds."""
    yield from set_up()
    yield from screenshot("1 ready")

    yield from click("understudy.render")
    yield lambda: run() and run().take and run().done >= 3
    yield from screenshot("2 at work")
    yield from frames_drawn(2)  # taking the screenshot held Blender up
    longest_gap(reset=True)
    done = run().done
    yield lambda: run().done > done + 5
    say("at work, the longest that Blender did not answer", f"{longest_gap() * 1000:.0f} ms")
    yield from screenshot("3 further on")

    cancelled = run()
    yield from hover("understudy.cancel")
    pressed = time.monotonic()
    press()
    yield lambda: ui().current is None
    say("cancelled after", f"{time.monotonic() - pressed:.2f} s with {len(cancelled.frames)} frames")
    expect(time.monotonic() - pressed < 1.0, "Cancel stops within a second")
    expect(len(takes()) == 1 and 0 < len(cancelled.frames) < cancelled.total, "finished frames are kept, as a strip")
    yield lambda: [take.name for take in listed()] == [takes()[0]["understudy"]["take"]]
    expect(listed()[0].done < listed()[0].total == cancelled.total, "the unfinished take is in the list")
    yield from screenshot("4 cancelled")

    yield from click("understudy.render", 'take="v001"')
    yield lambda: ui().current is None and listed() and listed()[0].done == listed()[0].total
    expect(len(takes()) == 1 and takes()[0]["understudy"]["complete"], "Resume finishes the same take")
    expect(takes()[0].elements[-1].filename.endswith(f".{scene().frame_end}.png"), "its strip shows every frame")
    yield from screenshot("5 resumed")

    yield from hover("understudy.render")
    pressed = time.monotonic()
    press()
    yield lambda: run() and run().frames
    say("from Reenact to the first frame", f"{time.monotonic() - pressed:.2f} s")
    yield lambda: ui().current is None
    expect(len(takes()) == 2, "a second take lies above the first")
    expect(takes()[1]["understudy"]["complete"], "every frame of it is there")
    for frame in (8, 20, 32):
        scene().frame_set(scene().frame_start + frame)
        yield from screenshot(f"6 scrubbed to {scene().frame_current}")

    bpy.ops.ed.undo()
    yield lambda: len(takes()) == 1
    bpy.ops.ed.redo()
    yield lambda: len(takes()) == 2
    say("undo and redo", "the strip goes and comes back")
    delete(takes()[1])
    yield from click("understudy.add_take")
    yield lambda: len(takes()) == 2
    say("Add to Timeline", "the newest take lies above the first again")
    bpy.ops.wm.save_mainfile()

    yield from click("understudy.render")
    yield lambda: run() and run().frames
    process = run()._child._process
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    yield lambda: process.poll() is not None and ui().current is None
    say("loading a file at work", "the engine has ended")
    yield from open_sidebar()
    yield from click("understudy.render")
    yield lambda: run() and run().frames  # and quit in the middle: no crash, no orphan
    say("quitting at work", f"engine {run()._child._process.pid}")


def set_up() -> Step:
    FOLDER.mkdir(parents=True, exist_ok=True)
    bpy.context.preferences.view.show_splash = False
    bpy.ops.extensions.package_install_files(filepath=str(ZIP), repo="user_default", enable_on_install=True)
    template = "startup/bl_app_templates_system/Video_Editing/startup.blend"
    startup = Path(bpy.utils.system_resource("SCRIPTS")) / template
    with bpy.context.temp_override(window=window()):
        bpy.ops.workspace.append_activate(idname="Video Editing", filepath=str(startup))
    yield lambda: window().workspace.name == "Video Editing" and sequencer_area()
    if hasattr(window().workspace, "sequencer_scene"):
        window().workspace.sequencer_scene = scene()
    scene().render.fps, scene().render.fps_base = 24, 1.0
    scene().render.resolution_x = scene().render.resolution_y = 512
    scene().view_settings.view_transform = "Standard"
    editor = scene().sequence_editor_create()
    strip = (editor.strips if hasattr(editor, "strips") else editor.sequences).new_movie(
        "driving", str(MOVIE), 1, 1001, fit_method="FIT"
    )
    handle = "right_handle" if hasattr(strip, "right_handle") else "frame_final_end"
    end = max(getattr(strip, handle), 1001 + LENGTH)
    setattr(strip, handle, end)  # a short clip holds its last frame, so that there is time to look and to cancel
    scene().frame_start, scene().frame_end = 1001, int(end) - 1
    scene().frame_set(1001)
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "window check.blend"))
    bpy.ops.understudy.add_portraits(directory=str(PORTRAIT.parent), files=[{"name": PORTRAIT.name}])
    scene().understudy.driving = "driving"
    scene().understudy.system = SYSTEM
    bpy.ops.ed.undo_push(message="Set Up")
    yield from open_sidebar()


def open_sidebar() -> Step:
    """Show the tab Understudy, wide and large enough, and the whole timeline."""
    yield lambda: sequencer_area()
    area = sequencer_area()
    area.spaces.active.show_region_ui = True
    yield lambda: sidebar().width > 1
    sidebar().active_panel_category = "Understudy"
    area.spaces.active.show_seconds = False
    with bpy.context.temp_override(window=window(), area=area, region=region(area, "WINDOW")):
        bpy.ops.sequencer.view_all()
    if preview := sequencer_area(preview=True):
        with bpy.context.temp_override(window=window(), area=preview, region=region(preview, "PREVIEW")):
            bpy.ops.sequencer.view_all_preview()
    yield from frames_drawn(4)


def click(operator: str, arguments: str = "") -> Step:
    yield from hover(operator, arguments)
    press()


def hover(operator: str, arguments: str = "") -> Step:
    """Move the mouse over the sidebar until it rests on ``operator``'s button, as its own context menu tells."""
    wm, box = bpy.context.window_manager, sidebar()
    rows = sorted(range(box.y + box.height - 30, box.y, -9), key=lambda y: abs(y - hover.at[1]))
    columns = [box.x + box.width * part // 8 for part in (6, 4, 2)]  # Cancel takes Reenact's place
    for x, y in ((x, y) for x in columns for y in rows):
        for dx in (0, 1):  # a button becomes active when the mouse moves on it
            window().event_simulate(type="MOUSEMOVE", value="NOTHING", x=x + dx, y=y)
        yield from frames_drawn(2)
        wm.clipboard = ""
        with bpy.context.temp_override(window=window(), area=sequencer_area(), region=sidebar()):
            if bpy.ops.ui.copy_python_command_button.poll():
                bpy.ops.ui.copy_python_command_button()
        if f"{operator}({arguments})" in wm.clipboard:
            hover.at = (x + 1, y)
            return
    raise AssertionError(f"no button {operator} in the sidebar")


hover.at = (0, 10_000)


def press() -> None:
    x, y = hover.at
    window().event_simulate(type="LEFTMOUSE", value="PRESS", x=x, y=y)
    window().event_simulate(type="LEFTMOUSE", value="RELEASE", x=x, y=y)


def frames_drawn(count: int) -> Step:
    for _ in range(count):
        yield lambda: True


def screenshot(name: str) -> Step:
    yield from frames_drawn(8)
    if shutil.which("import"):
        subprocess.run(["import", "-window", "root", str(FOLDER / f"{name}.png")], check=True)


def window() -> Any:
    return bpy.context.window_manager.windows[0]


def scene() -> Any:
    return bpy.data.scenes[0]


def sequencer_area(preview: bool = False) -> Any:
    """The timeline, or the preview above it."""
    areas = (area for area in window().screen.areas if area.type == "SEQUENCE_EDITOR")
    return next((area for area in areas if (area.spaces.active.view_type == "PREVIEW") is preview), None)


def region(area: Any, kind: str) -> Any:
    return next(region for region in area.regions if region.type == kind)


def sidebar() -> Any:
    return region(sequencer_area(), "UI")


def ui() -> Any:
    return import_module(f"{MODULE}.blender_addon.ui.render")


def run() -> Any:
    return ui().current and ui().current.run


def strips() -> Any:
    editor = scene().sequence_editor
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def takes() -> list[Any]:
    return sorted((strip for strip in strips() if "understudy" in strip), key=lambda strip: strip.channel)


def delete(strip: Any) -> None:
    """As a user does, so that Blender first stops the threads that read strips."""
    area = sequencer_area()
    with bpy.context.temp_override(window=window(), area=area, region=region(area, "WINDOW")):
        bpy.ops.sequencer.select_all(action="DESELECT")
        strip.select = True
        bpy.ops.sequencer.delete()


def listed() -> list[Any]:
    """The takes that the panel lists."""
    return import_module(f"{MODULE}.blender_addon.ui.takes").of_scene(scene())


def say(what: str, value: str) -> None:
    print(f"window check: {what}: {value}", flush=True)


def expect(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)
    say("as it should be", what)


def longest_gap(reset: bool = False) -> float:
    if reset:
        tick.longest = 0.0
    return tick.longest


def tick() -> float | None:
    """A timer of Blender's own: goes on once the condition holds, and notes how late Blender calls it."""
    now = time.monotonic()
    tick.longest = max(tick.longest, now - tick.last - TICK)
    tick.last = now
    try:
        if not tick.condition():
            if now > tick.deadline:
                raise AssertionError(f"the condition did not hold within {PATIENCE:.0f} s")
            return TICK
        tick.condition = next(tick.steps)
        tick.deadline = now + PATIENCE
        return TICK
    except StopIteration:
        say("result", "passed")
        bpy.ops.wm.quit_blender()
    except Exception:
        traceback.print_exc()
        say("result", "FAILED")
        sys.stderr.flush()
        os._exit(1)
    return None


tick.steps = script()
tick.condition = lambda: True
tick.deadline = time.monotonic() + PATIENCE
tick.last = time.monotonic()
tick.longest = 0.0
bpy.app.timers.register(tick, first_interval=1.0, persistent=True)
