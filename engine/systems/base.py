"""The one interface behind which every reenactment system stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import catalog

if TYPE_CHECKING:
    from engine.face.subject import FaceFit
    from engine.motion.motion import MotionFrame


@dataclass(frozen=True)
class Portrait:
    """A reference image: ``rgb`` (H, W, 3) uint8 sRGB, the file it came from, and the fitted face.

    ``face`` is None only for systems that are not ``driven``.
    """

    path: Path
    rgb: np.ndarray
    face: FaceFit | None = None


class Subject(ABC):
    """One person, prepared once from one to K portraits; ``size`` (width, height) is that of every drawn frame.
    ``networks`` says for people what its networks really run on, if it has any."""

    size: tuple[int, int]
    networks: str = ""

    @abstractmethod
    def draw(self, motion: MotionFrame | None) -> np.ndarray:
        """One frame, (H, W, 3) uint8 sRGB, of the already retargeted ``motion`` (None when none is needed)."""

    def close(self) -> None:
        """Release memory; the subject is unusable afterwards."""


class System(ABC):
    """A reenactment system; :mod:`engine.catalog` describes it under its ``name``.

    ``weights`` are the files of its networks, on which its frames depend. ``options`` hold every option of the catalog
    with a checked value.
    """

    name: str
    weights: tuple[Path, ...] = ()

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    @property
    def driven(self) -> bool:
        """Whether it follows a motion at all."""
        return catalog.SYSTEMS_BY_NAME[self.name].driven

    @abstractmethod
    def prepare(self, portraits: list[Portrait]) -> Subject:
        """Everything that depends on the portraits only; may be slow."""
