"""The engine in the preferences: which Python it runs in, its installation, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.props import StringProperty

from ..core.background import Background, Work
from ..core.fault import Fault
from ..tool import engine
from ..tool.compat import Context

INTERVAL = 0.2

current: Background | None = None
lines: list[str] = []  # what the latest installation or check said
fault: Fault | None = None


class _EngineOperator:
    """Runs slow :attr:`work` on a thread: modal in a window, blocking without one."""

    work: Callable[[], Work]
    report: Callable[[set[str], str], None]
    poll_message_set: Callable[[str], None]

    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Context):
        if current is not None:
            cls.poll_message_set("The engine is being installed or checked")
            return False
        return True

    def execute(self, context: Context):
        return self._begin() or self._end(wait=True)

    def invoke(self, context: Context, event):
        if bpy.app.background or context.window is None:
            return self.execute(context)
        if refused := self._begin():
            return refused
        self._timer = context.window_manager.event_timer_add(INTERVAL, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event):
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if self._background.tick():
            redraw()
        if not self._background.over:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._end()

    def cancel(self, context: Context):
        self._background.cancel()
        context.window_manager.event_timer_remove(self._timer)

    def _begin(self) -> set[str] | None:
        global current, lines, fault
        fault, lines = None, []
        try:
            current = self._background = Background(self.work())
        except Fault as refusal:
            return self._refuse(refusal)
        lines = current.lines
        return None

    def _end(self, wait: bool = False) -> set[str]:
        global current
        if wait:
            self._background.wait()
        current = None
        redraw()
        if self._background.fault:
            return self._refuse(self._background.fault)
        self.report({"INFO"}, lines[-1] if lines else "Done")
        return {"FINISHED"}

    def _refuse(self, refusal: Fault) -> set[str]:
        global fault
        fault = refusal
        self.report({"ERROR"}, str(refusal))
        return {"CANCELLED"}


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
        name="Python 3.11",
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


def redraw() -> None:
    context: Context = bpy.context
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()


def close() -> None:
    if current is not None:
        current.cancel()


CLASSES = (
    UNDERSTUDY_OT_install_engine,
    UNDERSTUDY_OT_check_engine,
    UNDERSTUDY_OT_stop_engine_work,
    UNDERSTUDY_AP_preferences,
)
