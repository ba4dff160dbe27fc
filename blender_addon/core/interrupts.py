"""Ctrl-C and the request to end, in a Blender without a window: its own handler only notes the first Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_interrupt(act: Callable[[int], None]) -> Iterator[None]:
    """Call ``act`` with the signal's number, on the main thread, instead of what SIGINT and SIGTERM do otherwise.

    Does nothing on another thread, which cannot receive signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda number, _frame: act(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():  # None: a handler that is not Python's and cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
