"""Progress messages: often enough to watch, never so often that they cost anything."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

Emit = Callable[[dict[str, Any]], None]

INTERVAL = 0.1  # seconds between two messages
WINDOW = 5.0  # seconds over which the rate is taken


class Progress:
    """Counts one phase of ``total`` frames, ``done`` of which are there already; the first and the last message always
    go out."""

    def __init__(self, emit: Emit, phase: str, total: int, done: int = 0) -> None:
        self._emit = emit
        self._phase = phase
        self._total = total
        self._marks: deque[tuple[float, int]] = deque()
        self._last = -INTERVAL
        self._lock = threading.Lock()
        self.update(done)

    def update(self, done: int) -> None:
        """``done`` frames are done; may be called from several threads."""
        with self._lock:
            self._update(done)

    def _update(self, done: int) -> None:
        now = time.monotonic()
        self._marks.append((now, done))
        while self._marks[0][0] < now - WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        if now - self._last < INTERVAL and done < self._total:
            return
        self._last = now
        (since, before), rate = self._marks[0], None
        if done > before and now > since:
            rate = (done - before) / (now - since)
        self._emit(
            {
                "type": "progress",
                "phase": self._phase,
                "done": done,
                "total": self._total,
                "fps": None if rate is None else round(rate, 2),
                "seconds_left": None if rate is None else round((self._total - done) / rate, 1),
            }
        )
