"""What the command line calls V: one path that may be a movie, a sequence, motion or curves."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from engine.errors import EngineError
from engine.media.image import IMAGE_SUFFIXES
from engine.media.image_folder import sequence_files
from engine.protocol import Driving, parse_frames

# Files of earlier versions end in .performance; as motion they are refused with the reason.
_KINDS = {".motion.npz": "motion", ".curves.npz": "curves", ".performance": "motion"}


def driving_from(path: Path) -> Driving:
    """A folder is a sequence of its images, a still one of a single image; else the ending decides."""
    path = path.absolute()
    if path.is_dir():
        return Driving("sequence", str(path), sequence_files(path))
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Driving("sequence", str(path.parent), (path.name,))
    for suffix, kind in _KINDS.items():
        if path.name.lower().endswith(suffix):
            return Driving(kind, str(path))
    return Driving("movie", str(path))


def source_frames(text: str | None, count: int, start: int = 0) -> list[int]:
    """The source frames that ``--frames`` names; all of [start, count) if it is not given."""
    if text is None:
        return list(range(start, count))
    try:
        frames = parse_frames(text)
    except ValueError as fault:
        raise EngineError("frames", f"--frames: {fault}.", "Write it like 0-99, 0-99x2 or 3,7,10-20.") from fault
    if frames[0] < 0:
        raise EngineError("frames", f"--frames: {frames[0]} is before the start.", "Source frames are counted from 0.")
    return frames


def frame_range(text: str) -> tuple[int, int]:
    """``A-B``, both inclusive and counted from 0, as [start, stop); raises ValueError."""
    match = re.fullmatch(r"(\d+)-(\d+)", text.strip())
    if not match or int(match[2]) < int(match[1]):
        raise ValueError(text)
    return int(match[1]), int(match[2]) + 1


def rate(text: str) -> Fraction:
    """``24``, ``23.976`` or ``24000/1001`` as an exact fraction; common roundings of NTSC rates are understood."""
    try:
        value = Fraction(text)
    except ZeroDivisionError as fault:
        raise ValueError(text) from fault
    if value <= 0:
        raise ValueError(text)
    ntsc = Fraction(round(value * Fraction(1001, 1000)) * 1000, 1001)
    return ntsc if value.denominator != 1 and abs(value - ntsc) < Fraction(1, 200) else value
