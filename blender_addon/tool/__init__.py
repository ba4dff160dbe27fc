"""The thin layer over bpy's data: strips, settings, takes, and compat.py for what differs between versions."""

from . import blend_file, scene


def register() -> None:
    scene.register()
    blend_file.register()


def unregister() -> None:
    blend_file.unregister()
    scene.unregister()
