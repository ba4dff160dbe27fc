"""What every metric is: fed frame by frame, asked for a figure at the end.

A metric has a paper's name only where it is that paper's definition with that paper's network; all others have names of
their own and say what they replace. The ``source`` is the portrait, the ``truth`` what the output should look like; the
same extractors look at both and at the output. :mod:`engine.evaluation.metrics.suite` lists all metrics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from engine.evaluation.picture import Picture, ShotFrame

LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class MetricInfo:
    """``better`` is LOWER or HIGHER. ``replaces`` is the paper's metric that this one stands in for.

    ``by_landmarks``: it depends on landmarks found in the output; ``flattered``: by the detector that also drove.
    ``key``: one of the few shown shot by shot and by head angle. ``weights``: the file of its network, if a user gave
    one.
    """

    name: str
    unit: str = ""
    better: str = LOWER
    digits: int = 3
    key: bool = False
    replaces: str | None = None
    by_landmarks: bool = False
    flattered: bool = False
    weights: str | None = None

    @property
    def title(self) -> str:
        """Name, unit and arrow; a dagger where the detector that drove the systems also scores them."""
        arrow = "↑" if self.better == HIGHER else "↓"
        return " ".join(part for part in (self.name, self.unit, arrow, "†" if self.flattered else "") if part)


class Metric(ABC):
    def __init__(self, info: MetricInfo) -> None:
        self.info = info

    @abstractmethod
    def update(self, output: Picture, frame: ShotFrame) -> None:
        """Add one output. Frames of a shot come in order, shots of one person together."""

    @abstractmethod
    def value(self) -> float | None:
        """The figure over all outputs so far, None when nothing could be measured."""

    @abstractmethod
    def count(self) -> int:
        """How many frames were measured."""

    def by_shot(self) -> dict[str, float]:
        """The figure of every shot; empty for metrics that are not means over shots."""
        return {}

    def note(self) -> str:
        """What must be printed beside the figure; often nothing."""
        return ""


class MeanMetric(Metric):
    """One figure per frame, averaged over the frames of a shot, then over the shots."""

    def __init__(self, info: MetricInfo) -> None:
        super().__init__(info)
        self._values: dict[str, list[float]] = {}

    @abstractmethod
    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        """The figure of one frame, None where it is undefined."""

    def update(self, output: Picture, frame: ShotFrame) -> None:
        figure = self.measure(output, frame)
        if figure is not None:
            self._values.setdefault(frame.shot, []).append(figure)

    def by_shot(self) -> dict[str, float]:
        return {shot: float(np.mean(values)) for shot, values in self._values.items()}

    def value(self) -> float | None:
        shots = self.by_shot()
        return float(np.mean(list(shots.values()))) if shots else None

    def count(self) -> int:
        return sum(len(values) for values in self._values.values())
