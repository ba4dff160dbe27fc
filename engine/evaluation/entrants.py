"""Who is compared: ``[LABEL=]SYSTEM[:OPTION=VALUE,…]``, a system as one user would run it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from engine import systems
from engine.cli.system_option import system_option
from engine.errors import EngineError

FORM = "[LABEL=]SYSTEM[:OPTION=VALUE,…]"
_NEXT_OPTION = re.compile(r",(?=\w+=)")  # a comma inside a value, as in a path, parts nothing


@dataclass(frozen=True)
class Entrant:
    """``system`` and ``options`` as in a job; ``driven``: it takes coefficients."""

    label: str
    system: str
    options: dict[str, Any]
    driven: bool


def parse(text: str) -> Entrant:
    """``null:delay_ms=5`` or ``slow=null:delay_ms=5``; without a label it is called as it is written, files by their
    names. Raises EngineError ``arguments``, ``unknown_system`` or the system's own for options that it refuses."""
    name, _, rest = text.partition(":")
    label, given, system = name.rpartition("=")
    parts = _NEXT_OPTION.split(rest) if rest else []
    options = dict(system_option(part) for part in parts)
    if not given:
        label = ":".join([system, *([",".join(map(_short, parts))] if parts else [])])
    if not label:
        raise EngineError("arguments", f"{text!r} has an empty label.", f"Write it like {FORM}.")
    return Entrant(label, system, options, systems.create(system, options).needs_performance)


def parse_all(texts: Iterable[str]) -> list[Entrant]:
    """Each once, in order; raises EngineError ``arguments`` where one label means two things."""
    entrants: list[Entrant] = []
    for entrant in map(parse, texts):
        if entrant in entrants:
            continue
        if entrant.label in (known.label for known in entrants):
            raise EngineError(
                "arguments", f"{entrant.label!r} is the name of two that differ.", f"Name them apart: {FORM}."
            )
        entrants.append(entrant)
    return entrants


def _short(part: str) -> str:
    """``weights=/long/way/to/a.onnx`` as ``weights=a.onnx``."""
    key, _, value = part.partition("=")
    return f"{key}={PurePath(value).name}" if "/" in value else part
