"""Panels, lists, operators and preferences: a few lines each over tool and core."""

import bpy

from . import engine, panel, portraits, render, takes

CLASSES = (*engine.CLASSES, *portraits.CLASSES, *takes.CLASSES, *render.CLASSES, *panel.CLASSES)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    takes.register()
    render.register()


def unregister() -> None:
    engine.unregister()
    render.unregister()
    takes.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
