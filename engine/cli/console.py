"""How a verb speaks to a person: progress and errors on standard error, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from engine.errors import EngineError

INTERRUPTED = 130  # exit status after Ctrl-C or SIGTERM
_QUIET = 5.0  # seconds between two lines where the output is not a terminal
_GRACE = 0.5  # seconds that an interrupted verb may take to end by itself


class Console:
    """Receives the protocol's messages; ``folder`` is the take's, once there is one. ``total`` counts the frames asked
    for."""

    def __init__(self, total: int = 0) -> None:
        self.folder = ""
        self.total = total
        self._kept = 0
        self._terminal = sys.stderr.isatty()
        self._last = 0.0

    def __call__(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "take":
            self.folder = message["folder"]
            self._line(f"{message['name']}: {message['total']} frames, {message['width']}×{message['height']}")
        elif kind == "frame":
            self._kept += message["status"] == "kept"
        elif kind == "progress":
            self._progress(message)
        elif kind == "warning":
            self._line(f"warning: {message['text']} {message['remedy']}")
        elif kind == "done":
            how = "cancelled, " if message["cancelled"] else ""
            kept = f", {self._kept} of them before" if self._kept else ""
            self._line(f"{how}{message['frames']} of {self.total} frames written{kept}, on {message['device']}")
            self.folder = message["folder"]

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


class Interrupt:
    """Ctrl-C and SIGTERM: ``asked`` is set at once, and whatever still runs ``_GRACE`` seconds later is ended.

    Python runs signal handlers only between two steps of the main thread, which a library may hold for seconds; the
    descriptor that this class reads from is written to at once.
    """

    def __init__(self, before_exit: Callable[[], None]) -> None:
        """``before_exit`` is called where the process must be ended."""
        self.asked = threading.Event()
        self._before_exit = before_exit
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.asked.set())
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()

    def end(self, status: int) -> int:
        """``status``; where the user waits for the end, the process ends here, before libraries are taken down."""
        if self.asked.is_set():
            sys.stdout.flush()
            os._exit(status)
        return status

    def _watch(self, reader: socket.socket) -> None:
        while reader.recv(1)[0] not in (signal.SIGINT, signal.SIGTERM):
            pass  # another signal
        self.asked.set()
        time.sleep(_GRACE)
        try:
            self._before_exit()
            print("interrupted", file=sys.stderr, flush=True)
        finally:
            os._exit(INTERRUPTED)


def reported(verb: Callable[[], int]) -> int:
    """Run ``verb``; an EngineError is printed and gives exit status 1, Ctrl-C gives 130."""
    try:
        return verb()
    except EngineError as fault:
        print(f"error ({fault.code}): {fault.text}\n{fault.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
