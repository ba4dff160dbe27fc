"""Figures as a Markdown table for people and as JSON for programs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from engine.evaluation.metrics import HIGHER, Metric
from engine.evaluation.pictures import CEILING, QUALITY

_CEILING = f"{CEILING.capitalize()}: JPEG, quality {QUALITY}; no system is expected beyond it."
_NO_CEILING = "There is no ceiling, since nobody knows what the take should look like: no truth to encode again."
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Scored:
    """The figures of one take beside those of a static copy of its portrait, and of the truth encoded again where there
    is a truth, all over the same ``frames``."""

    frames: int
    figures: Figures
    floor: Figures
    ceiling: Figures | None


@dataclass(frozen=True)
class Row:
    """What a take, or several, scored."""

    label: str
    system: str
    scored: Scored
    notes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "clip": self.label,
            "system": self.system,
            "frames": self.scored.frames,
            "figures": self.scored.figures,
            "static_copy": self.scored.floor,
            "truth_encoded_again": self.scored.ceiling,
            **self.notes,
        }


def median(rows: list[Row]) -> Row:
    """The median of every figure over all takes that have it; ``frames`` is the number of frames in all."""

    def middle(tables: list[Figures]) -> Figures:
        return {name: _median([table[name] for table in tables]) for name in tables[0]}

    found = [row.scored for row in rows]
    ceilings = [one.ceiling for one in found if one.ceiling is not None]
    scored = Scored(
        sum(one.frames for one in found),
        middle([one.figures for one in found]),
        middle([one.floor for one in found]),
        middle(ceilings) if ceilings else None,
    )
    return Row(f"median of {len(rows)}", rows[0].system, scored)


def markdown(rows: list[Row], metrics: list[Metric]) -> str:
    """One table: of every take a line of the system, of the static copy, and of the truth encoded again where there is
    one, and below it how; – where there is nothing to measure.

    ↑ marks figures that are better when higher, ↓ when lower.
    """
    shown = [metric for metric in metrics if metric.name in rows[0].scored.figures]
    heads = [
        f"{metric.name}{f' {metric.unit}' if metric.unit else ''} {'↑' if metric.better == HIGHER else '↓'}"
        for metric in shown
    ]
    lines = [_line(["clip", "frames", "what", *heads]), _line(["---", "--:", "---", *["--:"] * len(shown)])]
    for row in rows:
        found = row.scored
        for label, name, figures in (
            (row.label, row.system, found.figures),
            ("", "static copy", found.floor),
            ("", CEILING, found.ceiling),
        ):
            if figures is not None:
                cells = [_cell(figures[metric.name], metric.digits) for metric in shown]
                lines.append(_line([label, str(found.frames), name, *cells]))
    return "\n".join([*lines, "", _CEILING if rows[0].scored.ceiling is not None else _NO_CEILING])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None
