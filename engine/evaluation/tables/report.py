"""One comparison as Markdown: all metrics, differences, shots, head angles, and what the reader must know."""

from __future__ import annotations

from engine.evaluation.comparison import CEILING, Column, Comparison
from engine.evaluation.metrics.base import MetricInfo
from engine.evaluation.picture import JPEG_QUALITY
from engine.evaluation.tables import bootstrap, markdown
from engine.evaluation.tables.by_shot import by_shot_markdown
from engine.evaluation.tables.by_yaw import by_yaw_markdown
from engine.evaluation.tables.differences import differences_markdown, interval


def report(comparison: Comparison, against: list[str] | None = None) -> str:
    """``against``: labels from which differences are taken, None for the copy and the first system."""
    lines = [title(comparison), ""]
    lines += markdown.head(["metric", "in place of", "n", *(column.label for column in comparison.columns)], 2)
    for metric in comparison.measured:
        cells = [_cell(comparison, column, metric) for column in comparison.columns]
        lines.append(markdown.row([metric.title, metric.replaces or "", frames(comparison, metric), *cells]))
    lines += ["", *differences_markdown(comparison, against)]
    lines += [*by_shot_markdown(comparison), *by_yaw_markdown(comparison)]
    lines.append(
        "n: frames measured. Means of frames, then of shots; in brackets the 95 % interval (paired bootstrap that "
        f"draws people, each with all their shots; {bootstrap.DRAWS} draws, from {bootstrap.LEAST} people on)."
    )
    if comparison.ceiling:
        lines.append(f"{CEILING.capitalize()}: JPEG, quality {JPEG_QUALITY}.")
    lines += comparison.remarks
    notes = dict.fromkeys(figure.note for column in comparison.columns for figure in column.figures.values())
    lines += [f"{note}." for note in notes if note]
    if any(metric.flattered for metric in comparison.measured):
        lines.append("†: scored by the detector that drove the systems.")
    return "\n".join([*lines, *_not_measured(comparison)])


def title(comparison: Comparison) -> str:
    count, people = markdown.counted(len(comparison.shots), "shot"), len(set(comparison.people))
    shown = f"{count} of {'one person' if people == 1 else f'{people} people'}"
    return f"### {comparison.dataset}, {comparison.direction}: {shown}"


def frames(comparison: Comparison, metric: MetricInfo) -> str:
    """How many frames were measured, as a range where columns differ."""
    counts = sorted({column.figures[metric.name].n for column in comparison.columns})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def _cell(comparison: Comparison, column: Column, metric: MetricInfo) -> str:
    value, digits = column.figures[metric.name].value, metric.digits
    spread = interval(comparison, column, metric)
    text = markdown.number(value, digits)
    return text if spread is None else f"{text} [{spread[0]:.{digits}f}, {spread[1]:.{digits}f}]"


def _not_measured(comparison: Comparison) -> list[str]:
    lines = []
    measured = {metric.name for metric in comparison.measured}
    nothing = [metric.name for metric in comparison.metrics if metric.name not in measured]
    if nothing:
        lines.append(f"Nothing to measure here: {', '.join(nothing)}.")
    reasons: dict[str, list[str]] = {}
    for name, why in comparison.missing.items():
        reasons.setdefault(why, []).append(f"`{name}`")
    if reasons:
        lines += ["", "Not available:", "", *(f"- {', '.join(names)}: {why}" for why, names in reasons.items())]
    return lines
