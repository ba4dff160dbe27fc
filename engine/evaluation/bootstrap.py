"""Intervals of means by the bootstrap (Efron 1979), paired: every contestant is resampled by the same draws."""

from __future__ import annotations

import numpy as np

from engine.training.studio.randomness import draws

DRAWS = 2000
LEAST = 5  # fewer independent values say nothing of their spread
_LOW, _HIGH = 2.5, 97.5


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean of independent ``values`` (N,), NaN where missing; the same every time.

    Two arrays of one length are resampled alike. None below five known values.
    """
    known = ~np.isnan(values)
    if known.sum() < LEAST:
        return None
    picks = draws(0, "bootstrap", len(values)).integers(0, len(values), (DRAWS, len(values)))
    counts = known[picks].sum(axis=1)
    means = np.nansum(values[picks], axis=1)[counts > 0] / counts[counts > 0]
    low, high = np.percentile(means, (_LOW, _HIGH))
    return float(low), float(high)


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, tuple[float, float] | None] | None:
    """Mean of a − b over the units that both have, and its interval; None where they have none in common."""
    apart = a - b
    return None if np.isnan(apart).all() else (float(np.nanmean(apart)), interval(apart))
