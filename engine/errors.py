"""The one exception the engine raises on purpose: what went wrong, why, and what to do about it."""

from __future__ import annotations


class EngineError(Exception):
    """A fault the user can act on.

    ``code`` is stable and machine-readable (``no_face``, ``not_an_image``, …), ``text`` names the file and the
    reason, ``remedy`` says what to do. Everything else that escapes is a bug and is reported as ``internal``.
    """

    def __init__(self, code: str, text: str, remedy: str) -> None:
        super().__init__(f"{text} {remedy}")
        self.code = code
        self.text = text
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[EngineError], tuple[str, str, str]]:
        """Keeps all three parts on the way from a worker process."""
        return type(self), (self.code, self.text, self.remedy)


class Cancelled(Exception):
    """Raised between two pieces of work once the user has asked to stop."""
