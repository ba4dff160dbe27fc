"""The engine's child process: started isolated, exchanging lines; no call waits for it without a limit."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

from ...engine import protocol
from .fault import Fault
from .process import engine_command, kill_tree, popen

LAST_LINES = 20
KILL_SECONDS = 2.0  # for the system to remove a killed process; one that waits for a disk may take for ever


class Child:
    """``python -m engine serve`` and its three pipes.

    Threads do all reading and writing, so that no call here ever blocks. ``log`` receives what the engine writes to
    stderr. Raises :class:`Fault` when the process cannot be started.
    """

    def __init__(self, python: Path, root: Path, log: Path) -> None:
        self.log = log
        self._messages: queue.SimpleQueue[dict[str, Any] | Fault | None] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        command = engine_command(python, root, "serve")
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log_file = log.open("wb")
            self._process = popen(command, subprocess.PIPE, subprocess.PIPE, subprocess.PIPE, log.parent)
        except OSError as error:
            raise Fault(
                "engine_start",
                f"The engine's Python {python} could not be started: {error}.",
                "Install the engine again in the add-on's preferences, or name another Python there.",
            ) from error
        for target, arguments in (
            (self._read_messages, (self._process.stdout,)),
            (self._copy_log, (self._process.stderr, log_file)),
            (self._write, (self._process.stdin,)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()

    def send(self, message: dict[str, Any]) -> None:
        """Queue ``message`` for the engine."""
        self._outgoing.put(protocol.encode(message))

    def receive(self, timeout: float = 0.0) -> dict[str, Any] | None:
        """The next message, or None when none came within ``timeout`` seconds.

        Raises :class:`Fault` ``engine_protocol`` for a line that is no message and ``engine_died`` at the end.
        """
        try:
            message = self._messages.get(block=timeout > 0.0, timeout=timeout or None)
        except queue.Empty:
            return None
        if message is None:
            self._messages.put(None)  # the end stays the end
            raise self._death()
        if isinstance(message, Fault):
            raise message
        return message

    def stop(self, grace: float) -> None:
        """Ask the engine to end and kill it and its process group after ``grace`` seconds.

        With a grace this returns at once, without one after ``KILL_SECONDS`` at most.
        """
        self.send({"type": "exit"})
        self._outgoing.put(None)
        if grace > 0.0:
            threading.Thread(target=self._reap, args=(grace,), daemon=True).start()
        else:
            self._reap(0.0)

    def _reap(self, grace: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        kill_tree(self._process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_SECONDS)

    def _death(self) -> Fault:
        try:
            status = self._process.wait(1.0)  # the pipe closes a moment before the process is gone
        except subprocess.TimeoutExpired:
            status = None
        time.sleep(0.02)  # the log thread may hold the last lines still
        reason = "stopped answering" if status is None else f"ended by itself ({_exit_status(status)})"
        lines = [line for line in self._last_lines if line.strip()]
        last = f" Its last line was: {lines[-1]}" if lines else ""
        return Fault("engine_died", f"The engine {reason}.{last}", f"Press Reenact again; the log is {self.log}.")

    def _read_messages(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(protocol.MAX_LINE + 1):
                try:
                    self._messages.put(protocol.decode(line.decode("utf-8", "replace")))
                except protocol.ProtocolError as error:
                    remedy = f"Report this with the log {self.log}."
                    self._messages.put(
                        Fault("engine_protocol", f"The engine sent an invalid message: {error}.", remedy)
                    )
        self._messages.put(None)

    def _copy_log(self, stream: IO[bytes], log: IO[bytes]) -> None:
        with stream, log:
            for line in stream:
                log.write(line)
                log.flush()
                self._last_lines.append(line.decode("utf-8", "replace").rstrip())

    def _write(self, stream: IO[bytes]) -> None:
        # An OSError here means that the engine is gone, which receive() reports.
        with contextlib.suppress(OSError), stream:  # closing tells the engine to end
            while (line := self._outgoing.get()) is not None:
                stream.write(line.encode("ascii"))
                stream.flush()


def check_hello(message: dict[str, Any]) -> None:
    """Raise :class:`Fault` ``engine_version`` unless ``message`` is the hello of this very version."""
    theirs = (message.get("protocol"), message.get("version"))
    ours = (protocol.PROTOCOL, protocol.VERSION)
    if message.get("type") != "hello" or theirs != ours:
        raise Fault(
            "engine_version",
            f"The engine is version {theirs[1]} (protocol {theirs[0]}), "
            f"the add-on is version {ours[1]} (protocol {ours[0]}).",
            "Restart Blender; if this stays, install the Understudy extension again.",
        )


def _exit_status(status: int) -> str:
    if status < 0:
        try:
            return f"signal {signal.Signals(-status).name}"
        except ValueError:
            pass  # a signal without a name
    return f"exit status {status}"
