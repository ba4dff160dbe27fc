"""Shot by shot: the key metrics side by side, medians, wins, and every shot in which a system is worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.evaluation.comparison import CEILING, FLOOR, Comparison
from engine.evaluation.metrics.base import HIGHER, MetricInfo
from engine.evaluation.tables import markdown

TOLERANCE = 0.05  # of the first system's figure: a loss beyond it is listed


@dataclass(frozen=True)
class Loss:
    """A shot in which ``system`` is worse than the first system, by the share ``worse_by`` of the first's figure."""

    system: str
    shot: str
    metric: MetricInfo
    first: float
    own: float
    worse_by: float

    def text(self) -> str:
        digits = self.metric.digits
        change = f"{self.first:.{digits}f} → {self.own:.{digits}f}, {self.worse_by:.0%} worse"
        return f"{self.system}, {self.shot}: {self.metric.name} {change}"


@dataclass(frozen=True)
class _Key:
    """One metric: ``figures`` (columns, shots), NaN where there is none; systems are rows ``first`` to ``last``."""

    metric: MetricInfo
    figures: np.ndarray
    first: int
    last: int

    def gains(self) -> np.ndarray:
        """(systems, shots) how much better than the first system, as a share of its figure; NaN where that is 0."""
        base = self.figures[self.first]
        sign = 1 if self.metric.better == HIGHER else -1
        return (sign * (self.figures - base) / np.where(base == 0, np.nan, np.abs(base)))[self.first : self.last]

    def fewer(self) -> str:
        """How many shots the systems' medians cover, where that is not all of them."""
        known = ~np.isnan(self.figures[self.first : self.last])
        counts = sorted(set(known.sum(1).tolist()))
        return "" if counts == [known.shape[1]] else f" ({'–'.join(map(str, counts))})"

    def cell(self, figures: np.ndarray) -> str:
        """One figure per column, the best system in bold."""
        systems = figures[self.first : self.last]
        best = np.nan
        if not np.isnan(systems).all():
            best = np.nanmax(systems) if self.metric.better == HIGHER else np.nanmin(systems)
        texts = [markdown.number(figure, self.metric.digits) for figure in figures]
        return " / ".join(
            f"**{text}**" if len(systems) > 1 and self.first <= k < self.last and figure == best else text
            for k, (figure, text) in enumerate(zip(figures, texts))
        )


def by_shot_markdown(comparison: Comparison) -> list[str]:
    """Floor, systems driven as in use, and ceiling, in this order in every cell. Empty for datasets of single frames
    and where nothing was measured."""
    labels, keys = _keys(comparison)
    if not comparison.takes or not keys:
        return []
    lines = [f"Shot by shot: {' / '.join(labels)}.", ""]
    lines += markdown.head(["shot", "n", *(key.metric.title for key in keys)])
    for k, (label, shot) in enumerate(comparison.shots.items()):
        lines.append(markdown.row([label, str(shot.frames), *(key.cell(key.figures[:, k]) for key in keys)]))
    medians = [key.cell(_medians(key.figures)) + key.fewer() for key in keys]
    frames = sum(shot.frames for shot in comparison.shots.values())
    lines.append(markdown.row([f"median of {len(comparison.shots)}", str(frames), *medians]))
    systems = labels[keys[0].first : keys[0].last]
    for k, name in enumerate(systems[1:], 1):
        gains = [key.gains()[k] for key in keys]
        lines.append(markdown.row([f"{name} better than {systems[0]} in", "", *map(_wins, gains)]))
        lines.append(markdown.row([f"{name} better than {systems[0]} by, median", "", *map(_typical, gains)]))
    lines.append("")
    if len(systems) > 1:
        found = [f"- {loss.text()}" for loss in losses(comparison)]
        limit = f"by more than {TOLERANCE:.0%}"
        lines += [f"Worse than {systems[0]} {limit}:", "", *found, ""] if found else []
        lines += [] if found else [f"No system is worse than {systems[0]} in any shot {limit}.", ""]
    return lines


def losses(comparison: Comparison) -> list[Loss]:
    """Where a system is worse than the first by more than TOLERANCE in a key metric of a shot, the worst first."""
    labels, keys = _keys(comparison)
    found = []
    for key in keys:
        for k, gains in enumerate(key.gains()):
            name = labels[key.first + k]
            for n in np.nonzero(gains < -TOLERANCE)[0]:
                first, own = float(key.figures[key.first, n]), float(key.figures[key.first + k, n])
                found.append(Loss(name, list(comparison.shots)[n], key.metric, first, own, float(-gains[n])))
    return sorted(found, key=lambda loss: -loss.worse_by)


def _keys(comparison: Comparison) -> tuple[list[str], list[_Key]]:
    """Labels of the columns that are shown, and the key metrics that have figures."""
    ends = [[column for column in comparison.columns if column.name == name] for name in (FLOOR, CEILING)]
    systems = [column for column in comparison.systems if not column.true_motion]
    shown = [*ends[0], *systems, *ends[1]]
    first, last = len(ends[0]), len(ends[0]) + len(systems)
    keys = [
        _Key(metric, np.stack([comparison.values(column, metric) for column in shown]), first, last)
        for metric in comparison.metrics
        if systems and metric.key and any(column.figures[metric.name].shots for column in shown)
    ]
    return [column.label for column in shown], keys


def _medians(figures: np.ndarray) -> np.ndarray:
    """(columns,) over the shots that have the figure."""
    return np.array([np.nan if np.isnan(row).all() else np.nanmedian(row) for row in figures])


def _wins(gains: np.ndarray) -> str:
    known = gains[~np.isnan(gains)]
    return f"{(known > 0).sum()} of {len(known)}"


def _typical(gains: np.ndarray) -> str:
    """The median of the gains, since the medians of two systems may come from two different shots."""
    known = gains[~np.isnan(gains)]
    return f"{np.median(known):+.1%}" if len(known) else "–"
