"""Early warnings: a run that has gone wrong says so long before its end."""

from __future__ import annotations

import math
from collections import deque

from torch import Tensor

from engine.errors import EngineError
from engine.training.task import DISCRIMINATOR

_ALIKE = 1e-3  # spread over a batch, as a share of the output's size, below which all samples are alike
_VICTORY = 0.05  # of the discriminator's first losses: below it, it knows everything and teaches nothing
_PATIENCE = 10  # log intervals in a row before a victory is called
_FIRST = 3  # log intervals that make the discriminator's first losses


def finite(step: int, values: dict[str, float], good: str | None) -> None:
    """Raises EngineError ``diverged``, naming the first value that is no number and the checkpoint to go back to."""
    for name, value in values.items():
        if not math.isfinite(value):
            back = f"{good} is the last good checkpoint" if good else "There is no checkpoint yet"
            raise EngineError(
                "diverged", f"At step {step} {name} is {value}.",
                f"{back}: resume with a lower learning rate, a smaller clip, or precision fp32."
            )  # fmt: skip


def collapsed(outputs: dict[str, Tensor]) -> list[str]:
    """A line for each output that is the same for every sample of the batch (two or more)."""
    lines = []
    for name, output in outputs.items():
        flat = output.detach().float().flatten(1)
        spread, size = float(flat.std(0, correction=0).mean()), float(flat.square().mean().sqrt())
        if len(flat) > 1 and spread <= _ALIKE * size:
            lines.append(f"collapse: {name} is alike for all samples (spread {spread:.2g}, size {size:.2g})")
    return lines


class Victory:
    """Watches the discriminator's loss from one log interval to the next."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._recent: deque[bool] = deque(maxlen=_PATIENCE)

    def __call__(self, totals: dict[str, float]) -> list[str]:
        """``totals``: the mean loss of each group. A line once the discriminator has won for long."""
        if DISCRIMINATOR not in totals:
            return []
        total = totals[DISCRIMINATOR]
        if len(self._first) < _FIRST:
            self._first.append(total)
            return []
        self._recent.append(total < _VICTORY * sum(self._first) / _FIRST)
        if len(self._recent) < _PATIENCE or not all(self._recent):
            return []
        self._recent.clear()
        return [f"discriminator victory: its loss has stayed under {_VICTORY:.0%} of what it was; lower its rate"]
