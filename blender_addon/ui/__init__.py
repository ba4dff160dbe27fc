"""Panels, lists, operators and preferences: a few lines each over tool and core."""

import bpy

from . import engine, panel, portraits, render

CLASSES = (*engine.CLASSES, *portraits.CLASSES, *render.CLASSES, *panel.CLASSES)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    render.register()


def unregister() -> None:
    engine.unregister()
    render.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
