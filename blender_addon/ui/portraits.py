"""Choosing the portraits and the driving strip."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import CollectionProperty, StringProperty

from ..tool import compat, sequencer
from ..tool.compat import Context
from ..tool.scene import add_portrait


class UNDERSTUDY_OT_add_portraits(bpy.types.Operator):
    bl_idname = "understudy.add_portraits"
    bl_label = "Add Portraits"
    bl_description = "Add one or several images of the person"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Context):
        names = [file.name for file in self.files if file.name]
        if not names:
            self.report({"WARNING"}, "No image was chosen")
            return {"CANCELLED"}
        for name in names:
            add_portrait(compat.sequencer_scene(context), Path(self.directory) / name)
        return {"FINISHED"}


class UNDERSTUDY_OT_remove_portrait(bpy.types.Operator):
    bl_idname = "understudy.remove_portrait"
    bl_label = "Remove Portrait"
    bl_description = "Take the active portrait off the list; its file stays"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: Context):
        if not compat.sequencer_scene(context).understudy.portraits:
            cls.poll_message_set("The list is empty")
            return False
        return True

    def execute(self, context: Context):
        settings = compat.sequencer_scene(context).understudy
        settings.portraits.remove(settings.portrait_index)
        settings.portrait_index = max(min(settings.portrait_index, len(settings.portraits) - 1), 0)
        return {"FINISHED"}


class UNDERSTUDY_OT_use_active_strip(bpy.types.Operator):
    bl_idname = "understudy.use_active_strip"
    bl_label = "Use Active Strip"
    bl_description = "Drive from the active strip"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: Context):
        editor = compat.sequencer_scene(context).sequence_editor
        strip = editor.active_strip if editor else None
        if strip is None or not sequencer.is_footage(strip):
            cls.poll_message_set("Make a movie or image strip the active one first")
            return False
        return True

    def execute(self, context: Context):
        scene = compat.sequencer_scene(context)
        scene.understudy.driving = scene.sequence_editor.active_strip.name
        return {"FINISHED"}


class UNDERSTUDY_UL_portraits(bpy.types.UIList):
    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index):
        layout.label(text=item.name, icon="USER")


CLASSES = (
    UNDERSTUDY_OT_add_portraits,
    UNDERSTUDY_OT_remove_portrait,
    UNDERSTUDY_OT_use_active_strip,
    UNDERSTUDY_UL_portraits,
)
