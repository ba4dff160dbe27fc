"""Figures as a Markdown table for people and as JSON for programs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from engine.evaluation.metrics import HIGHER, Metric

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Row:
    """The figures of one take beside those of a static copy of its portrait, over the same ``frames``."""

    label: str
    system: str
    frames: int
    figures: Figures
    floor: Figures
    notes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "clip": self.label,
            "system": self.system,
            "frames": self.frames,
            "figures": self.figures,
            "static_copy": self.floor,
            **self.notes,
        }


def median(rows: list[Row]) -> Row:
    """The median of every figure over all takes that have it; ``frames`` is the number of frames in all."""

    def middle(tables: list[Figures]) -> Figures:
        return {name: _median([table[name] for table in tables]) for name in tables[0]}

    return Row(
        f"median of {len(rows)}",
        rows[0].system,
        sum(row.frames for row in rows),
        middle([row.figures for row in rows]),
        middle([row.floor for row in rows]),
    )


def markdown(rows: list[Row], metrics: list[Metric]) -> str:
    """One table: two lines a take, the system's and the static copy's; – where there is nothing to measure.

    ↑ marks figures that are better when higher, ↓ when lower.
    """
    shown = [metric for metric in metrics if metric.name in rows[0].figures]
    heads = [
        f"{metric.name}{f' {metric.unit}' if metric.unit else ''} {'↑' if metric.better == HIGHER else '↓'}"
        for metric in shown
    ]
    lines = [_line(["clip", "frames", "what", *heads]), _line(["---", "--:", "---", *["--:"] * len(shown)])]
    for row in rows:
        for label, frames, name, figures in (
            (row.label, str(row.frames), row.system, row.figures),
            ("", "", "static copy", row.floor),
        ):
            lines.append(_line([label, frames, name, *(_cell(figures[m.name], m.digits) for m in shown)]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None
