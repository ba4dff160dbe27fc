"""Batches for the loop, in order and made ahead. Which pairs a step sees depends on the step's number alone."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.errors import EngineError
from engine.training import tables, workers
from engine.training.batch import Batch, arrays
from engine.training.recipe import Data, Recipe
from engine.training.sample import Pair, Samples
from engine.training.studio.randomness import draws

if TYPE_CHECKING:
    from engine.training.shards import ShardSamples

_AHEAD = 3  # batches in flight beyond the one in use, for each worker
_KEPT_BACK = 16  # without a held-out folder, the last of so many parts of the shards is used for measuring

Opener = Callable[[], Samples]


@dataclass(frozen=True)
class Open:
    """Opens a recipe's data, here or in a worker process; with ``held_out`` those for measuring. ``inputs`` are frame
    inputs that are added to pairs of the studio and of footage; shards hold them already."""

    data: Data
    assets: Path | None = None
    held_out: bool = False
    inputs: tuple[str, ...] = ()

    def __call__(self) -> Samples:
        samples = self._opened()
        if self.inputs and self.data.source != "shards":
            from engine.training.warped import Warped

            return Warped(samples, self.inputs)
        return samples

    def _opened(self) -> Samples:
        if self.data.source == "studio":
            from engine.training.studio import dataset

            options = tables.build(dataset.Options, self.data.options, "[data.options]")
            split = "held-out" if self.held_out else "train"
            return dataset.StudioSamples(self.assets, self.data.seed, split, options)
        own = bool(self.data.held_out)  # a folder to measure on
        folder = self.data.held_out if self.held_out and own else self.data.path
        if not folder:
            raise EngineError(
                "no_data", f"This recipe trains on {self.data.source}.", "Name their folder with --data DIR."
            )
        if self.data.source == "footage":
            from engine.training.footage import FootageSamples

            return FootageSamples(Path(folder), self.data.seed + self.held_out)
        from engine.training.shards import ShardSamples

        samples = ShardSamples(Path(folder))
        used = range(len(samples))
        if not own:
            cut = len(samples) - max(1, len(samples) // _KEPT_BACK)
            used = used[cut:] if self.held_out else used[: _others(samples.describe()["source"], cut)]
        if not used:
            raise EngineError("no_data", f"{folder} holds one pair only.", "Make more, or give --held-out.")
        return Shuffled(samples, used, self.data.seed)


def _others(source: Any, cut: int) -> int:
    """How many pairs show none of the people that pairs from number ``cut`` on show, as ``StudioSamples.person`` counts
    people; ``cut`` itself where the source does not state its sittings, or there is only one pool of people."""
    from engine.training.studio.dataset import POOL

    sittings = source.get("sittings", 1)
    pool = POOL * sittings if isinstance(sittings, int) and sittings > 1 else 1
    return cut // pool * pool or cut


class Shuffled(Samples):
    """These pairs of a folder of shards, in a new order at every pass, since neighbours show the same people."""

    def __init__(self, samples: ShardSamples, numbers: range, seed: int) -> None:
        self._samples, self._numbers, self._seed = samples, numbers, seed
        self._order = functools.lru_cache(maxsize=2)(self._draw_order)

    def pair(self, number: int, size: int) -> Pair:
        turn, place = divmod(number, len(self._numbers))
        return self._samples.pair(self._numbers[self._order(turn)[place]], size)

    def describe(self) -> dict[str, object]:
        used = [self._numbers.start, self._numbers.stop]
        return {**self._samples.describe(), "used": used, "order_seed": self._seed}

    def _draw_order(self, turn: int) -> np.ndarray:
        return draws(self._seed, "order", turn).permutation(len(self._numbers))


def position(recipe: Recipe, step: int) -> int:
    """The number of the first pair that ``step`` (from 0) sees."""
    total = 0
    for stage in recipe.stages:
        taken = min(step, stage.steps)
        total += taken * stage.batch
        step -= taken
    return total


class Feed:
    """A context that gives the batch of each step from ``start`` on. ``samples`` are what ``opener`` opens; worker
    processes open their own."""

    def __init__(
        self, opener: Opener, samples: Samples, recipe: Recipe, wanted: Collection[str], start: int = 0
    ) -> None:
        self._waited = self._worked = 0.0
        self._recipe, self._wanted, self._next = recipe, tuple(wanted), start
        self._workers = recipe.data.workers
        self._samples = None if self._workers > 1 else samples
        self._pool: Executor | None = None
        if self._workers == 1:
            self._pool = ThreadPoolExecutor(1, "data")
        elif self._workers > 1:
            self._pool = workers.pool(self._workers, _start, opener)
        self._pending: deque[Future[tuple[dict[str, np.ndarray], float]]] = deque()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self) -> Batch:
        """The next step's batch, on the CPU."""
        began = time.perf_counter()
        if self._pool is None:
            made, seconds = _make(self._samples, *self._order(self._next))
            self._next += 1
        else:
            while len(self._pending) < 1 + _AHEAD * self._workers and self._next < self._recipe.steps:
                self._pending.append(self._submit(self._next))
                self._next += 1
            made, seconds = self._pending.popleft().result()
        self._waited += time.perf_counter() - began
        self._worked += seconds
        return {key: torch.from_numpy(array) for key, array in made.items()}

    def times(self) -> tuple[float, float]:
        """Since the last call: the seconds that the loop waited for data, and those spent on making them."""
        times = self._waited, self._worked
        self._waited = self._worked = 0.0
        return times

    def _order(self, step: int) -> tuple[range, int, tuple[str, ...]]:
        first, stage = position(self._recipe, step), self._recipe.stage_at(step)
        return range(first, first + stage.batch), stage.size, self._wanted

    def _submit(self, step: int) -> Future[tuple[dict[str, np.ndarray], float]]:
        assert self._pool is not None
        return self._pool.submit(_make, self._samples, *self._order(step))


_SAMPLES: Samples | None = None  # a worker process's own


def _start(opener: Opener) -> None:
    global _SAMPLES
    _SAMPLES = opener()


def _make(
    samples: Samples | None, numbers: range, size: int, wanted: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], float]:
    """The batch and the seconds it took."""
    began, samples = time.perf_counter(), samples or _SAMPLES
    assert samples is not None
    return arrays([samples.pair(number, size) for number in numbers], wanted), time.perf_counter() - began
