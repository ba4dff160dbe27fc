"""Differences of columns from one of them, shot by shot, with their intervals and a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import EngineError
from engine.evaluation.comparison import FLOOR, Column, Comparison
from engine.evaluation.metrics.base import HIGHER, MetricInfo
from engine.evaluation.tables import bootstrap, markdown

BETTER, WORSE, EQUAL = "better", "worse", "equal"


@dataclass(frozen=True)
class Difference:
    """Mean of a metric minus the base's, over the shots that both have, with its 95 % interval (None with too few
    people)."""

    metric: MetricInfo
    mean: float
    interval: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """BETTER or WORSE where the interval excludes 0, EQUAL where it is 0, else empty."""
        if self.interval is None:
            return ""
        if self.interval == (0, 0):
            return EQUAL
        if self.interval[0] <= 0 <= self.interval[1]:
            return ""
        return BETTER if (self.mean > 0) == (self.metric.better == HIGHER) else WORSE

    def text(self) -> str:
        digits = self.metric.digits
        text = f"{self.mean:+.{digits}f}"
        if self.interval is not None:
            text += f" [{self.interval[0]:+.{digits}f}, {self.interval[1]:+.{digits}f}]"
        return f"{text} {self.verdict}".strip()


def difference(comparison: Comparison, metric: MetricInfo, column: Column, base: Column) -> Difference | None:
    """None where the two have no shot in common."""
    found = bootstrap.difference(comparison.values(column, metric), comparison.values(base, metric), comparison.people)
    return None if found is None else Difference(metric, *found)


def base_for(column: Column, base: list[Column]) -> Column:
    """Of the columns of one system, the one that is driven like ``column``; the first where there is none."""
    return next((other for other in base if other.true_motion == column.true_motion), base[0])


def columns_of(comparison: Comparison, name: str) -> list[Column]:
    """The columns of the system with that label; ``copy`` is the floor. Raises EngineError ``arguments``."""
    name = FLOOR if name == "copy" else name
    found = [column for column in comparison.columns if column.name == name]
    if not found:
        known = ["copy", *dict.fromkeys(column.name for column in comparison.systems)]
        raise EngineError("arguments", f"{name!r} is not compared here.", f"Choose from: {', '.join(known)}.")
    return found


def differences_markdown(comparison: Comparison, names: list[str] | None) -> list[str]:
    """A table from each of ``names``, by default the copy and the first system. Raises EngineError ``arguments`` for an
    unknown name."""
    if names is None:
        names = ["copy", *(column.name for column in comparison.systems[:1])]
    return [line for name in dict.fromkeys(names) for line in _table(comparison, columns_of(comparison, name))]


def _table(comparison: Comparison, base: list[Column]) -> list[str]:
    others = [column for column in comparison.systems if column not in base]
    rows = []
    for metric in comparison.metrics:
        found = [difference(comparison, metric, other, base_for(other, base)) for other in others]
        if any(one is not None for one in found):
            rows.append((metric, found))
    if not rows:
        return []
    lines = markdown.head([f"difference from {base[0].label}", *(other.label for other in others)])
    for metric, found in rows:
        lines.append(markdown.row([metric.title, *("–" if one is None else one.text() for one in found)]))
    verdicts = [_verdict(other, base[0], [found[k] for _, found in rows]) for k, other in enumerate(others)]
    verdicts = [f"- {verdict}" for verdict in verdicts if verdict]
    return [*lines, "", *verdicts, *([""] if verdicts else [])]


def _verdict(column: Column, base: Column, found: list[Difference | None]) -> str:
    """One sentence, empty where no interval is known."""
    known = [one for one in found if one is not None and one.interval is not None]
    parts = []
    for word, verdict in ((BETTER, BETTER), (WORSE, WORSE), (EQUAL, EQUAL), ("undecided", "")):
        names = [one.metric.name + (" †" if one.metric.flattered else "") for one in known if one.verdict == verdict]
        if names:
            parts.append(f"{word} in {len(names)} ({', '.join(names)})")
    return f"{column.label} against {base.label}: {'; '.join(parts)}." if parts else ""


def interval(comparison: Comparison, column: Column, metric: MetricInfo) -> tuple[float, float] | None:
    """95 % interval of the mean of a column; None for metrics that are not means over shots."""
    values = comparison.values(column, metric)
    return None if np.isnan(values).all() else bootstrap.interval(values, comparison.people)
