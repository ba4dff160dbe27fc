"""The key metrics by how far the head of the truth is turned."""

from __future__ import annotations

import numpy as np

from engine.evaluation.comparison import Column, Comparison
from engine.evaluation.metrics.base import MetricInfo
from engine.evaluation.tables import markdown
from engine.evaluation.tables.differences import base_for, columns_of, difference

EDGES = (0.0, 20.0, 40.0, 90.0)  # degrees of yaw, to either side


def by_yaw_markdown(comparison: Comparison) -> list[str]:
    """One row per key metric and range of yaw; empty for datasets without yaws."""
    yaws = {label: shot.yaw for label, shot in comparison.shots.items() if shot.yaw is not None}
    if not yaws or not comparison.systems:
        return []
    base = columns_of(comparison, comparison.systems[0].name)
    lines = markdown.head(["metric", "yaw of the truth", "n", *(column.label for column in comparison.columns)], 2)
    for metric in comparison.metrics:
        if metric.key and any(column.figures[metric.name].shots for column in comparison.columns):
            for low, high in zip(EDGES, EDGES[1:]):
                labels = [label for label, yaw in yaws.items() if low <= abs(yaw) < high]
                lines.append(_row(comparison.subset(labels), metric, base, f"{low:.0f}–{high:.0f}°"))
    span = f"{min(yaws.values()):.0f}° to {max(yaws.values()):.0f}°"
    return [f"By head angle; the yaw of the truth goes from {span}.", "", *lines, ""]


def _row(comparison: Comparison, metric: MetricInfo, base: list[Column], title: str) -> str:
    figures = [comparison.values(column, metric) for column in comparison.columns]
    known = [row for row in figures if not np.isnan(row).all()]
    shared = [  # all columns must be means over the same shots
        label for k, label in enumerate(comparison.shots) if not any(np.isnan(row[k]) for row in known)
    ]
    comparison = comparison.subset(shared)
    cells = [_cell(comparison, column, metric, base) for column in comparison.columns]
    return markdown.row([metric.title, title, str(len(shared)), *cells])


def _cell(comparison: Comparison, column: Column, metric: MetricInfo, base: list[Column]) -> str:
    """The mean, and whether it is better or worse than the first system's beyond doubt."""
    figures = comparison.values(column, metric)
    if np.isnan(figures).all():
        return "–"
    verdict = ""
    if column.system is not None and column not in base:
        found = difference(comparison, metric, column, base_for(column, base))
        verdict = found.verdict if found is not None else ""
    return f"{np.nanmean(figures):.{metric.digits}f} {verdict}".strip()
