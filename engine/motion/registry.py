"""Sources of motion by the kind that a job names; each is imported only when it is asked for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from engine.motion.source import MotionFile, MotionSource
from engine.protocol import Driving


def open_motion(driving: Driving, rate: Fraction, analysed: tuple[int, int] | None = None) -> MotionSource:
    """The motion that ``driving`` names.

    ``rate`` is that of image sequences; footage is analysed over the range ``analysed`` [start, stop), whole if that is
    None. Raises EngineError when a file is missing, damaged or of another kind.
    """
    if driving.kind == "motion":
        return MotionFile(Path(driving.path))
    if driving.kind == "curves":
        from engine.motion.curves import Curves

        return Curves(Path(driving.path))
    from engine.media.source import open_source
    from engine.motion.footage import Footage

    return Footage(open_source(driving, rate), analysed)
