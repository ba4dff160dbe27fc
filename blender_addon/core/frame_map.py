"""Scene frame → source frame, in whole numbers, exactly as the sequencer shows a strip."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class StripTiming:
    """What decides which source frame a strip shows.

    ``content_start`` is the scene frame of the content's first frame, ``left`` and ``right`` the handles (``right``
    is the first scene frame after the strip). ``length`` counts the source frames between the trims, ``trim`` those
    cut off before them. ``rate`` is source frames a scene frame: 1 unless the strip follows its movie's own rate.
    """

    content_start: float
    left: int
    right: int
    length: int
    trim: int = 0
    reverse: bool = False
    strobe: float = 1.0
    rate: float = 1.0

    def source_frame(self, frame: int) -> int:
        """The source frame, counted from 0, that is shown at scene frame ``frame``."""
        index = min(max((frame - self.content_start) * self.rate, 0.0), self.length - 1.0)
        if self.reverse:
            index = self.length - 1 - index
        if self.strobe > 1.0:
            index -= math.fmod(index, self.strobe)
        return math.floor(index + 0.5) + self.trim

    def frames(self, first: int, last: int) -> range:
        """The scene frames of ``first``…``last`` (inclusive) on which the strip is shown."""
        return range(max(first, self.left), min(last, self.right - 1) + 1)

    def sources(self) -> tuple[int, int]:
        """The range [start, stop) of source frames that the strip shows between its handles."""
        shown = [self.source_frame(frame) for frame in range(self.left, self.right)]
        return min(shown), max(shown) + 1


def frame_map(timing: StripTiming, frames: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Pairs (scene frame, source frame) of every one of ``frames``; a take is numbered by scene frames."""
    return tuple((frame, timing.source_frame(frame)) for frame in frames)


def rational_fps(fps: int, base: float) -> tuple[int, int]:
    """Frames a second as a fraction of whole numbers; Blender keeps 24000/1001 as 24 over a float near 1.001."""
    rate = fps / Fraction(base).limit_denominator(10_000)
    return rate.numerator, rate.denominator
