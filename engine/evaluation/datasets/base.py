"""What systems are evaluated on. A dataset is a list of shots: a portrait, what drives it, and the frames to draw.

Everything a system gets is on disk, so that it is rendered by the same pipeline as a user's take.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.picture import ShotFrame
from engine.protocol import Driving
from engine.tracking.detector import Detector


@dataclass(frozen=True)
class Shot:
    """``frames`` are the driver's frames to render, ``motion`` and ``neutral`` as in :class:`engine.protocol.Job`.
    ``true_driving`` is the same motion as exact labels, None where they are unknown. ``load`` gives all ``frames`` in
    order."""

    label: str
    portrait: Path
    driving: Driving
    true_driving: Driving | None
    frames: tuple[int, ...]
    motion: str
    neutral: int | None
    load: Callable[[], Iterator[ShotFrame]]


class Dataset(ABC):
    """``direction`` is ``self`` (the portrait shows the driver) or ``cross``. ``truth``: it has the pictures that
    outputs should look like; ``exact``: it has exact labels of them; ``takes``: its shots have many frames."""

    name: str
    direction: str
    truth: bool
    exact: bool
    takes: bool

    @abstractmethod
    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        """The shots, those of one person together. Files go into ``folder``; ``detector`` tracks the drivers."""

    def remarks(self) -> list[str]:
        """What a reader of the table must know, after all shots: what was left out, and why."""
        return []
