"""Reenact and Cancel. ``execute`` blocks, ``invoke`` goes modal in a window; both drive the same Reenactment."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.props import BoolProperty, StringProperty

from ...engine import protocol
from ..core.fault import Fault
from ..core.render_run import State
from ..tool import compat
from ..tool.compat import Context
from ..tool.reenact import Reenactment
from ..tool.scene import scene_by_uid, scene_named
from . import takes
from .redraw import redraw

INTERVAL = 0.1

current: Reenactment | None = None  # at most one take is made at a time
_timer: Any = None  # what wakes its operator
outcome: tuple[str, str] | None = None  # (icon, text) of the latest take, for the panel
engine_missing = False  # the latest take failed because there is no engine: the panel offers to install it


class UNDERSTUDY_OT_render(bpy.types.Operator):
    """From a script: returns {'FINISHED'} only when every frame asked for is on disk and whole, else RuntimeError."""

    bl_idname = "understudy.render"
    bl_label = "Reenact"
    bl_description = "Make a new take: the portrait moves as the face in the driving strip"
    bl_options = {"UNDO"}

    scene: StringProperty(name="Scene", description="Empty: the sequencer's scene", options={"HIDDEN", "SKIP_SAVE"})
    frames: StringProperty(
        name="Frames",
        description="Scene frames such as 1001-1100x2. Empty: as set in the panel",
        options={"HIDDEN", "SKIP_SAVE"},
    )
    take: StringProperty(
        name="Take",
        description="new, or the take that gets the frames it lacks: latest, or a version such as v003",
        default=protocol.NEW,
        options={"HIDDEN", "SKIP_SAVE"},
    )
    strict: BoolProperty(
        name="Strict",
        description="Refuse frames on which the driving strip is not shown. Off: they are left out",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: Context, properties) -> str:
        if properties.take == protocol.NEW:
            return cls.bl_description
        return "Draw the missing frames of this take. The panel's settings must be those that it was made with"

    @classmethod
    def poll(cls, context: Context):
        if current is not None:
            cls.poll_message_set("A take is being made")
            return False
        return True

    def execute(self, context: Context):
        try:
            reenactment = self._start(context)
            reenactment.wait()
            return self._conclude(reenactment)
        except Fault as fault:
            return self._refuse(fault)

    def invoke(self, context: Context, event):
        global current, _timer, outcome, engine_missing
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            current = self._reenactment = self._start(context)
        except Fault as fault:
            return self._refuse(fault)
        outcome, engine_missing = None, False
        _timer = context.window_manager.event_timer_add(INTERVAL, window=context.window)
        context.window_manager.modal_handler_add(self)
        redraw("SEQUENCE_EDITOR")
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event):
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        run = self._reenactment.run
        if run.tick():
            redraw("SEQUENCE_EDITOR")
        if not run.over:
            return {"PASS_THROUGH"}
        self._release()
        try:
            return self._conclude(self._reenactment, push_undo=True)
        except Fault as fault:
            return self._refuse(fault)

    def cancel(self, context: Context):
        """Blender calls this when it closes the window or the file."""
        self._reenactment.run.close()
        self._release()

    def _start(self, context: Context) -> Reenactment:
        scene = scene_named(self.scene) if self.scene else compat.sequencer_scene(context)
        return Reenactment(scene, self.frames, self.take, self.strict)

    def _release(self) -> None:
        if current is self._reenactment:  # not so after close()
            _release()

    def _conclude(self, reenactment: Reenactment, push_undo: bool = False) -> set[str]:
        """Add the strip and say how it went; {'FINISHED'} only when every frame asked for is on disk and whole."""
        global outcome
        run = reenactment.run
        strip = reenactment.land()
        for warning in run.warnings:
            self.report({"WARNING"}, str(warning))
        if run.take and (scene := scene_by_uid(reenactment.scene_uid)):
            takes.refresh(scene, run.take.name)
        kept = f"{len(run.frames)} of {len(run.job.frames)} frames"
        if run.state is State.FINISHED and run.take:
            outcome = ("CHECKMARK", f"{run.take.name}: {kept}")
            self.report({"INFO"}, outcome[1])
            return {"FINISHED"}
        if strip and push_undo:
            bpy.ops.ed.undo_push(message="Add Unfinished Take")
        if run.state is State.CANCELLED:
            outcome = (
                "CANCEL",
                f"Cancelled, {kept} kept; Resume draws the rest" if run.frames else "Cancelled before the first frame",
            )
            self.report({"WARNING"}, outcome[1])
            return {"CANCELLED"}
        fault = run.fault or Fault("internal", "The take failed for an unknown reason.")
        if run.frames:
            fault = Fault(fault.code, f"{fault.text} {kept} are kept.", fault.remedy)
        return self._refuse(fault)

    def _refuse(self, fault: Fault) -> set[str]:
        global outcome, engine_missing
        outcome, engine_missing = ("ERROR", str(fault)), fault.code == "engine_python"
        redraw("SEQUENCE_EDITOR")
        self.report({"ERROR"}, str(fault))
        return {"CANCELLED"}


class UNDERSTUDY_OT_cancel(bpy.types.Operator):
    bl_idname = "understudy.cancel"
    bl_label = "Cancel"
    bl_description = "Stop within a second; finished frames are kept"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: Context):
        if current is None:
            cls.poll_message_set("No take is being made")
            return False
        return True

    def execute(self, context: Context):
        if current is not None:
            current.run.cancel()
        redraw("SEQUENCE_EDITOR")
        return {"FINISHED"}


def close() -> None:
    """End the take that is being made, at once; its frames stay, without a strip."""
    if current is not None:
        current.run.close()
        _release()


def _release() -> None:
    global current, _timer
    current = None
    if _timer is not None:
        context: Context = bpy.context
        context.window_manager.event_timer_remove(_timer)
        _timer = None


@persistent
def _on_load(*_) -> None:
    global outcome
    close()
    outcome = None


CLASSES = (UNDERSTUDY_OT_render, UNDERSTUDY_OT_cancel)


def register() -> None:
    bpy.app.handlers.load_pre.append(_on_load)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(_on_load)
    close()
