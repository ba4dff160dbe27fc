"""The child process: one JSON object a line in and out (engine/protocol.py), one job after another, cancel at any time.

Standard output carries the protocol and nothing else; everything that libraries print goes to standard error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import platform
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import Any, BinaryIO, TextIO

from engine import protocol
from engine.errors import EngineError

GRACE = 10.0  # seconds a cancelled job may take to end after the other side has gone
PATIENCE = 0.6  # seconds after a cancel in which a job should end: soon after, the other side kills this process

log = logging.getLogger("understudy")


def serve(log_file: Path | None) -> int:
    """Say hello, then do what stdin says until ``exit`` or end of file. Returns the exit status."""
    wire = Wire(_take_stdout())
    # Before anything slow is imported: the other side learns at once whether the versions match.
    wire.send(
        {
            "type": "hello",
            "protocol": protocol.PROTOCOL,
            "version": protocol.VERSION,
            "python": platform.python_version(),
            "pid": os.getpid(),
        }
    )
    start_log(log_file)
    inbox = Inbox(os.fdopen(os.dup(0), "rb"))  # not sys.stdin, whose lock a reading thread would hold at exit
    while (entry := inbox.next()) is not None:
        message, cancelled = entry
        if isinstance(message, protocol.ProtocolError):
            wire.send(error_message(message, log_file))
        else:
            _run(message, wire, cancelled, log_file)
    return 0


def _run(message: dict[str, Any], wire: Wire, cancelled: threading.Event, log_file: Path | None) -> None:
    over = threading.Event()
    try:
        job = protocol.Job.from_json(message)
        from engine.pipeline import render  # heavy: after hello, and only once there is work

        def emit(answer: dict[str, Any]) -> None:
            if not wire.send(answer):
                cancelled.set()
            if answer["type"] == "take":
                folder = Path(answer["folder"])
                threading.Thread(target=_close_if_slow, args=(folder, cancelled, over), daemon=True).start()

        log.info("job %s: %d frames into %s", job.system, len(job.frames), job.output)
        render(job, emit, cancelled.is_set)
    except Exception as fault:
        wire.send(error_message(fault, log_file))
    finally:
        over.set()
        cancelled.set()


def _close_if_slow(folder: Path, cancelled: threading.Event, over: threading.Event) -> None:
    """Record that a cancelled job has ended if it has not done so itself: its process is about to be killed."""
    from engine.takes.take import Take
    from engine.takes.writer import close_records

    cancelled.wait()
    if not over.wait(PATIENCE):
        with contextlib.suppress(EngineError):  # nothing more can be done about the disk
            close_records(Take(folder))


def error_message(fault: Exception, log_file: Path | None) -> dict[str, str]:
    """The protocol's ``error`` for any exception; an unexpected one becomes ``internal`` and is logged in full."""
    if isinstance(fault, EngineError):
        log.error("%s: %s", fault.code, fault)
        return {"type": "error", "code": fault.code, "text": fault.text, "remedy": fault.remedy}
    if isinstance(fault, protocol.ProtocolError):
        log.error("protocol: %s", fault)
        remedy = "Update the add-on and the engine together; their protocol versions differ."
        return {"type": "error", "code": "protocol", "text": str(fault), "remedy": remedy}
    log.error("internal error", exc_info=fault)
    if isinstance(fault, ModuleNotFoundError):
        remedy = "Install the engine's packages again; `python -m engine doctor` lists what is missing."
        return {"type": "error", "code": "missing_package", "text": f"{fault}.", "remedy": remedy}
    where = f"The log {log_file}" if log_file else "The engine's standard error"
    return {"type": "error", "code": "internal", "text": repr(fault), "remedy": f"{where} has the details."}


class Wire:
    """Sends messages, from any thread, one whole line each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> bool:
        """False once the other side is gone."""
        with self._lock:
            try:
                self._stream.write(protocol.encode(message))
                self._stream.flush()
            except OSError as fault:
                log.warning("the other side is gone: %s", fault)
                return False
        return True


class Inbox:
    """Reads stdin on a thread. Jobs and faulty lines wait in order; ``cancel`` reaches all jobs read so far at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._entries: Queue[tuple[dict[str, Any] | protocol.ProtocolError, threading.Event] | None] = Queue()
        self._flags: list[threading.Event] = []
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> tuple[dict[str, Any] | protocol.ProtocolError, threading.Event] | None:
        """The next job (or faulty line) with its cancel flag; None when there is no more to do."""
        return self._entries.get()

    def _read(self) -> None:
        while line := self._stream.readline(protocol.MAX_LINE):
            flag = threading.Event()
            try:
                message = protocol.decode(line.decode("utf-8", "replace"))
                if message["type"] == "job":
                    self._flags.append(flag)
                    self._entries.put((message, flag))
                elif message["type"] == "cancel":
                    self._cancel()
                elif message["type"] == "exit":
                    self._entries.put(None)
                else:
                    raise protocol.ProtocolError(f"unknown message {message['type']!r}")
            except protocol.ProtocolError as fault:
                self._entries.put((fault, flag))
        self._cancel()
        self._entries.put(None)
        _exit_after(GRACE)

    def _cancel(self) -> None:
        for flag in self._flags:
            flag.set()


def start_log(log_file: Path | None) -> None:
    """Log to standard error and, if given, to a file; a crash in a native library leaves its stack on the former."""
    faulthandler.enable(sys.stderr)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)


def _take_stdout() -> TextIO:
    """Keep the real stdout for the protocol and point descriptor 1 at stderr, where chatty C libraries do no harm."""
    wire = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return wire


def _exit_after(seconds: float) -> None:
    """End the process if a job hangs after the other side has gone; frames on disk are always whole."""

    def end() -> None:
        log.error("the job did not end within %.0f seconds; this process exits", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
