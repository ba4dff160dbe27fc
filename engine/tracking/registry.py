"""Detectors by name; each is imported only when it is asked for. :mod:`engine.catalog` describes them."""

from __future__ import annotations

from importlib import import_module

from engine import catalog
from engine.errors import EngineError
from engine.tracking.detector import Detector
from engine.weights import FOLDER


def names() -> list[str]:
    """Of the detectors whose weights are there."""
    return [info.name for info in catalog.detectors(FOLDER)]


def terms() -> str:
    """Every detector on offer with its terms, for help texts."""
    return "; ".join(f"{info.name}: {info.description}" for info in catalog.detectors(FOLDER))


def create(name: str) -> Detector:
    """The detector of that name; EngineError ``unknown_detector``, ``missing_package`` or ``missing_network``."""
    info = catalog.DETECTORS_BY_NAME.get(name)
    if info is None:
        raise EngineError(
            "unknown_detector", f"There is no face detector {name!r}.", f"Choose one of {', '.join(names())}."
        )
    module, _, attribute = info.entry.partition(":")
    return getattr(import_module(module), attribute)()
