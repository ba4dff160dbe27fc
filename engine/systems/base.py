"""The one interface behind which every reenactment system stands (docs/architecture.md, "What system means")."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from engine.motion.performance import MotionFrame, Performance


@dataclass(frozen=True)
class Portrait:
    """A reference image: ``rgb`` (H, W, 3) uint8 sRGB, and the file it came from, for messages."""

    path: Path
    rgb: np.ndarray


class Subject(ABC):
    """One person, prepared once from one to K portraits; ``size`` (width, height) is that of every drawn frame."""

    size: tuple[int, int]

    @abstractmethod
    def draw(self, motion: MotionFrame | None) -> np.ndarray:
        """One frame, (H, W, 3) uint8 sRGB. ``motion`` is None for systems that need no performance."""


class System(ABC):
    """A reenactment system. ``options`` are the job's, already JSON; unknown ones raise EngineError."""

    name: str
    needs_performance: bool = True

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    @abstractmethod
    def prepare(self, portraits: list[Portrait], performance: Performance | None) -> Subject:
        """Everything that depends on the portraits only (and on the retargeting of this performance); may be slow."""
