"""The tab Understudy in the sequencer's sidebar."""

from __future__ import annotations

import textwrap
from typing import Any

import bpy

from ...engine import catalog
from ..core.fault import Fault
from ..core.render_run import RenderRun, State
from ..tool import compat
from ..tool.compat import Context, Scene
from ..tool.reenact import shot_name
from ..tool.sequencer import driving_strip
from . import engine, render, takes
from .portraits import UNDERSTUDY_UL_portraits

PHASES = {"wait": "Waiting for another analysis", "analyse": "Tracking the motion", "render": "Drawing"}


class _Panel:
    layout: Any
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Understudy"

    @classmethod
    def poll(cls, context: Context):
        return compat.shows_scene(context)

    def begin(self, context: Context):
        """The panel's layout and the scene's settings."""
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        return self.layout, compat.sequencer_scene(context).understudy


class UNDERSTUDY_PT_reenact(_Panel, bpy.types.Panel):
    bl_label = "Understudy"

    def draw(self, context: Context):
        layout, settings = self.begin(context)
        scene = compat.sequencer_scene(context)

        layout.label(text="Portraits")
        row = layout.row()
        row.template_list(
            UNDERSTUDY_UL_portraits.__name__, "", settings, "portraits", settings, "portrait_index", rows=2
        )
        column = row.column(align=True)
        column.operator("understudy.add_portraits", icon="ADD", text="")
        column.operator("understudy.remove_portrait", icon="REMOVE", text="")
        if settings.portraits:
            layout.prop(settings.portraits[min(settings.portrait_index, len(settings.portraits) - 1)], "path", text="")

        row = layout.row(align=True)
        if scene.sequence_editor:
            row.prop_search(settings, "driving", scene.sequence_editor, compat.STRIPS, icon="SEQUENCE")
        else:
            row.prop(settings, "driving", icon="SEQUENCE")
        row.operator("understudy.use_active_strip", icon="EYEDROPPER", text="")
        layout.row().prop(settings, "range", expand=True)
        layout.prop(settings, "output")

        if render.current is not None:
            _draw_progress(layout, render.current.run)
            return
        ready, summary = _summary(scene)
        column = layout.column()
        button = column.row()
        button.scale_y = 1.5
        button.enabled = ready
        button.operator("understudy.render", icon="RENDER_ANIMATION")
        _draw_text(context, column, "INFO" if ready else "ERROR", summary)
        if engine.current is not None or render.engine_missing:
            _draw_engine(context, column)
        elif render.outcome and ready:
            _draw_text(context, column, *render.outcome)


class UNDERSTUDY_PT_no_scene(_Panel, bpy.types.Panel):
    bl_label = "Understudy"

    @classmethod
    def poll(cls, context: Context):
        return not compat.shows_scene(context)

    def draw(self, context: Context):
        text = "The sequencer shows no scene. Choose one, or press New, in the sequencer's header."
        _draw_text(context, self.layout, "INFO", text)


class UNDERSTUDY_PT_takes(_Panel, bpy.types.Panel):
    bl_label = "Takes"
    bl_parent_id = "UNDERSTUDY_PT_reenact"

    def draw(self, context: Context):
        layout, settings = self.begin(context)
        scene = compat.sequencer_scene(context)
        layout.prop(settings, "shot", placeholder=shot_name(scene))
        takes.keep_up(scene)
        if not takes.of_scene(scene):
            row = layout.row()
            row.label(text="None in the output folder yet", icon="INFO")
            row.operator("understudy.refresh_takes", icon="FILE_REFRESH", text="")
            return
        listed = context.window_manager.understudy
        row = layout.row()
        row.template_list(takes.UNDERSTUDY_UL_takes.__name__, "", listed, "takes", listed, "index", rows=3)
        row.column().operator("understudy.refresh_takes", icon="FILE_REFRESH", text="")
        take = takes.active(context)
        if take is None:
            return
        row = layout.row(align=True)
        resume = row.row(align=True)
        resume.enabled = take.shot == shot_name(scene) and take.done < take.total and _summary(scene)[0]
        resume.operator("understudy.render", text="Resume", icon="PLAY").take = f"v{take.version:03d}"
        row.operator("understudy.add_take", text="Add to Timeline", icon="SEQ_SEQUENCER")
        row.operator("understudy.open_take", text="", icon="FILE_FOLDER")


