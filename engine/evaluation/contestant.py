"""A column of a comparison, and what every table needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from engine.evaluation import bootstrap
from engine.evaluation.entrants import Entrant
from engine.evaluation.metrics import HIGHER
from engine.evaluation.scores import Score

FLOOR = "copy of the source"

Shots = Mapping[str, str]  # whose face each shot shows, by its label, in order


@dataclass(frozen=True)
class Contestant:
    """An entrant (``exact``: driven by true coefficients), or floor and ceiling, whose ``entrant`` is None."""

    label: str
    entrant: Entrant | None
    exact: bool
    scores: list[Score]


def by_metric(contestants: list[Contestant]) -> Iterator[tuple[Score, ...]]:
    """The scores of all contestants, metric by metric; all have the same ones."""
    return zip(*(contestant.scores for contestant in contestants), strict=True)


def values(score: Score, shots: Iterable[str]) -> np.ndarray:
    """(shots,) the figure of each, NaN where there is none."""
    known = score.by_shot()
    return np.array([known.get(shot, np.nan) for shot in shots])


def interval(score: Score, shots: Shots) -> tuple[float, float] | None:
    return bootstrap.interval(values(score, shots), list(shots.values())) if score.by_shot() else None


def title(score: Score) -> str:
    """Its name, unit and arrow; a dagger where the landmarker that drove the systems scores them."""
    arrow = "↑" if score.better == HIGHER else "↓"
    return " ".join(part for part in (score.name, score.unit, arrow, "†" if score.flattered else "") if part)
