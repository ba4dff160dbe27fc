"""Understudy, the extension: everything is in blender_addon (inside Blender) and engine (a process of its own)."""

from .blender_addon import register, unregister  # noqa: F401
