"""A system on the command line: ``[LABEL=]SYSTEM[:OPTION=VALUE,…]``."""

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
_NEXT_OPTION = re.compile(r",(?=\w+=)")  # a comma inside a value, as in a path, separates nothing


@dataclass(frozen=True)
class SystemSpec:
    """``system``, ``options`` and ``identity`` as in a job; ``driven``: the system follows a motion."""

    label: str
    system: str
    options: dict[str, Any]
    driven: bool
    identity: str = IDENTITIES[0]


def parse(text: str) -> SystemSpec:
    """``null:delay_ms=5`` or ``slow=null:delay_ms=5``. Without a label the text itself is the label, with paths reduced
    to file names. ``identity`` is an option of every driven system. Raises EngineError ``arguments``, ``bad_option``,
    ``unknown_system`` or the system's own."""
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
        raise EngineError("bad_option", f"{system} is not driven, so it has no option identity.", "Leave it out.")
    if identity not in IDENTITIES:
        raise EngineError(
            "bad_option", f"identity: {identity!r} is not one of {', '.join(IDENTITIES)}.", "Correct the option."
        )
    return SystemSpec(label, system, options, driven, identity)


def parse_all(texts: Iterable[str]) -> list[SystemSpec]:
    """Each once, in order; raises EngineError ``arguments`` where one label means two things."""
    specs: list[SystemSpec] = []
    for spec in map(parse, texts):
        if spec in specs:
            continue
        if spec.label in (known.label for known in specs):
            raise EngineError("arguments", f"Two systems are labelled {spec.label!r}.", f"Label them apart: {FORM}.")
        specs.append(spec)
    return specs


def _short(part: str) -> str:
    """``weights=/long/way/to/a.onnx`` as ``weights=a.onnx``."""
    key, _, value = part.partition("=")
    return f"{key}={PurePath(value).name}" if "/" in value else part
