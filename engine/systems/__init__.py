"""The registry: every reenactment system by name, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine.errors import EngineError
from engine.systems.base import System

_SYSTEMS = {
    "mesh_warp": ("engine.systems.mesh_warp.system", "MeshWarp"),
    "null": ("engine.systems.null.system", "Null"),
}


def names() -> list[str]:
    return sorted(_SYSTEMS)


def create(name: str, options: dict[str, Any]) -> System:
    """The system called ``name``; raises EngineError ``unknown_system`` or ``bad_option``."""
    if name not in _SYSTEMS:
        raise EngineError("unknown_system", f"There is no system {name!r}.", f"Choose one of: {', '.join(names())}.")
    module, attribute = _SYSTEMS[name]
    return getattr(import_module(module), attribute)(options)
