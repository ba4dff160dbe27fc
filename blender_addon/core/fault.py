"""The one exception the add-on raises on purpose; it mirrors the engine's ``error`` and ``warning`` messages."""

from __future__ import annotations

from typing import Any


class Fault(Exception):
    """Something the user can act on: a stable ``code``, what happened (``text``), what to do about it (``remedy``)."""

    def __init__(self, code: str, text: str, remedy: str = "") -> None:
        super().__init__(f"{text} {remedy}".strip())
        self.code = code
        self.text = text
        self.remedy = remedy

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Fault:
        """The fault in an ``error`` or ``warning`` message from the engine."""
        return cls(str(message.get("code", "internal")), str(message.get("text", "")), str(message.get("remedy", "")))
