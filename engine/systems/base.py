"""The one interface of every reenactment system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import catalog
from engine.face.portrait import Portrait

if TYPE_CHECKING:
    from engine.geometry.frame_inputs import FrameInputs, PortraitInputs
    from engine.motion.motion import MotionFrame

__all__ = ["Portrait", "Subject", "System", "WarpedSubject"]


class Subject(ABC):
    """One person, prepared once from one or several portraits; the frames have the size of the first."""

    networks: str = ""
    """For people: what its networks run on, if it has any."""

    window: int = 0
    """Frames of motion that it sees on both sides of the one it draws; from the catalog."""

    def __init__(self, portraits: list[PortraitInputs]) -> None:
        self.portraits = portraits

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame."""
        return self.portraits[0].size

    def inputs(
        self,
        motion: MotionFrame | None = None,
        window: Sequence[MotionFrame] = (),
        driver_image: np.ndarray | None = None,
    ) -> FrameInputs:
        """What :meth:`draw` is told of a frame, see :class:`engine.geometry.frame_inputs.FrameInputs`."""
        from engine.geometry.frame_inputs import FrameInputs

        return FrameInputs(self.portraits[0], motion, window, driver_image)

    @abstractmethod
    def draw(self, inputs: FrameInputs) -> np.ndarray:
        """One frame, (H, W, 3) uint8 sRGB."""

    def close(self) -> None:
        """Release memory; the subject is unusable afterwards."""


class WarpedSubject(Subject):
    """The portrait moved by geometry alone."""

    def draw(self, inputs: FrameInputs) -> np.ndarray:
        return inputs["frame"]


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
    def info(self) -> catalog.SystemInfo:
        """Its entry in the catalog."""
        return catalog.SYSTEMS_BY_NAME[self.name]

    @property
    def driven(self) -> bool:
        """Whether it follows a motion at all."""
        return self.info.driven

    @property
    def side(self) -> int:
        """Width of the square pictures that it reads, pixels."""
        return 256

    def prepare(self, portraits: list[Portrait]) -> Subject:
        """Everything that depends on the portraits only; may be slow. It draws from as many of them as the catalog
        says; further ones have sharpened the identity when they were fitted."""
        from engine.geometry.frame_inputs import PortraitInputs

        used = portraits[: self.info.portraits]
        inputs = [PortraitInputs(portrait, self.info.needs, self.side) for portrait in used]
        inputs[0].prepare()
        subject = self.subject(inputs)
        subject.window = self.info.window
        return subject

    @abstractmethod
    def subject(self, portraits: list[PortraitInputs]) -> Subject:
        """What draws these ``portraits``."""
