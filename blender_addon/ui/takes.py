"""The takes found on disk; none of it is kept in the .blend. Editors may show several scenes: each lists its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.props import CollectionProperty, IntProperty, PointerProperty, StringProperty

from ..core.background import Background
from ..core.fault import Fault
from ..core.takes import TakeFolder, TakeStatus, find_takes
from ..tool import compat
from ..tool.compat import Context, Scene
from ..tool.reenact import add_to_timeline, shot_name
from ..tool.scene import output_folder
from ..tool.sequencer import driving_strip
from .redraw import redraw

INTERVAL = 0.1

_search: _Search | None = None  # the search that is running
_looked_at: set[str] = set()  # the output folders whose takes are known


class _Search(Background):
    """Lists the takes of an output folder on a thread: the folder may be on a slow disk."""

    def __init__(self, output: str, shot: str, select: str) -> None:
        self.output = output
        self.shot = shot
        self.select = select
        self.found: list[TakeStatus] = []

        def look(report, cancelled) -> None:
            self.found = find_takes(Path(output)) if output else []

        super().__init__(look)


class UNDERSTUDY_PG_take(bpy.types.PropertyGroup):
    """One take on disk; ``name`` is its folder's, ``changed`` a date for people."""

    output: StringProperty()
    folder: StringProperty()
    shot: StringProperty()
    version: IntProperty()
    done: IntProperty()
    total: IntProperty()
    changed: StringProperty()


class UNDERSTUDY_PG_takes(bpy.types.PropertyGroup):
    takes: CollectionProperty(type=UNDERSTUDY_PG_take)
    index: IntProperty(name="Active Take", min=0)


class UNDERSTUDY_UL_takes(bpy.types.UIList):
    def filter_items(self, context, data, property):
        """Only the takes in the scene's output folder, those of its shot first."""
        scene, items = compat.sequencer_scene(context), getattr(data, property)
        output, shot, text = _output(scene), shot_name(scene), self.filter_name.lower()
        shown = (item.output == output and text in item.name.lower() for item in items)
        order = sorted(range(len(items)), key=lambda index: items[index].shot != shot)
        places = {index: place for place, index in enumerate(order)}
        return [self.bitflag_filter_item * flag for flag in shown], [places[index] for index in range(len(items))]

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index):
        scene = compat.sequencer_scene(context)
        whole = item.done == item.total > 0
        row = layout.row()
        label = f"v{item.version:03d}" if item.shot == shot_name(scene) else item.name
        row.label(text=label, icon="CHECKMARK" if whole else "TEMP")
        row.label(text=f"{item.done} / {item.total}")
        row.label(text=item.changed)


class UNDERSTUDY_OT_refresh_takes(bpy.types.Operator):
    bl_idname = "understudy.refresh_takes"
    bl_label = "Refresh Takes"
    bl_description = "Read the takes in the output folder again"
    bl_options = {"INTERNAL"}

    def execute(self, context: Context):
        refresh(compat.sequencer_scene(context))
        return {"FINISHED"}


class _TakeOperator:
    """Acts on the take that is chosen in the list."""

    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Context):
        return active(context) is not None


class UNDERSTUDY_OT_add_take(_TakeOperator, bpy.types.Operator):
    bl_idname = "understudy.add_take"
    bl_label = "Add to Timeline"
    bl_description = "Show this take above the driving strip, on the frames that it was made for"
    bl_options = {"UNDO", "INTERNAL"}

    def execute(self, context: Context):
        item, scene = active(context), compat.sequencer_scene(context)
        name, channel = scene.understudy.driving, 0
        try:
            driver = driving_strip(scene)
            name, channel = driver.name, driver.channel
        except Fault:
            pass  # a take needs no driver to be looked at
        try:
            take = TakeFolder(Path(item.folder))
            add_to_timeline(scene, take, driving=name, above=channel, complete=item.done == item.total)
        except Fault as fault:
            self.report({"ERROR"}, str(fault))
            return {"CANCELLED"}
        return {"FINISHED"}


class UNDERSTUDY_OT_open_take(_TakeOperator, bpy.types.Operator):
    bl_idname = "understudy.open_take"
    bl_label = "Open Folder"
    bl_description = "Open this take's folder in the file browser of the system"

    def execute(self, context: Context):
        return bpy.ops.wm.path_open(filepath=active(context).folder)


