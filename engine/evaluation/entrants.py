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
from engine.protocol import IDENTITIES

FORM = "[LABEL=]SYSTEM[:OPTION=VALUE,…]"
_NEXT_OPTION = re.compile(r",(?=\w+=)")  # a comma inside a value, as in a path, parts nothing


@dataclass(frozen=True)
class Entrant:
    """``system``, ``options`` and ``identity`` as in a job; ``driven``: it takes coefficients."""

    label: str
    system: str
    options: dict[str, Any]
    driven: bool
    identity: str = IDENTITIES[0]


def parse(text: str) -> Entrant:
    """``null:delay_ms=5`` or ``slow=null:delay_ms=5``; without a label it is called as it is written, files by their
    names. ``identity`` is an option of every driven system, for it is the job's. Raises EngineError ``arguments``,
    ``bad_option``, ``unknown_system`` or the system's own for options that it refuses."""
    name, _, rest = text.partition(":")
    label, given, system = name.rpartition("=")
    parts = _NEXT_OPTION.split(rest) if rest else []
    options = dict(system_option(part) for part in parts)
    if not given:
        label = ":".join([system, *([",".join(map(_short, parts))] if parts else [])])
    if not label:
        raise EngineError("arguments", f"{text!r} has an empty label.", f"Write it like {FORM}.")
    chosen = "identity" in options
    identity = options.pop("identity", IDENTITIES[0])
    driven = systems.create(system, options).driven
    if chosen and not driven:
        raise EngineError("bad_option", f"{system} moves nobody's head, so it has no identity.", "Leave it out.")
    if identity not in IDENTITIES:
        raise EngineError(
            "bad_option", f"identity: {identity!r} is not one of {', '.join(IDENTITIES)}.", "Correct the option."
        )
    return Entrant(label, system, options, driven, identity)


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
