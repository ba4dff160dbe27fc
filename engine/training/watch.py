"""Early warnings of failed training: values that are not finite, collapse, a discriminator that has won."""

from __future__ import annotations

import math
from collections import deque

from torch import Tensor

from engine.errors import EngineError
from engine.training.task import DISCRIMINATOR

_ALIKE = 1e-3  # deviation over a batch relative to the output's RMS, below which all samples are alike
_VICTORY = 0.05  # share of the discriminator's first losses, below which it teaches the generator nothing
_PATIENCE = 10  # log intervals in a row before the warning
_FIRST = 3  # log intervals that make the discriminator's first losses


def finite(step: int, values: dict[str, float], good: str | None) -> None:
    """Raises EngineError ``diverged`` for the first value that is not finite, naming the checkpoint to go back to."""
    for name, value in values.items():
        if not math.isfinite(value):
            back = f"{good} is the last good checkpoint" if good else "There is no checkpoint yet"
            raise EngineError(
                "diverged", f"At step {step} {name} is {value}.",
                f"{back}: resume with a lower learning rate, a smaller clip, or precision fp32."
            )  # fmt: skip


def collapsed(outputs: dict[str, Tensor]) -> list[str]:
    """A warning for each output that is the same for all samples of a batch of two or more."""
    lines = []
    for name, output in outputs.items():
        flat = output.detach().float().flatten(1)
        spread, size = float(flat.std(0, correction=0).mean()), float(flat.square().mean().sqrt())
        if len(flat) > 1 and spread <= _ALIKE * size:
            lines.append(f"collapse: {name} is alike for all samples (spread {spread:.2g}, size {size:.2g})")
    return lines


class Victory:
    """Watches the discriminator's loss from log interval to log interval."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._recent: deque[bool] = deque(maxlen=_PATIENCE)

    def __call__(self, totals: dict[str, float]) -> list[str]:
        """``totals``: the mean loss of each group. A warning once the discriminator has won for long."""
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
