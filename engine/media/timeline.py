"""When a movie shows its pictures: rate, first time and length, counted where the file itself cannot be trusted."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import median

from av.container import InputContainer
from av.video.stream import VideoStream

# Rates in which footage is shot. A rate read from rounded times is one of these.
_RATES = [
    *(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)),
    *(Fraction(n) for n in (24, 25, 30, 48, 50, 60, 120)),
]
_NEAR = Fraction(1, 25)  # relative distance within which a measured rate is a standard one
_ABSURD = Fraction(3, 2)  # a stated rate this many times the measured one counts ticks, not pictures
_DEFAULT = Fraction(25)


@dataclass(frozen=True)
class Timeline:
    """Source frame ``i`` is the last picture whose time is not after ``start`` + i / ``fps``, rounded to a tick.

    That is the picture Blender shows. ``time_base`` is the seconds of a tick and ``start`` the first picture's time in
    ticks. ``count`` is the number of source frames. ``timed`` is False where the file gives no presentation times:
    then source frame ``i`` is the i-th decoded picture.
    """

    fps: Fraction
    time_base: Fraction
    start: int
    count: int
    timed: bool = True

    def index(self, time: int) -> int:
        """The first source frame at which a picture of that ``time``, in ticks, is shown."""
        return max(0, math.ceil((time - self.start - Fraction(1, 2)) * self.time_base * self.fps))

    def time(self, index: int) -> int:
        """The time of a source frame in ticks."""
        return self.start + round(Fraction(index) / self.fps / self.time_base)

    def frames(self, duration: int) -> int:
        """How many source frames a ``duration`` in ticks lasts, at least 1."""
        return max(1, round(duration * self.time_base * self.fps))


def read_timeline(container: InputContainer, stream: VideoStream) -> Timeline:
    """The timeline of a movie that has just been opened.

    MP4 and MOV list every picture, and are trusted. Other files are read through without decoding, which
    leaves the container at its end.
    """
    rate = Fraction(stream.guessed_rate or stream.average_rate or 0)
    base = Fraction(stream.time_base or Fraction(1, 90_000))
    if "mp4" in container.format.name.split(",") and stream.frames and stream.duration and rate:
        start = stream.start_time or 0
        return Timeline(rate, base, start, max(1, round(stream.duration * base * rate)))
    times, duration, packets = [], 0, 0
    for packet in container.demux(stream):
        if packet.size:
            packets += 1
            duration = packet.duration or 0
            times.append(packet.pts)
    timed = len(set(times)) == packets and None not in times and not _decode_times(container, stream)
    ticks = sorted(time for time in times if time is not None) if timed else []
    if len(ticks) < 2:
        return Timeline(rate or _DEFAULT, base, ticks[0] if ticks else 0, packets, timed)
    timeline = Timeline(_checked(rate, ticks, base), base, ticks[0], 0)
    counted = timeline.index(ticks[-1]) + timeline.frames(duration)
    # Matroska that states more than there is was cut short; reading to the end reports it.
    return replace(timeline, count=max(counted, timeline.frames(_stated(stream, base) - ticks[0])))


def _stated(stream: VideoStream, base: Fraction) -> int:
    """The duration that Matroska and WebM state, in ticks; 0 without one."""
    stated = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if not stated:
        return 0
    return round((int(stated[1]) * 3600 + int(stated[2]) * 60 + Fraction(stated[3])) / base)


def _decode_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether times are those of decoding: AVI has no others, and they differ where pictures are reordered."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def _checked(stated: Fraction, ticks: list[int], base: Fraction) -> Fraction:
    """The stated rate if the pictures come at it, else the standard rate nearest to theirs."""
    step = median(after - before for before, after in zip(ticks, ticks[1:]))
    measured = 1 / (Fraction(step) * base)
    if stated and stated < _ABSURD * measured:
        return stated
    usual = min(_RATES, key=lambda rate: abs(rate - measured))
    return usual if abs(usual - measured) < _NEAR * measured else measured.limit_denominator(1001)
