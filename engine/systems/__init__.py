"""The registry: every reenactment system by name, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine.errors import EngineError
from engine.systems.base import System
from engine.weights import FOLDER

_SYSTEMS = {
    "identity_matched": ("engine.systems.identity_matched.system", "IdentityMatched"),
    "mesh_warp": ("engine.systems.mesh_warp.system", "MeshWarp"),
    "null": ("engine.systems.null.system", "Null"),
}
# Of systems that are offered only where the networks that they draw with have been trained.
_NETWORKS = {"identity_matched": ("identity_matched_source.onnx", "identity_matched_frame.onnx")}


def names() -> list[str]:
    """Of the systems that can draw here."""
    return sorted(name for name in _SYSTEMS if all((FOLDER / file).is_file() for file in _NETWORKS.get(name, ())))


def create(name: str, options: dict[str, Any]) -> System:
    """The system called ``name``; raises EngineError ``unknown_system``, ``bad_option``, ``missing_network``."""
    if name not in _SYSTEMS:
        raise EngineError("unknown_system", f"There is no system {name!r}.", f"Choose one of: {', '.join(names())}.")
    module, attribute = _SYSTEMS[name]
    return getattr(import_module(module), attribute)(options)
