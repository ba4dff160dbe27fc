"""The thin layer over bpy's data: strips, settings, takes, and compat.py for what differs between versions."""

from . import scene


def register() -> None:
    scene.register()


def unregister() -> None:
    scene.unregister()
