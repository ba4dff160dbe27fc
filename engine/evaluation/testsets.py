"""What systems are compared on. A set is a list of shots: a portrait, what drives it, and the moments to be answered.

Everything a system gets is on disk, so that it is rendered by the same pipeline as a user's take.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.pictures import Moment
from engine.protocol import Driving
from engine.tracking.detector import Detector


@dataclass(frozen=True)
class Shot(ABC):
    """``frames`` are the driver's frames to render, ``motion`` and ``neutral`` as in :class:`engine.protocol.Job`;
    ``exact_driving`` is the same motion in the studio's own coefficients, None where nobody knows them."""

    label: str
    portrait: Path
    driving: Driving
    exact_driving: Driving | None
    frames: tuple[int, ...]
    motion: str
    neutral: int | None

    @abstractmethod
    def moments(self) -> Iterator[Moment]:
        """One for each of ``frames``, in order."""


class TestSet(ABC):
    """``mode`` is ``self`` (the portrait shows the driver) or ``cross``; ``truth``: it is known what the output should
    look like; ``exact``: so are labels of it; ``takes``: shots are takes of many frames, listed one by one."""

    __test__ = False  # no test of pytest's

    name: str
    mode: str
    truth: bool
    exact: bool
    takes: bool

    @abstractmethod
    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        """The shots, those of one identity together; files go into ``folder``. ``detector`` sees for the drivers."""

    def remarks(self) -> list[str]:
        """What a reader of the table must know, after all shots: who was left out, and why."""
        return []
