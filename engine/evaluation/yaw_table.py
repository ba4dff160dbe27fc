"""The telling figures by how far the head is turned in the truth: where a system gains, and where it fails."""

from __future__ import annotations

import numpy as np

from engine.evaluation import tables
from engine.evaluation.contestant import Contestant, Shots, by_metric, title, values
from engine.evaluation.differences import apart, bases, like

EDGES = (0.0, 20.0, 40.0, 90.0)  # degrees of yaw, to either side


class YawTable:
    """One row a metric and range of yaw; ``yaws`` are degrees by shot, each of one frame."""

    def __init__(self, contestants: list[Contestant], shots: Shots, yaws: dict[str, float]) -> None:
        self._contestants, self._shots, self.yaws = contestants, shots, yaws
        first = next((c.entrant.label for c in contestants if c.entrant is not None), None)
        self._base = [] if first is None else bases(contestants, first)

    def markdown(self) -> list[str]:
        heads = ["metric", "yaw of the truth", "n", *(contestant.label for contestant in self._contestants)]
        lines = [tables.row(heads), tables.rule(heads, 2)]
        for k, scores in enumerate(by_metric(self._contestants)):
            if scores[0].telling and any(score.by_shot() for score in scores):
                lines += [self._row(k, low, high) for low, high in zip(EDGES, EDGES[1:])]
        turned = np.array(list(self.yaws.values()))
        return [
            f"By head angle; the yaw of the truth goes from {turned.min():.0f}° to {turned.max():.0f}°.",
            "",
            *lines,
            "",
        ]

    def _row(self, metric: int, low: float, high: float) -> str:
        names = [shot for shot, yaw in self.yaws.items() if low <= abs(yaw) < high]
        figures = [values(c.scores[metric], {name: self._shots[name] for name in names}) for c in self._contestants]
        known = [row for row in figures if not np.isnan(row).all()]
        shots = {  # means of other shots would not compare
            name: self._shots[name] for k, name in enumerate(names) if not any(np.isnan(row[k]) for row in known)
        }
        cells = [self._cell(contestant, metric, shots) for contestant in self._contestants]
        name = title(self._contestants[0].scores[metric])
        return tables.row([name, f"{low:.0f}–{high:.0f}°", str(len(shots)), *cells])

    def _cell(self, contestant: Contestant, metric: int, shots: Shots) -> str:
        """The mean, and whether it is shown to be better or worse than the first system's."""
        score = contestant.scores[metric]
        figures = values(score, shots)
        if np.isnan(figures).all():
            return "–"
        verdict = ""
        if contestant.entrant is not None and contestant not in self._base:
            difference = apart(score, like(contestant, self._base).scores[metric], shots)
            verdict = difference.verdict if difference is not None else ""
        return f"{np.nanmean(figures):.{score.digits}f} {verdict}".strip()