def of_scene(scene: Scene) -> list[Any]:
    """The takes that are listed for ``scene``, those of its shot first."""
    output, shot = _output(scene), shot_name(scene)
    context: Context = bpy.context
    found = [take for take in context.window_manager.understudy.takes if take.output == output]
    return sorted(found, key=lambda take: take.shot != shot)


def active(context: Context) -> Any:
    """The take that is chosen in the list, if it is one of the scene's; else None."""
    listed = context.window_manager.understudy
    take = listed.takes[listed.index] if listed.index < len(listed.takes) else None
    return take if take is not None and take.output == _output(compat.sequencer_scene(context)) else None


def keep_up(scene: Scene) -> None:
    """Called while drawing: have the takes in the scene's output folder listed if they are not."""
    if _search is None and _output(scene) not in _looked_at:
        refresh(scene)


def refresh(scene: Scene, select: str = "") -> None:
    """List the takes in the scene's output folder; ``select`` one by its name.

    Looks at the disk on a thread; where there is a window this returns at once and changes nothing yet.
    """
    global _search
    _search = _Search(_output(scene), shot_name(scene), select)
    if bpy.app.background:
        _search.wait()
        _watch()
    elif not bpy.app.timers.is_registered(_watch):
        bpy.app.timers.register(_watch, first_interval=INTERVAL, persistent=True)


def _watch() -> float | None:
    """Fill the list once the search is over; returns the seconds until it wants to be called again."""
    global _search
    if _search is None:
        return None
    if not _search.over:
        return INTERVAL
    search, _search = _search, None
    _looked_at.add(search.output)
    context: Context = bpy.context
    listed = context.window_manager.understudy
    chosen = str(Path(search.output) / search.select) if search.select else ""
    if not chosen and listed.index < len(listed.takes):
        chosen = listed.takes[listed.index].folder
    for index in reversed(range(len(listed.takes))):
        if listed.takes[index].output == search.output:
            listed.takes.remove(index)
    for status in search.found:
        item = listed.takes.add()
        item.name, item.output, item.folder = status.take.name, search.output, str(status.take.folder)
        item.shot, item.version = status.shot, status.version
        item.done, item.total = status.done, status.total
        item.changed = time.strftime("%d %b %H:%M", time.localtime(status.changed))
    here = [index for index, take in enumerate(listed.takes) if take.output == search.output]
    here.sort(key=lambda index: (listed.takes[index].folder != chosen, listed.takes[index].shot != search.shot))
    if here:  # otherwise what another scene's list has chosen stays so
        listed.index = here[0]
    redraw("SEQUENCE_EDITOR")
    return None


def _output(scene: Scene) -> str:
    """The scene's output folder; empty while there is none."""
    try:
        return str(output_folder(scene))
    except Fault:
        return ""


@persistent
def _show_again(*_) -> None:
    redraw("SEQUENCE_EDITOR")


@persistent
def _clear(*_) -> None:
    """The list is not saved with a file, and a file that is opened gets a list of its own."""
    _looked_at.clear()
    context: Context = bpy.context
    context.window_manager.understudy.takes.clear()


WINDOW_MANAGER_CLASS: Any = bpy.types.WindowManager
CLASSES = (
    UNDERSTUDY_PG_take,
    UNDERSTUDY_PG_takes,
    UNDERSTUDY_UL_takes,
    UNDERSTUDY_OT_refresh_takes,
    UNDERSTUDY_OT_add_take,
    UNDERSTUDY_OT_open_take,
)


def register() -> None:
    WINDOW_MANAGER_CLASS.understudy = PointerProperty(type=UNDERSTUDY_PG_takes)
    bpy.app.handlers.save_pre.append(_clear)
    bpy.app.handlers.save_post.append(_show_again)
    bpy.app.handlers.load_post.append(_clear)


def unregister() -> None:
    global _search
    _search = None
    _looked_at.clear()
    bpy.app.handlers.save_pre.remove(_clear)
    bpy.app.handlers.save_post.remove(_show_again)
    bpy.app.handlers.load_post.remove(_clear)
    if bpy.app.timers.is_registered(_watch):
        bpy.app.timers.unregister(_watch)
    del WINDOW_MANAGER_CLASS.understudy
