"""A system that only copies the portrait: for tests of everything around a system, and for timing it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import EngineError
from engine.systems.base import Subject, System

if TYPE_CHECKING:
    from engine.geometry.frame_inputs import FrameInputs, PortraitInputs


class Null(System):
    name = "null"

    def subject(self, portraits: list[PortraitInputs]) -> Subject:
        return NullSubject(portraits, self.options["delay_ms"] / 1000, self.options["fail_at"])


class NullSubject(Subject):
    def __init__(self, portraits: list[PortraitInputs], delay: float, fail_at: float) -> None:
        super().__init__(portraits)
        self._delay = delay
        self._fail_at = fail_at
        self._drawn = 0

    def draw(self, inputs: FrameInputs) -> np.ndarray:
        if self._drawn == self._fail_at:
            raise EngineError("null_fault", f"Asked to fail after {self._drawn} frames.", "Leave fail_at out.")
        self._drawn += 1
        time.sleep(self._delay)
        return self.portraits[0].rgb
