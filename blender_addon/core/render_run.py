"""One take being made: turns the engine's messages into a state, blocking or by ticks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from ...engine import protocol
from .background import Background
from .child import Child, check_hello
from .fault import Fault
from .png import is_whole_png
from .takes import TakeFolder

HELLO_SECONDS = 60.0  # a cold disk and a virus scanner may hold the engine's Python up
CANCEL_SECONDS = 0.8  # Cancel stops within a second
EXIT_SECONDS = 3.0  # for an engine that has nothing left to do
CLOSE_SECONDS = 0.5  # for the check of the files when Blender quits or opens another file


class State(Enum):
    STARTING = "Starting the engine"
    WORKING = "Working"
    CANCELLING = "Cancelling"
    CHECKING = "Checking the files"
    FINISHED = "Finished"
    CANCELLED = "Cancelled"
    FAILED = "Failed"


class RenderRun:
    """Drive it with :meth:`tick` from a timer or with :meth:`wait`; both do the same.

    FINISHED means that every frame asked for is on disk and whole. However it ends, finished frames stay, and
    :attr:`frames` lists the numbers of those asked for; the :attr:`kept` ones were there before. The files are
    checked on a thread: no tick waits for a disk. Raises :class:`Fault` when the engine cannot be started.
    """

    def __init__(self, job: protocol.Job, python: Path, root: Path, log: Path) -> None:
        self.job = job
        self.state = State.STARTING
        self.phase = ""
        self.done = 0
        self.total = len(job.frames)
        self.fps: float | None = None
        self.seconds_left: float | None = None
        self.warnings: list[Fault] = []
        self.fault: Fault | None = None
        self.take: TakeFolder | None = None
        self.sidecar: Path | None = None
        self.frames: list[int] = []
        self.kept = 0
        self._size = (0, 0)
        self._check: FrameCheck | None = None
        self._verdict: tuple[State, Fault | None] = (State.FAILED, None)  # unless the check says otherwise
        self._deadline = time.monotonic() + HELLO_SECONDS
        self._child = Child(python, root, log)

    @property
    def over(self) -> bool:
        return self.state in (State.FINISHED, State.CANCELLED, State.FAILED)

    def tick(self, timeout: float = 0.0) -> bool:
        """Take in what the engine said since the last call, waiting at most ``timeout`` seconds for the first word.

        Returns whether anything changed.
        """
        if self.over:
            return False
        if self._check is not None:
            self._check.wait(timeout)
            return self._settle()
        changed = False
        try:
            while self._check is None and (message := self._child.receive(0.0 if changed else timeout)) is not None:
                self._take_in(message)
                changed = True
        except Fault as fault:
            self._end(State.CANCELLED if self.state is State.CANCELLING else State.FAILED, fault)
        if self.state is State.STARTING and time.monotonic() > self._deadline:
            self._end(State.FAILED, self._silence())
        return changed

    def wait(self, on_change: Callable[[RenderRun], None] | None = None) -> None:
        """Tick until the run is over; an interrupt (Ctrl-C) ends it as :meth:`close` does."""
        try:
            while not self.over:
                if self.tick(0.1) and on_change:
                    on_change(self)
        except BaseException:
            self.close()
            raise

    def cancel(self) -> None:
        """Ask the engine to stop; it is killed if it has not within ``CANCEL_SECONDS``, ticks or no ticks."""
        if self.state in (State.STARTING, State.CHECKING):
            self.close()  # nothing is being written
        elif self.state is State.WORKING:
            self.state = State.CANCELLING
            self._child.send({"type": "cancel"})
            self._child.stop(CANCEL_SECONDS)

    def close(self) -> None:
        """End at once: Blender quits, opens another file or disables the add-on. Waits for a few seconds at most."""
        if self.over:
            return
        self._child.stop(0.0)
        check = self._check or self._begin_check(State.CANCELLED)
        check.wait(CLOSE_SECONDS)
        if not self._settle():
            check.cancel()
            self.state = State.CANCELLED

    def _take_in(self, message: dict[str, Any]) -> None:
        if self.state is State.STARTING:
            check_hello(message)
            self._child.send({"type": "job", **self.job.to_json()})
            self.state = State.WORKING
            return
        match message["type"]:
            case "take":
                self.take = TakeFolder(Path(message["folder"]))
                self._size = (int(message["width"]), int(message["height"]))
            case "progress":
                self.phase = str(message["phase"])
                self.done, self.total = int(message["done"]), int(message["total"])
                self.fps, self.seconds_left = message.get("fps"), message.get("seconds_left")
            case "frame":
                self.frames.append(int(message["frame"]))
                self.kept += message.get("status") == "kept"
            case "warning":
                self.warnings.append(Fault.from_message(message))
            case "error":
                fault = Fault.from_message(message)
                if fault.code == "internal":
                    fault.remedy = f"This should not happen; {self._child.log} has the details."
                self._end(State.FAILED, fault)
            case "done":
                self.sidecar = Path(message["sidecar"]) if message.get("sidecar") else None
                self._end(State.CANCELLED if message.get("cancelled") else State.FINISHED)

    def _silence(self) -> Fault:
        return Fault(
            "engine_silent",
            f"The engine said nothing for {HELLO_SECONDS:.0f} seconds.",
            f"Check the engine in the add-on's preferences; its log is {self._child.log}.",
        )

    def _end(self, state: State, fault: Fault | None = None) -> None:
        self._child.stop(EXIT_SECONDS)
        self._begin_check(state, fault)

    def _begin_check(self, state: State, fault: Fault | None = None) -> FrameCheck:
        """Start to look at the disk, which alone decides which frames there are."""
        self._verdict = (state, fault)
        self.state = State.CHECKING
        self.seconds_left = None
        take = self.take
        self._check = FrameCheck({n: take.frame(n) for n, _ in self.job.frames} if take else {}, self._size)
        return self._check

    def _settle(self) -> bool:
        """Whether the check is over; if so, conclude from it whether the run has FINISHED."""
        assert self._check is not None
        if not self._check.over:
            return False
        self.frames = self._check.whole
        state, fault = self._verdict
        asked, whole = [number for number, _ in self.job.frames], set(self.frames)
        if state is State.FINISHED and len(whole) < len(asked):
            state = State.FAILED
            missing = [number for number in asked if number not in whole]
            where = self.take.folder if self.take else self.job.output
            fault = self._check.fault or Fault(
                "frames_missing",
                f"{len(missing)} of {len(asked)} frames are missing or broken in {where}, the first is {missing[0]}.",
                "Check that the disk is neither full nor disconnected, then resume the take.",
            )
        self.state, self.fault = state, fault if state is State.FAILED else None
        return True


class FrameCheck(Background):
    """Finds out on a thread which frames of ``files`` are :attr:`whole`; ``size`` is (width, height)."""

    def __init__(self, files: dict[int, Path], size: tuple[int, int]) -> None:
        self.whole: list[int] = []

        def look(report: Callable[[str], None], cancelled: threading.Event) -> None:
            for number, file in files.items():
                if cancelled.is_set():
                    return
                if is_whole_png(file, size):
                    self.whole.append(number)

        super().__init__(look)
