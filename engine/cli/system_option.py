"""``--system`` and ``--option`` of the command line, with their help from the catalog."""

from __future__ import annotations

import argparse
import json
from typing import Any

from engine import catalog, weights
from engine.errors import EngineError


def add_system_arguments(parser: argparse.ArgumentParser) -> None:
    """``--system NAME`` and ``--option K=V``; their values are listed at the end of the help."""
    parser.add_argument("--system", default="mesh_warp", metavar="NAME", help="see below (default: %(default)s)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="K=V", help="an option of the system, see below"
    )
    parser.epilog = "systems and their options:\n" + "\n".join(_lines())


def system_option(text: str) -> tuple[str, Any]:
    """``k=v``; v is JSON where it can be (3, true, "x"), otherwise text. Raises EngineError ``arguments``."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise EngineError(
            "arguments", f"{text!r}, an option of the system, is not of the form K=V.", "Write it like delay_ms=50."
        )
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _lines() -> list[str]:
    lines = []
    for info in catalog.systems(weights.FOLDER):
        lines.append(f"  {info.name:<24}{info.description}")
        for option in info.options:
            value = json.dumps(option.default, ensure_ascii=False) if option.default != "" else "none"
            lines.append(f"    {option.name}={option.accepts} (default: {value})")
    return lines
