"""Shot by shot: the figures of every take side by side, their medians, who wins, and where someone is worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.evaluation import tables
from engine.evaluation.contestant import FLOOR, Contestant, by_metric, title, values
from engine.evaluation.metrics import HIGHER
from engine.evaluation.pictures import CEILING
from engine.evaluation.scores import Score

TOLERANCE = 0.05  # of the first system's figure: what is worse by more is an exception


@dataclass(frozen=True)
class _Column:
    """One metric: ``figures`` (contestants, shots), NaN where there is none; the systems are rows ``first`` to
    ``last``, exclusive."""

    score: Score
    figures: np.ndarray
    first: int
    last: int

    def gain(self) -> np.ndarray:
        """How much better than the first each figure is, as a share of the first's; NaN where the first has 0."""
        base = self.figures[self.first]
        sign = 1 if self.score.better == HIGHER else -1
        return sign * (self.figures - base) / np.where(base == 0, np.nan, np.abs(base))

    def fewer(self) -> str:
        """How many shots the systems' medians are of, where that is not all of them."""
        known = ~np.isnan(self.figures[self.first : self.last])
        counts = sorted(set(known.sum(1).tolist()))
        return "" if counts == [known.shape[1]] else f" ({'–'.join(map(str, counts))})"

    def cell(self, figures: np.ndarray) -> str:
        """The contestants' figures, one after the other, the systems' best in bold."""
        systems = figures[self.first : self.last]
        best = np.nan
        if not np.isnan(systems).all():
            best = np.nanmax(systems) if self.score.better == HIGHER else np.nanmin(systems)
        texts = ["–" if np.isnan(figure) else f"{figure:.{self.score.digits}f}" for figure in figures]
        return " / ".join(
            f"**{text}**" if len(systems) > 1 and self.first <= k < self.last and figure == best else text
            for k, (figure, text) in enumerate(zip(figures, texts))
        )


class ShotTable:
    """Of the few telling figures; the floor comes first in every cell, then the systems, all driven as in use, and the
    ceiling last where there is one. ``lengths``: of every shot, in frames."""

    def __init__(self, contestants: list[Contestant], lengths: dict[str, int]) -> None:
        self._shots, self._lengths = list(lengths), lengths
        floor = [c for c in contestants if c.label == FLOOR]
        ceiling = [c for c in contestants if c.label == CEILING]
        self._systems = [c for c in contestants if c.entrant is not None and not c.exact]
        shown = [*floor, *self._systems, *ceiling]
        self._labels = [c.label for c in shown]
        first, last = len(floor), len(floor) + len(self._systems)
        self._columns = [
            _Column(scores[0], np.stack([values(score, self._shots) for score in scores]), first, last)
            for scores in by_metric(shown)
            if scores[0].telling and any(score.by_shot() for score in scores)
        ]

    def markdown(self) -> list[str]:
        """Empty where there is nothing to tell."""
        if not self._columns or not self._systems:
            return []
        heads = ["shot", "n", *(title(column.score) for column in self._columns)]
        lines = [f"Shot by shot: {' / '.join(self._labels)}.", "", tables.row(heads), tables.rule(heads, 1)]
        for k, shot in enumerate(self._shots):
            cells = [shot, str(self._lengths[shot])]
            lines.append(tables.row([*cells, *(column.cell(column.figures[:, k]) for column in self._columns)]))
        medians = [column.cell(_medians(column.figures)) + column.fewer() for column in self._columns]
        lines.append(tables.row([f"median of {len(self._shots)}", str(sum(self._lengths.values())), *medians]))
        for k, other in enumerate(self._systems[1:], 1):
            gains = [column.gain()[column.first + k] for column in self._columns]
            over = f"{other.label} better than {self._systems[0].label}"
            lines.append(tables.row([f"{over} in", "", *map(_wins, gains)]))
            lines.append(tables.row([f"{over} by, median", "", *map(_typical, gains)]))
        return [*lines, "", *self._remarks(), ""]

    def to_json(self) -> dict[str, Any]:
        return {
            "frames": self._lengths,
            "medians": {
                column.score.name: {
                    label: None if np.isnan(figure) else float(figure)
                    for label, figure in zip(self._labels, _medians(column.figures))
                }
                for column in self._columns
            },
            "median_gains": {
                column.score.name: {
                    other.label: None if np.isnan(gain).all() else float(np.nanmedian(gain))
                    for other, gain in zip(self._systems[1:], column.gain()[column.first + 1 :])
                }
                for column in self._columns
            },
            "exceptions": [
                {"system": system, "shot": shot, "metric": name, "from": a, "to": b, "worse_by": worse}
                for system, shot, name, a, b, worse in self._exceptions()
            ],
        }

    def _exceptions(self) -> list[tuple[str, str, str, float, float, float]]:
        """(system, shot, metric, the first's figure, its own, how much worse as a share), the worst first."""
        found = []
        for column in self._columns:
            gain = column.gain()
            for k, other in enumerate(self._systems[1:], 1):
                for n in np.nonzero(gain[column.first + k] < -TOLERANCE)[0]:
                    a, b = (float(column.figures[column.first + j, n]) for j in (0, k))
                    worse = float(-gain[column.first + k, n])
                    found.append((other.label, self._shots[n], column.score.name, a, b, worse))
        return sorted(found, key=lambda exception: -exception[-1])

    def _remarks(self) -> list[str]:
        if len(self._systems) < 2:
            return []
        found = self._exceptions()
        digits = {column.score.name: column.score.digits for column in self._columns}
        first = self._systems[0].label
        if not found:
            return [f"Nowhere is a system worse than {first} by more than {TOLERANCE:.0%}."]
        return [
            f"Worse than {first} by more than {TOLERANCE:.0%}:",
            "",
            *(
                f"- {system}, {shot}: {name} {a:.{digits[name]}f} → {b:.{digits[name]}f}, {worse:.0%} worse"
                for system, shot, name, a, b, worse in found
            ),
        ]


def _medians(figures: np.ndarray) -> np.ndarray:
    """(contestants,) over the shots that have the figure."""
    return np.array([np.nan if np.isnan(row).all() else np.nanmedian(row) for row in figures])


def _wins(gain: np.ndarray) -> str:
    known = gain[~np.isnan(gain)]
    return f"{(known > 0).sum()} of {len(known)}"


def _typical(gain: np.ndarray) -> str:
    """The median of the gains themselves: medians of two systems may come from two different shots."""
    known = gain[~np.isnan(gain)]
    return f"{np.median(known):+.1%}" if len(known) else "–"
