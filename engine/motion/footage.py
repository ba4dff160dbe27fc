"""Motion tracked in footage: analysed once, kept beside the takes for all processes and hosts that write there."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.subject import FaceFit
from engine.media.hashes import file_hashes
from engine.media.image import write_fault
from engine.media.source import FrameSource
from engine.motion.analyse import VERSION, analyse
from engine.motion.format import MAX_FRAMES
from engine.motion.lock import FileLock
from engine.motion.motion import SUFFIX, Motion
from engine.motion.source import MotionSource
from engine.progress import Emit, Progress
from engine.tracking.detector import Detector

FOLDER = "motion"
_POLL = 0.25  # seconds


class Footage(MotionSource):
    """Tracked in ``source``: over all of it, or over the range ``analysed`` [start, stop)."""

    def __init__(self, source: FrameSource, analysed: tuple[int, int] | None = None) -> None:
        self.source = source
        self.path, self.rate, self.remarks = source.path, source.fps, source.remarks
        self.start, self.stop = analysed or (0, source.count)
        source.check([self.stop - 1])
        if self.stop - self.start > MAX_FRAMES:
            raise EngineError(
                "too_many_frames",
                f"{self.path} has {self.stop - self.start} frames, at most {MAX_FRAMES} can be analysed together.",
                "Name the range of source frames to analyse.",
            )

    def files(self, frames: Sequence[int]) -> list[Path]:
        return self.source.files(frames)

    def check(self, frames: Sequence[int]) -> None:
        self.source.check(frames)
        super().check(frames)

    def motion(
        self, faces: Sequence[FaceFit], detector: Detector, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> Motion:
        Progress(emit, "analyse", self.stop - self.start)  # hashing the footage may take a while
        try:
            return CachedAnalysis(folder, self.source, self.start, self.stop, detector, check).motion(emit)
        except EngineError as fault:
            if fault.code not in ("missing_frame", "truncated_movie", "frame_out_of_range"):
                raise
            analysed = f"Source frames {self.start} to {self.stop - 1} are analysed; another range can be named."
            raise EngineError(fault.code, fault.text, f"{fault.remedy} {analysed}") from fault


class CachedAnalysis:
    """The analysis of ``source`` over its frames [start, stop) by ``detector``, in one file of ``folder``.

    The file's name holds a hash of all that decides the result: the content of the footage, the detector and its
    weights, the face model, the version of the analysis, the rate and the range. Any file there may be deleted, or
    drive a take by itself. ``check`` may raise to cancel.
    """

    def __init__(
        self,
        folder: Path,
        source: FrameSource,
        start: int,
        stop: int,
        detector: Detector,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._start, self._stop, self._detector, self._check = source, start, stop, detector, check
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise write_fault(folder, fault) from fault
        files = source.files(range(start, stop))
        name = files[0].stem[:40]
        memory = folder / f"{name}.{_digest([str(source.path.absolute())])}.hashes.json"
        hashes = file_hashes([*files, *detector.weights], memory, check)
        decides = [VERSION, detector.name, face_model.load().sha256, str(source.fps), start, stop, *hashes]
        self.path = folder / f"{name}.{_digest(decides)}{SUFFIX}"

    def motion(self, emit: Emit) -> Motion:
        """The kept motion; analysed now, or awaited where another process does so already.

        Raises what ``check`` raises, ``no_face``, and what the source raises.
        """
        total = self._stop - self._start
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"))
        waiting = False
        while (known := self._find()) is None and not lock.acquire():
            self._check()
            if not waiting:
                Progress(emit, "wait", total)
            waiting = True
            time.sleep(_POLL)
        if known is not None:
            Progress(emit, "analyse", total).update(total)
            return known
        try:
            # The lock's last owner may have finished it meanwhile.
            return self._find() or self._analysed(Progress(emit, "analyse", total), total)
        finally:
            lock.release()

    def _find(self) -> Motion | None:
        """The motion if its file is there and sound; a damaged one is analysed again."""
        if not self.path.is_file():
            return None
        try:
            known = Motion.load(self.path)
        except EngineError:
            return None
        return known if (known.start, known.stop) == (self._start, self._stop) else None

    def _analysed(self, progress: Progress, total: int) -> Motion:
        def on_frame(done: float) -> None:
            self._check()
            progress.update(int(done))

        source = self._source
        with closing(source.frames(self._start, self._stop)) as frames:
            motion = analyse(frames, source.fps, self._detector, str(source.path), on_frame)
        progress.update(total)
        motion.save(self.path)
        return Motion.load(self.path)  # as everyone else reads it


def _digest(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
