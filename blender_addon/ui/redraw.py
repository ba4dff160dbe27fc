"""Redraws editors after changes that Blender does not notice."""

import bpy

from ..tool.compat import Context


def redraw(*kinds: str) -> None:
    """Draw every area again that is one of ``kinds``, such as ``SEQUENCE_EDITOR``."""
    context: Context = bpy.context
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in kinds:
                area.tag_redraw()
