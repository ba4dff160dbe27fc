"""The registry of tasks by name; a task is imported when it is used."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.training import tables

if TYPE_CHECKING:
    from engine.training.task import Task

_TASKS = {
    "face_regressor": ("engine.training.tasks.face_regressor", "FaceRegressorTask"),
    "matting": ("engine.training.tasks.matting", "MattingTask"),
    "identity_matched": ("engine.training.tasks.identity_matched", "IdentityMatched"),
    "perceptual": ("engine.training.tasks.perceptual", "Perceptual"),
    "toy": ("engine.training.tasks.toy", "Toy"),
}


def names() -> list[str]:
    return sorted(_TASKS)


def create(name: str, options: dict[str, Any], where: str = "[options]") -> Task:
    """The task called ``name``; raises EngineError ``unknown_task`` or ``bad_recipe``."""
    return _kind(name)(options, where)


def options(name: str, given: dict[str, Any], where: str = "[options]") -> dict[str, Any]:
    """All options of the task called ``name``: those ``given``, and its defaults; raises EngineError ``unknown_task``
    or ``bad_recipe``."""
    return asdict(tables.build(_kind(name).Options, given, where))


def fields(name: str) -> frozenset[str]:
    """The keys of the batch that the task called ``name`` needs; raises EngineError ``unknown_task``."""
    return _kind(name).fields


def _kind(name: str) -> type[Task]:
    if name not in _TASKS:
        raise EngineError("unknown_task", f"There is no task {name!r}.", f"Choose one of: {', '.join(names())}.")
    module, attribute = _TASKS[name]
    return getattr(import_module(module), attribute)
