"""The interface of every source of motion: footage, motion files, curves. The registry opens them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.media.source import Remark
from engine.motion.motion import Motion
from engine.progress import Emit

if TYPE_CHECKING:
    from engine.face.subject import FaceFit
    from engine.tracking.detector import Detector


class MotionSource(ABC):
    """Motion for the frames [``start``, ``stop``) of ``path``.

    ``detector`` names the detector that the portraits must be seen with because the motion was tracked with it; None
    where any will do.
    """

    path: Path
    start: int
    stop: int
    rate: Fraction
    """Frames a second, exact."""
    detector: str | None = None
    remarks: tuple[Remark, ...] = ()
    """What the user should know about how the footage is read."""

    @abstractmethod
    def motion(
        self, faces: Sequence[FaceFit], detector: Detector, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> Motion:
        """The motion of all frames, for a subject whose portraits are fitted in ``faces``.

        ``folder`` caches what takes long to compute; ``emit`` receives progress; ``check`` may raise to cancel. Raises
        EngineError when the source is damaged or shows no face.
        """

    def files(self, frames: Sequence[int]) -> list[Path]:
        """The files that hold these frames."""
        return [self.path]

    def check(self, frames: Sequence[int]) -> None:
        """Raise EngineError ``frame_out_of_range`` unless every one of ``frames`` is in the source."""
        if min(frames) < self.start or max(frames) >= self.stop:
            raise EngineError(
                "frame_out_of_range",
                f"{self.path} holds motion for source frames {self.start} to {self.stop - 1}, "
                f"{min(frames)} to {max(frames)} were asked for.",
                "Shorten the frame range, or analyse more of the footage.",
            )


class MotionFile(MotionSource):
    """A motion analysed or exported before."""

    def __init__(self, path: Path) -> None:
        """Raises EngineError ``motion``."""
        self._motion = Motion.load(path)
        self.path, self.rate = path, self._motion.rate
        self.start, self.stop = self._motion.start, self._motion.stop
        self.detector = self._motion.tracked.detector if self._motion.tracked else None

    def motion(
        self, faces: Sequence[FaceFit], detector: Detector, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> Motion:
        return self._motion