class UNDERSTUDY_PT_system(_Panel, bpy.types.Panel):
    bl_label = "System"
    bl_parent_id = "UNDERSTUDY_PT_reenact"

    def draw(self, context: Context):
        layout, settings = self.begin(context)
        layout.prop(settings, "system")
        _draw_options(layout, settings, advanced=False)
        layout.prop(settings, "detector")


class UNDERSTUDY_PT_advanced(_Panel, bpy.types.Panel):
    bl_label = "Advanced"
    bl_parent_id = "UNDERSTUDY_PT_system"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: Context):
        info = catalog.SYSTEMS_BY_NAME.get(compat.sequencer_scene(context).understudy.system)
        return compat.shows_scene(context) and info is not None and any(option.advanced for option in info.options)

    def draw(self, context: Context):
        layout, settings = self.begin(context)
        _draw_options(layout, settings, advanced=True)


class UNDERSTUDY_PT_motion(_Panel, bpy.types.Panel):
    bl_label = "Motion"
    bl_parent_id = "UNDERSTUDY_PT_reenact"

    def draw(self, context: Context):
        layout, settings = self.begin(context)
        layout.prop(settings, "motion")
        layout.prop(settings, "identity")
        row = layout.row(heading="Neutral Frame")
        row.prop(settings, "use_neutral_frame", text="")
        value = row.row()
        value.active = settings.use_neutral_frame
        value.prop(settings, "neutral_frame", text="")
        layout.prop(settings, "no_face")


def _draw_options(layout: Any, settings: Any, advanced: bool) -> None:
    """The chosen system's options, as the catalog describes them."""
    info = catalog.SYSTEMS_BY_NAME.get(settings.system)
    if info is None:
        return
    for option in info.options:
        if option.advanced is advanced:
            layout.prop(getattr(settings.options, info.name), option.name)


def _summary(scene: Scene) -> tuple[bool, str]:
    """Whether Reenact can be pressed, and what it would make or what is missing. Reads no file: it is drawn often."""
    try:
        if not scene.understudy.portraits:
            return False, "Add a portrait"
        strip = driving_strip(scene)
        left, right = compat.handles(strip)
        if scene.understudy.range == "SCENE":
            left, right = max(left, scene.frame_start), min(right, scene.frame_end + 1)
    except Fault as fault:
        return False, str(fault)
    if right <= left:
        return False, f"{strip.name} is not shown in the scene's frames"
    return True, f"{strip.name}, frames {left}-{right - 1} ({right - left})"


def _draw_progress(layout: Any, run: RenderRun) -> None:
    if run.state is State.WORKING:
        text = (
            f"{PHASES.get(run.phase, 'Working')}  {run.done} / {run.total}" if run.phase else "Preparing the portrait"
        )
    else:
        text = run.state.value
    column = layout.column()
    row = column.row().split(factor=0.7, align=True)
    row.scale_y = 1.5
    row.progress(factor=run.done / max(run.total, 1), text=text)
    row.operator("understudy.cancel", icon="CANCEL", text="Cancel")
    rate = f"{run.fps:.1f} frames/s" if run.fps else ""
    left = f"{_clock(run.seconds_left)} left" if run.seconds_left is not None else ""
    column.label(text=", ".join(filter(None, (rate, left))), icon="TIME" if rate or left else "NONE")


def _draw_engine(context: Context, layout: Any) -> None:
    """In place of a take's outcome: that there is no engine, and how to get it."""
    if engine.current is not None:
        layout.operator("understudy.stop_engine_work", icon="CANCEL")
        layout.label(text=engine.lines[-1] if engine.lines else "Working on the engine", icon="IMPORT")
    elif engine.lines and engine.fault is None:
        _draw_text(context, layout, "CHECKMARK", engine.lines[-1])
    else:
        layout.operator("understudy.install_engine", icon="IMPORT")
        _draw_text(context, layout, "ERROR", str(engine.fault or (render.outcome or ("", "The engine is missing."))[1]))


def _draw_text(context: Context, layout: Any, icon: str, text: str) -> None:
    """Write ``text`` over as many lines as the sidebar's width needs."""
    width = context.region.width / context.preferences.system.ui_scale
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, max(int((width - 60) / 6.5), 16))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


CLASSES = (
    UNDERSTUDY_PT_no_scene,
    UNDERSTUDY_PT_reenact,
    UNDERSTUDY_PT_takes,
    UNDERSTUDY_PT_system,
    UNDERSTUDY_PT_advanced,
    UNDERSTUDY_PT_motion,
)
