"""One take being made: the engine's messages turned into a state that anyone can look at, blocking or by ticks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ...engine import protocol
from .child import Child, check_hello
from .fault import Fault
from .png import is_whole_png

HELLO_SECONDS = 60.0  # a cold disk and a virus scanner may hold the engine's Python up
CANCEL_SECONDS = 0.8  # Cancel stops within a second
EXIT_SECONDS = 3.0  # for an engine that has nothing left to do


class State(Enum):
    STARTING = "Starting the engine"
    WORKING = "Working"
    CANCELLING = "Cancelling"
    FINISHED = "Finished"
    CANCELLED = "Cancelled"
    FAILED = "Failed"


@dataclass(frozen=True)
class TakeFolder:
    """The take on disk; ``size`` is (width, height) of every frame."""

    folder: Path
    name: str
    size: tuple[int, int]

    def frame(self, number: int) -> Path:
        return self.folder / protocol.frame_name(self.name, number)


class RenderRun:
    """Drive it with :meth:`tick` from a timer or with :meth:`wait`; both do the same.

    FINISHED means that every frame asked for is on disk and whole. However it ends, finished frames stay, and
    :attr:`frames` lists their numbers. Raises :class:`Fault` when the engine cannot be started.
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
        changed = False
        try:
            while not self.over and (message := self._child.receive(0.0 if changed else timeout)) is not None:
                self._take_in(message)
                changed = True
        except Fault as fault:
            self._end(State.CANCELLED if self.state is State.CANCELLING else State.FAILED, fault)
        if self.state is State.STARTING and time.monotonic() > self._deadline:
            self._end(State.FAILED, self._silence())
        return changed or self.over

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
        if self.state is State.STARTING:
            self.close()  # nothing is written yet
        elif self.state is State.WORKING:
            self.state = State.CANCELLING
            self._child.send({"type": "cancel"})
            self._child.stop(CANCEL_SECONDS)

    def close(self) -> None:
        """End at once and without a word, because the file, the add-on or Blender itself goes away."""
        if not self.over:
            self._child.stop(0.0)
            self._settle(State.CANCELLED)

    def _take_in(self, message: dict[str, Any]) -> None:
        if self.state is State.STARTING:
            check_hello(message)
            self._child.send({"type": "job", **self.job.to_json()})
            self.state = State.WORKING
            return
        match message["type"]:
            case "take":
                size = (int(message["width"]), int(message["height"]))
                self.take = TakeFolder(Path(message["folder"]), str(message["name"]), size)
            case "progress":
                self.phase = str(message["phase"])
                self.done, self.total = int(message["done"]), int(message["total"])
                self.fps, self.seconds_left = message.get("fps"), message.get("seconds_left")
            case "frame":
                self.frames.append(int(message["frame"]))
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
        self._settle(state, fault)

    def _settle(self, state: State, fault: Fault | None = None) -> None:
        """Look at the disk, which alone decides which frames there are and whether the run has FINISHED."""
        asked = [number for number, _ in self.job.frames]
        take = self.take
        self.frames = [n for n in asked if take and is_whole_png(take.frame(n), take.size)]
        self.seconds_left = None
        missing = len(asked) - len(self.frames)
        if state is State.FINISHED and missing:
            first = next(n for n in asked if n not in set(self.frames))
            where = take.folder if take else self.job.output
            state = State.FAILED
            fault = Fault(
                "frames_missing",
                f"{missing} of {len(asked)} frames are missing or broken in {where}, the first is {first}.",
                "See that the disk is neither full nor disconnected, then press Reenact again.",
            )
        self.state, self.fault = state, fault if state is State.FAILED else None
