"""How a verb speaks to a person: progress and errors on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from engine.errors import EngineError

_QUIET = 5.0  # seconds between two lines where the output is not a terminal


class Console:
    """Receives the protocol's messages; ``folder`` is the take's, once there is one."""

    def __init__(self, total: int) -> None:
        self.folder = ""
        self._total = total
        self._terminal = sys.stderr.isatty()
        self._last = 0.0

    def __call__(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "take":
            self.folder = message["folder"]
            self._line(f"{message['name']}: {message['total']} frames, {message['width']}×{message['height']}")
        elif kind == "progress":
            self._progress(message)
        elif kind == "warning":
            self._line(f"warning: {message['text']} {message['remedy']}")
        elif kind == "done":
            how = "cancelled, " if message["cancelled"] else ""
            self._line(f"{how}{message['frames']} of {self._total} frames written, on {message['device']}")

    def _progress(self, message: dict[str, Any]) -> None:
        done, total, now = message["done"], message["total"], time.monotonic()
        if not self._terminal and done < total and now - self._last < _QUIET:
            return
        self._last = now
        text = f"{message['phase']} {done}/{total}"
        if message["fps"] is not None:
            text += f"  {message['fps']:.1f} frames/s  {message['seconds_left']:.0f} s left"
        if self._terminal and done < total:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        print(f"\r\033[K{text}" if self._terminal else text, file=sys.stderr, flush=True)


def reported(verb: Callable[[], int]) -> int:
    """Run ``verb``; an EngineError becomes two lines for a person and exit status 1, Ctrl-C one and 130."""
    try:
        return verb()
    except EngineError as fault:
        print(f"error ({fault.code}): {fault.text}\n{fault.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
