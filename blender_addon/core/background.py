"""Slow work on a thread, watched from a timer: installing the engine, checking it, looking at takes on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .fault import Fault

Work = Callable[[Callable[[str], None], threading.Event], None]


class Background:
    """Runs ``work(report, cancelled)`` on a thread; :attr:`lines` holds what it reported so far."""

    def __init__(self, work: Work) -> None:
        self.lines: list[str] = []
        self.fault: Fault | None = None
        self._seen = 0
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def tick(self) -> bool:
        """Whether anything changed since the last call."""
        seen, self._seen = self._seen, len(self.lines)
        return self.over or seen != self._seen

    def wait(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def cancel(self) -> None:
        self._cancelled.set()

    def _run(self, work: Work) -> None:
        try:
            work(self.lines.append, self._cancelled)
        except Fault as fault:
            self.fault = fault
        except Exception as error:  # an exception on a thread would be lost
            self.fault = Fault("internal", repr(error), "This should not happen; please report it.")
