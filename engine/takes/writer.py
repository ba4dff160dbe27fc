"""One process' share in a take: it joins, keeps its record, and leaves the sidecar up to date."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from engine.errors import Cancelled, EngineError
from engine.media.hashes import Hashes
from engine.protocol import NEW, Job
from engine.takes.fingerprint import Fingerprint
from engine.takes.frame import DRAWN, FOREIGN, FrameTag, inspect
from engine.takes.record import CANCELLED, DONE, FAILED, RUNNING, Record, read_records
from engine.takes.sidecar import merge
from engine.takes.take import Take, admit, create, locate, other_frame
from engine.timings import Timings

_HEARTBEAT = 10.0  # seconds between two
_REMOVAL = 1.0  # seconds that the removal of an empty take may last
_POLL = 0.05  # seconds


class TakeWriter:
    """Within its ``with`` block the job's take exists on disk, and ``kept`` holds its frames that need not be drawn.

    Entering raises EngineError when the take is of another fingerprint or holds a frame that this job must not
    overwrite; nothing is changed then. A take that it created and that has no frame when the block ends with a fault
    is ``removed`` again.
    """

    def __init__(
        self, job: Job, fingerprint: Fingerprint, hashes: Hashes, timings: Timings, check: Callable[[], None]
    ) -> None:
        """``check`` may raise to end the look at a long take."""
        self.job = job
        self.timings = timings
        self.kept: dict[int, str] = {}
        self.removed = False
        self._fingerprint = fingerprint.sha256
        self._hashes = hashes
        self._check = check
        self._record = Record(job, fingerprint)
        self._created = False
        self._last_beat = time.monotonic()
        self.notes = self._record.notes

    def __enter__(self) -> TakeWriter:
        self._record.inputs = self._hashes.entries()
        self._take = self._join()
        try:
            merge(self._take)
        except BaseException as fault:
            self.__exit__(type(fault), fault, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        if fault is not None and self._created and not self.written and _removed_empty(self._take, self._record):
            self.removed = True
            return
        self._record.inputs = self._hashes.entries()
        self._record.seconds = self.timings.seconds
        self._record.end(DONE if fault is None else CANCELLED if isinstance(fault, Cancelled) else FAILED, fault)
        self._record.save(self._take.records)
        merge(self._take)

    @property
    def folder(self) -> Path:
        return self._take.folder

    @property
    def name(self) -> str:
        return self._take.name

    @property
    def sidecar(self) -> Path:
        return self._take.sidecar

    @property
    def written(self) -> int:
        """How many of the frames asked for are on disk."""
        return len(self._record.statuses)

    def warn(self, code: str, text: str, remedy: str) -> dict[str, str]:
        """Keep a warning; returns it as the protocol's message."""
        self._record.warnings.append({"code": code, "text": text, "remedy": remedy})
        return {"type": "warning", **self._record.warnings[-1]}

    def tag(self, source: int, status: str) -> str:
        """The text that a frame's file must carry."""
        return FrameTag(self._fingerprint, source, status).text()

    def find(self, frame: int, source: int) -> str | None:
        """The status of a frame that is on disk, whole, and this take's; None when it must be drawn.

        Raises EngineError ``other_frames`` for a file that is something else.
        """
        return self._find(self._take, frame, source)

    def check_complete(self) -> None:
        """Raise EngineError ``frames_missing`` unless every frame asked for is on disk, whoever wrote it."""
        missing = [frame for frame, _ in self.job.frames if not self._take.frame(frame).is_file()]
        if missing:
            raise EngineError(
                "frames_missing",
                f"{len(missing)} frames have gone from {self.folder} since they were written, the first is "
                f"{missing[0]}.",
                "See what else writes to or cleans that folder, then render again.",
            )

    def frame_done(self, frame: int, status: str) -> None:
        """``frame`` is on disk."""
        self._record.statuses[frame] = status
        if time.monotonic() - self._last_beat > _HEARTBEAT:
            self._last_beat = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self._record.file(self._take.records))

    def _join(self) -> Take:
        limit = time.monotonic() + _REMOVAL
        while True:
            take = locate(Path(self.job.output), self.job.shot, self.job.take)
            if not take.folder.exists() and create(take, self._record):
                self._created = True
                return take
            if self.job.take == NEW:  # another process was faster
                continue
            try:
                self._add_to(take)
                return take
            except EngineError:  # unless its creator is just removing it
                if take.records.is_dir() or time.monotonic() > limit:
                    raise
            time.sleep(_POLL)

    def _add_to(self, take: Take) -> None:
        admit(take, self.job, self._record.fingerprint)
        for frame, source in self.job.frames:
            self._check()
            if (status := self._find(take, frame, source)) is not None:
                self.kept[frame] = status
        self._record.save(take.records)

    def _find(self, take: Take, frame: int, source: int) -> str | None:
        state = inspect(take.frame(frame), self._fingerprint, source, to_end=True)
        if state.status == FOREIGN:
            raise other_frame(take, frame, state.reason)
        return state.status if state.status in DRAWN else None


def _removed_empty(take: Take, record: Record) -> bool:
    """Remove a take that has no frame, unless someone else has joined it: then its folder ``records`` is not empty."""
    record.file(take.records).unlink(missing_ok=True)
    try:
        take.records.rmdir()
    except OSError:
        return False
    for path in take.folder.glob(f"{take.name}.*"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds files that are not ours
        take.folder.rmdir()
    return True


def close_records(take: Take) -> None:
    """Close the records that this process has open in ``take``: the process ends now."""
    for record in read_records(take.records)[0]:
        if record.state == RUNNING and (record.host, record.pid) == (socket.gethostname(), os.getpid()):
            record.end(CANCELLED)
            record.save(take.records)
    merge(take)
