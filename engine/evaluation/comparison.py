"""The figures of one dataset: what the runner measures, what tables print, and what is kept as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from engine.evaluation.metrics.base import Metric, MetricInfo

FLOOR, CEILING = "copy of the source", "truth encoded again"


@dataclass(frozen=True)
class Figure:
    """``value`` over all shots and frames, None without any; ``shots``: the figure of each shot, for metrics that are
    means over shots; ``n`` frames were measured."""

    value: float | None
    n: int
    shots: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(cls, metric: Metric) -> Figure:
        return cls(metric.value(), metric.count(), metric.by_shot(), metric.note())


@dataclass(frozen=True)
class Column:
    """The figures of one system by metric name, or of floor or ceiling, whose ``system`` is None. ``true_motion``: the
    system was driven by exact labels instead of a fit."""

    name: str
    system: str | None
    figures: dict[str, Figure]
    true_motion: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    identity: str | None = None

    @property
    def label(self) -> str:
        return f"{self.name}, true motion" if self.true_motion else self.name


@dataclass(frozen=True)
class ShotInfo:
    """``yaw`` in degrees of the truth, where the shot is one frame and its label is known."""

    person: str
    frames: int
    yaw: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All columns on one dataset. ``remarks`` are sentences to print under the table; ``missing`` says why a metric is
    not available."""

    dataset: str
    direction: str
    takes: bool
    shots: dict[str, ShotInfo]
    metrics: list[MetricInfo]
    columns: list[Column]
    remarks: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def systems(self) -> list[Column]:
        return [column for column in self.columns if column.system is not None]

    @property
    def ceiling(self) -> bool:
        return any(column.name == CEILING for column in self.columns)

    @property
    def measured(self) -> list[MetricInfo]:
        """The metrics that have a figure in some column."""
        return [m for m in self.metrics if any(c.figures[m.name].value is not None for c in self.columns)]

    @property
    def people(self) -> list[str]:
        """The person of every shot."""
        return [shot.person for shot in self.shots.values()]

    def values(self, column: Column, metric: MetricInfo) -> np.ndarray:
        """(shots,) NaN where there is no figure."""
        known = column.figures[metric.name].shots
        return np.array([known.get(shot, np.nan) for shot in self.shots], float)

    def subset(self, labels: list[str]) -> Comparison:
        """The same with some of the shots; the figures over all shots stay."""
        return replace(self, shots={label: self.shots[label] for label in labels})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Comparison:
        """Raises KeyError or TypeError for a record of another version."""
        columns = [
            Column(**{**column, "figures": {name: Figure(**figure) for name, figure in column["figures"].items()}})
            for column in record["columns"]
        ]
        shots = {label: ShotInfo(**shot) for label, shot in record["shots"].items()}
        metrics = [MetricInfo(**metric) for metric in record["metrics"]]
        return cls(**{**record, "columns": columns, "shots": shots, "metrics": metrics})
