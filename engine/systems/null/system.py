"""A system that only copies the portrait: for tests of everything around a system, and for timing it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import EngineError
from engine.systems.base import Portrait, Subject, System

if TYPE_CHECKING:
    from engine.motion.motion import MotionFrame


class Null(System):
    name = "null"

    def prepare(self, portraits: list[Portrait]) -> Subject:
        return NullSubject(portraits[0].rgb, self.options["delay_ms"] / 1000, self.options["fail_at"])


class NullSubject(Subject):
    def __init__(self, rgb: np.ndarray, delay: float, fail_at: float) -> None:
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
