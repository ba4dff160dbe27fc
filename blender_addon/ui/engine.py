"""The engine in the preferences: which Python it runs in, its installation and its check."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.props import StringProperty

from ..core.background import Background, Work
from ..core.fault import Fault
from ..tool import engine
from ..tool.compat import Context
from .redraw import redraw

INTERVAL = 0.2
CLOSE_SECONDS = 2.0
SHOWN_IN = ("PREFERENCES", "SEQUENCE_EDITOR")

current: Background | None = None
lines: list[str] = []  # what the latest installation or check said
fault: Fault | None = None


class _EngineOperator:
    """Runs slow :attr:`work` on a thread: watched by a timer in a window, which may be closed, blocking without one."""

    bl_options = {"INTERNAL"}
    work: Callable[[], Work]
    report: Callable[[set[str], str], None]
    poll_message_set: Callable[[str], None]

    @classmethod
    def poll(cls, context: Context):
        if current is not None:
            cls.poll_message_set("The engine is being installed or checked")
            return False
        return True

    def execute(self, context: Context):
        _begin(self.work)
        if current is not None:
            current.wait()
            _watch()
        if fault is not None:
            self.report({"ERROR"}, str(fault))
            return {"CANCELLED"}
        self.report({"INFO"}, lines[-1] if lines else "Done")
        return {"FINISHED"}

    def invoke(self, context: Context, event):
        if bpy.app.background:
            return self.execute(context)
        _begin(self.work)
        redraw(*SHOWN_IN)
        if fault is not None:
            self.report({"ERROR"}, str(fault))
            return {"CANCELLED"}
        bpy.app.timers.register(_watch, first_interval=INTERVAL, persistent=True)
        return {"FINISHED"}


def _begin(work: Callable[[], Work]) -> None:
    """Start ``work``, or note in :data:`fault` why it cannot be."""
    global current, lines, fault
    fault, lines = None, []
    try:
        current = Background(work())
        lines = current.lines
    except Fault as refusal:
        fault = refusal


def _watch() -> float | None:
    """Takes note of what happened; returns the seconds until it wants to be called again."""
    global current, fault
    if current is None:
        return None
    if current.tick():
        redraw(*SHOWN_IN)
    if not current.over:
        return INTERVAL
    fault, current = current.fault, None
    redraw(*SHOWN_IN)
    return None


class UNDERSTUDY_OT_install_engine(_EngineOperator, bpy.types.Operator):
    bl_idname = "understudy.install_engine"
    bl_label = "Install Engine"
    bl_description = "Make a Python environment for the engine and download its packages into it"

    @classmethod
    def poll(cls, context: Context):
        if not bpy.app.online_access:
            cls.poll_message_set("Blender may not go online; allow it in Preferences ▸ System ▸ Network")
            return False
        return super().poll(context)

    work = staticmethod(engine.installer)


class UNDERSTUDY_OT_check_engine(_EngineOperator, bpy.types.Operator):
    bl_idname = "understudy.check_engine"
    bl_label = "Check Engine"
    bl_description = "Ask the engine what it can do on this machine"

    work = staticmethod(engine.doctor)


class UNDERSTUDY_OT_stop_engine_work(bpy.types.Operator):
    bl_idname = "understudy.stop_engine_work"
    bl_label = "Cancel"
    bl_description = "Stop the installation or the check"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Context):
        return current is not None

    def execute(self, context: Context):
        close()
        return {"FINISHED"}


class UNDERSTUDY_AP_preferences(bpy.types.AddonPreferences):
    bl_idname = engine.EXTENSION

    engine_python: StringProperty(
        name="Engine Python",
        description="A Python that has the engine's packages. Empty: the environment that Install Engine makes",
        subtype="FILE_PATH",
    )
    base_python: StringProperty(
        name="Base Python",
        description="The Python that Install Engine starts from. Empty: one is looked for",
        subtype="FILE_PATH",
    )

    def draw(self, context: Context):
        layout = self.layout
        layout.use_property_split = True
        try:
            layout.label(text=f"The engine runs in {engine.engine_python()}", icon="CHECKMARK")
        except Fault as missing:
            layout.label(text=missing.text, icon="ERROR")
        row = layout.row(align=True)
        row.operator("understudy.install_engine", icon="IMPORT")
        row.operator("understudy.check_engine", icon="VIEWZOOM")
        if current is not None:
            row.operator("understudy.stop_engine_work", icon="CANCEL")
        column = layout.column(align=True)
        for line in lines[-6:] if current is not None else lines[-30:]:
            column.label(text=line)
        if fault is not None:
            layout.label(text=fault.text, icon="ERROR")
            layout.label(text=fault.remedy, icon="BLANK1")
        layout.prop(self, "engine_python")
        layout.prop(self, "base_python")


def close() -> None:
    """Cancel the installation or the check; returns at once."""
    if current is not None:
        current.cancel()


CLASSES = (
    UNDERSTUDY_OT_install_engine,
    UNDERSTUDY_OT_check_engine,
    UNDERSTUDY_OT_stop_engine_work,
    UNDERSTUDY_AP_preferences,
)


def unregister() -> None:
    global current
    close()
    if current is not None:
        current.wait(CLOSE_SECONDS)  # pip must not outlive Blender: the next one would install into the same folder
        current = None  # nothing watches it from now on
    if bpy.app.timers.is_registered(_watch):
        bpy.app.timers.unregister(_watch)
