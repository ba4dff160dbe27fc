"""An option of a system on the command line: ``K=V``."""

from __future__ import annotations

import json
from typing import Any

from engine.errors import EngineError


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
