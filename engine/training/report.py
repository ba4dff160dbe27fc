"""Reports of a training run: log rows, held-out figures, curves, samples, warnings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.training import checkpoint, curves, watch
from engine.training.batch import Batch, collate
from engine.training.feed import Feed, Opener
from engine.training.recipe import Recipe, Stage
from engine.training.task import Task

Say = Callable[[str], None]

_MEASURED_AT_ONCE = 16  # pairs in a held-out batch


class Report:
    """:meth:`add` collects the values of every step, :meth:`row` writes their means. ``say`` prints a line,
    ``held_out`` opens the data to measure on."""

    def __init__(self, recipe: Recipe, folder: Path, held_out: Opener, say: Say = print, board: bool = False) -> None:
        self._recipe, self._folder, self._opener, self._say = recipe, folder, held_out, say
        self._board = curves.Board(folder) if board else None
        self._victory = watch.Victory()
        self._batches: dict[int, list[Batch]] = {}
        self._floors: dict[int, dict[str, float]] = {}
        self._empty()

    def open(self, step: int) -> None:
        """Open the log, to continue after ``step``."""
        self._log = curves.Log(self._folder, step)

    def measured_on(self) -> dict[str, object]:
        """The description of the held-out data."""
        return self._opener().describe()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def add(
        self,
        losses: dict[str, dict[str, Tensor]],
        norms: dict[str, Tensor],
        stage: Stage,
        seconds: float,
        feed: Feed,
    ) -> None:
        """Losses and gradient norms of one step by group, still on their device; ``seconds`` is its duration."""
        for group, named in losses.items():
            for name, loss in named.items():
                self._sum(self._losses, f"{group} {name}", loss)
        for group, norm in norms.items():
            self._sum(self._norms, group, norm)
        self._steps += 1
        self._pairs += stage.batch
        self._seconds += seconds
        self._stage, self._feed = stage, feed

    def row(self, step: int, seconds: float, measured: Task | None) -> None:
        """Write one row; with ``measured``, the averaged task, also its held-out figures.

        Raises EngineError ``diverged`` if a loss or a gradient since the last row is not finite.
        """
        losses = {name: round(float(total) / self._steps, 6) for name, total in self._losses.items()}
        norms = {name: round(float(total) / self._steps, 5) for name, total in self._norms.items()}
        good = checkpoint.newest(self._folder)
        watch.finite(step, losses | {f"the gradient of {k}": v for k, v in norms.items()}, good and good.stem)
        waited, worked = self._feed.times()
        row: dict[str, Any] = {
            "step": step,
            "seconds": round(seconds, 2),
            "size": self._stage.size,
            "rate": self._recipe.learning_rate(step - 1),
            "losses": losses,
            "norms": norms,
            "pairs_per_second": round(self._pairs / self._seconds, 2),
            "data_waited": round(waited / self._seconds, 4),
            "data_worked": round(worked / self._seconds, 4),
        }
        warnings = self._victory(_totals(losses))
        if measured is not None:
            found, lines = self._measure(step, measured)
            row |= found
            warnings += lines
        if warnings:
            row["warning"] = warnings
        self._log.add(row)
        if self._board is not None:
            self._board.add(row)
        self._tell(row)
        if measured is not None:
            curves.write_curves(self._folder, self._log.rows, self._recipe.name)
        self._empty()

    @torch.no_grad()
    def _measure(self, step: int, task: Task) -> tuple[dict[str, Any], list[str]]:
        size = self._stage.size
        batches = self._held_out(size, task)
        if size not in self._floors:
            self._floors[size] = _mean([task.floor(batch) for batch in batches])
        measured = _mean([task.measure(batch) for batch in batches])
        picture = task.preview(batches[0])
        curves.write_samples(self._folder, step, picture)
        if self._board is not None:
            self._board.picture(step, picture)
        return {"measured": measured, "floor": self._floors[size]}, watch.collapsed(task.predict(batches[0]))

    def _held_out(self, size: int, task: Task) -> list[Batch]:
        """The same pairs every time."""
        if size not in self._batches:
            samples, device = self._opener(), next(iter(task.state().values())).device
            self._batches = {size: []}  # batches of an earlier stage are not needed any more
            for i in range(self._recipe.measure_batches):
                numbers = range(i * _MEASURED_AT_ONCE, (i + 1) * _MEASURED_AT_ONCE)
                batch = collate([samples.pair(number, size) for number in numbers], task.fields)
                self._batches[size].append({key: tensor.to(device) for key, tensor in batch.items()})
        return self._batches[size]

    def _tell(self, row: dict[str, Any]) -> None:
        losses = "  ".join(f"{name} {value:.4g}" for name, value in row["losses"].items())
        speed = f"{row['pairs_per_second']:.1f} pairs/s, {row['data_waited']:.0%} of the time waiting for data"
        self._say(f"step {row['step']}/{self._recipe.steps}  {row['size']} px  {losses}  ({speed})")
        for name, value in row.get("measured", {}).items():
            floor = row["floor"].get(name)
            self._say(f"  held out: {name} {value:.4g}" + ("" if floor is None else f"  (floor {floor:.4g})"))
        for line in row.get("warning", []):
            self._say(f"  warning: {line}")

    def _sum(self, sums: dict[str, Tensor], name: str, value: Tensor) -> None:
        value = value.detach().float()
        sums[name] = sums[name] + value if name in sums else value

    def _empty(self) -> None:
        self._losses: dict[str, Tensor] = {}
        self._norms: dict[str, Tensor] = {}
        self._steps = self._pairs = 0
        self._seconds = 0.0


def _totals(losses: dict[str, float]) -> dict[str, float]:
    """The sum of each group's losses."""
    totals: dict[str, float] = {}
    for name, value in losses.items():
        group = name.split(maxsplit=1)[0]
        totals[group] = totals.get(group, 0.0) + value
    return totals


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(sum(row[name] for row in rows) / len(rows), 6) for name in rows[0]}
