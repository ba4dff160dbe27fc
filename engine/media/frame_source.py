"""Footage as a stream of RGB frames: the interface of movies and image sequences.

Source frames are counted from 0. Only one frame is kept in memory at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.errors import EngineError


@dataclass(frozen=True)
class Remark:
    """Something done to the footage that its user should know; the parts are those of a protocol ``warning``."""

    code: str
    text: str
    remedy: str


class FrameSource(ABC):
    """Footage to read from. ``path`` is the movie, or the folder of the sequence."""

    path: Path
    fps: Fraction
    """Frames a second, exact."""
    size: tuple[int, int]
    """Width and height of the upright picture, pixels."""
    remarks: tuple[Remark, ...] = ()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many frames there should be. A movie that does not say so is scanned, without decoding, when asked."""

    @abstractmethod
    def frames(self, start: int, stop: int) -> Generator[tuple[int, np.ndarray], None, None]:
        """Yield (index, (H, W, 3) uint8 sRGB) for every source frame of [start, stop), in order, each decoded once.

        Raises EngineError when a frame cannot be read, after all good frames before it.
        """

    @abstractmethod
    def files(self, indices: Sequence[int]) -> list[Path]:
        """The files that hold these frames, each once; raises EngineError ``missing_frame`` when one is not there."""

    def check(self, indices: Sequence[int]) -> None:
        """Raise EngineError ``frame_out_of_range`` unless every source frame of ``indices`` should exist."""
        if indices and max(indices) >= self.count:
            raise out_of_range(self.path, max(indices), self.count)


class Player:
    """Frames of a ``source`` by number, decoded in step with a caller that mostly goes forward."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._at, self._rgb = -1, np.empty((0, 0, 3), np.uint8)
        self._frames: Generator[tuple[int, np.ndarray], None, None] | None = None

    def frame(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 sRGB; raises EngineError as :meth:`FrameSource.frames` does."""
        if self._frames is None or index < self._at:
            self.close()
            self._frames, self._at = self._source.frames(index, self._source.count), -1
        while self._at < index:
            self._at, self._rgb = next(self._frames)
        return self._rgb

    def close(self) -> None:
        """Close the footage."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None


def out_of_range(path: Path, index: int, count: int) -> EngineError:
    return EngineError(
        "frame_out_of_range",
        f"Source frame {index} was asked for, but {path} ends with source frame {count - 1}.",
        "Shorten the frame range. Source frames are counted from 0.",
    )
