"""Systems by name; each is imported only when it is asked for. :mod:`engine.catalog` describes them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine import catalog
from engine.errors import EngineError
from engine.systems.base import System
from engine.weights import FOLDER


def names() -> list[str]:
    """Of the systems whose weights are there."""
    return [info.name for info in catalog.systems(FOLDER)]


def create(name: str, options: dict[str, Any]) -> System:
    """The system called ``name``; raises EngineError ``unknown_system``, ``bad_option``, ``missing_network``."""
    info = catalog.SYSTEMS_BY_NAME.get(name)
    if info is None:
        raise EngineError("unknown_system", f"There is no system {name!r}.", f"Choose one of: {', '.join(names())}.")
    try:
        checked = info.checked(options)
    except catalog.OptionError as fault:
        raise EngineError("bad_option", f"{fault}.", "Correct the option, or leave it out.") from fault
    module, _, attribute = info.entry.partition(":")
    return getattr(import_module(module), attribute)(checked)
