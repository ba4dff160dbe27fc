"""95 % intervals of means by the bootstrap (Efron 1979), paired: every column is resampled by the same draws. It draws
people, each with all their shots, since shots of one person are not independent (cluster bootstrap, Davison and
Hinkley 1997)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.training.studio.randomness import draws

DRAWS = 2000
LEAST = 5  # people; fewer give no usable interval
_LOW, _HIGH = 2.5, 97.5


def interval(values: np.ndarray, people: Sequence[str]) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean of ``values`` (N,), NaN where missing; deterministic. ``people``
    names the person of each shot.

    Arrays of the same shots are resampled alike. None where fewer than five people have known values.
    """
    places = {person: k for k, person in enumerate(dict.fromkeys(people))}
    shown, known = [places[person] for person in people], ~np.isnan(values)
    counts = np.bincount(shown, known, len(places))
    if (counts > 0).sum() < LEAST:
        return None
    sums = np.bincount(shown, np.where(known, values, 0), len(places))
    picks = draws(0, "bootstrap", len(places)).integers(0, len(places), (DRAWS, len(places)))
    drawn = counts[picks].sum(axis=1)
    means = sums[picks].sum(axis=1)[drawn > 0] / drawn[drawn > 0]
    low, high = np.percentile(means, (_LOW, _HIGH))
    return float(low), float(high)


def difference(a: np.ndarray, b: np.ndarray, people: Sequence[str]) -> tuple[float, tuple[float, float] | None] | None:
    """Mean of a − b over the shots that both have, and its interval; None where they have none in common."""
    apart = a - b
    return None if np.isnan(apart).all() else (float(np.nanmean(apart)), interval(apart, people))
