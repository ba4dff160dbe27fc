"""A system that only copies the portrait: for tests of everything around a system, and for timing it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import EngineError
from engine.systems.base import Portrait, Subject, System

if TYPE_CHECKING:
    from engine.motion.performance import MotionFrame


class Null(System):
    """Options: ``delay_ms``, the time one frame takes (0); ``fail_at``, how many frames are drawn before a fault."""

    name = "null"
    needs_performance = False

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        for option, value in options.items():
            if option not in ("delay_ms", "fail_at"):
                raise EngineError("bad_option", f"The system null has no option {option!r}.", "Leave it out.")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise EngineError("bad_option", f"{option}: {value!r} is not a number from 0.", "Correct the number.")

    def prepare(self, portraits: list[Portrait]) -> Subject:
        return NullSubject(portraits[0].rgb, self.options.get("delay_ms", 0) / 1000, self.options.get("fail_at"))


class NullSubject(Subject):
    def __init__(self, rgb: np.ndarray, delay: float, fail_at: int | None) -> None:
        self.size = (rgb.shape[1], rgb.shape[0])
        self._rgb = rgb
        self._delay = delay
        self._fail_at = fail_at
        self._drawn = 0

    def draw(self, motion: MotionFrame | None) -> np.ndarray:
        if self._drawn == self._fail_at:
            raise EngineError("null_fault", f"Asked to fail after {self._drawn} frames.", "Leave fail_at out.")
        self._drawn += 1
        time.sleep(self._delay)
        return self._rgb
