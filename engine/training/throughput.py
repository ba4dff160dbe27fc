"""``python -m engine train throughput``: how fast the studio and the recipes are on this machine, as Markdown.

For every stage of a recipe the same batch is trained on over and over; beside it stands what the data of that batch
cost from the studio, a person's share of painting included, and from shards, and what share of a step they are where
nothing runs beside it. These are wall times, which grow with whatever else the machine does; CPU time is beside them.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from engine.training import recipe as recipes
from engine.training.recipe import Recipe, Stage
from engine.training.run import need_torch
from engine.training.sample import Samples

_STEPS = 4  # timed, after one that is not
_PAIRS = 4  # timed from each source
_PEOPLE = 6  # painted, of whom the quickest counts


@dataclass(frozen=True)
class Time:
    """Milliseconds: on the clock, and of all threads' work together."""

    wall: float
    cpu: float

    def __add__(self, other: Time) -> Time:
        return Time(self.wall + other.wall, self.cpu + other.cpu)

    def __truediv__(self, count: float) -> Time:
        return Time(self.wall / count, self.cpu / count)


def _timed(work: Callable[[], object]) -> Time:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Time((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)


def _least(works: Iterable[Callable[[], object]]) -> Time:
    """Of what takes the least CPU time."""
    return min((_timed(work) for work in works), key=lambda taken: taken.cpu)


@dataclass(frozen=True)
class Row:
    """One stage of a recipe; time a pair: ``trained``, made by the ``studio``, read from ``shards``."""

    stage: Stage
    trained: Time
    studio: Time
    shards: Time

    def cells(self) -> list[str]:
        """What :data:`HEAD` heads, after the recipe and its device."""
        cells = [str(self.stage.size), str(self.stage.batch), f"{1000 / self.trained.wall:.1f}"]
        cells += [f"{self.studio.wall:.0f}", f"{self.shards.wall:.1f}"]
        cells += [f"{made.wall / (made.wall + self.trained.wall):.0%}" for made in (self.studio, self.shards)]
        return [*cells, f"{self.trained.cpu:.0f}", f"{self.studio.cpu:.0f}", f"{self.shards.cpu:.1f}"]


HEAD = (
    *("recipe", "device", "px", "batch", "pairs/s trained"),
    *("studio, ms a pair", "shards, ms a pair", "studio's share of a step", "shards' share"),
    *("trained, CPU-ms a pair", "studio, CPU-ms", "shards, CPU-ms"),
)


def command(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="engine train throughput", description=__doc__)
    parser.add_argument("recipes", nargs="*", type=Path, help="TOML files or names (default: all that are shipped)")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="the studio's head assets")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="torch's (default: as each recipe says)")
    options = parser.parse_args(argv)
    need_torch()
    if importlib.util.find_spec("engine.training.studio.throughput"):
        studio = importlib.import_module("engine.training.studio.throughput")
        for line in studio.lines(options.assets):
            print(line, flush=True)
        print()
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    for name in options.recipes or [Path(path.stem) for path in sorted(recipes.FOLDER.glob("*.toml"))]:
        recipe = replace(recipes.read(name), device=options.device)
        recipe = replace(recipe, threads=options.threads or recipe.threads)
        for device, row in measure(recipe, options.assets):
            print(f"| {' | '.join([recipe.name, device, *row.cells()])} |", flush=True)
    return 0


def measure(recipe: Recipe, assets: Path | None) -> Iterator[tuple[str, Row]]:
    """(device and precision, a row) for each stage. Raises EngineError where recipe or assets cannot be used."""
    from engine.training.batch import Batch, collate, inputs_of
    from engine.training.feed import Open
    from engine.training.loop import Trainer
    from engine.training.shard_writer import build
    from engine.training.shards import ShardSamples
    from engine.training.warped import Warped

    opener = Open(replace(recipe.data, source="studio"), assets)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(recipe, Path(scratch), opener)
        studio, wanted = trainer.samples, trainer.task.fields
        painting = _painting(studio)
        if inputs := inputs_of(wanted):
            studio = Warped(studio, inputs)
        for number, stage in enumerate(recipe.stages):
            folder = Path(scratch) / str(number)
            build(folder, lambda: studio, _PAIRS, stage.size, inputs=inputs)
            shards = ShardSamples(folder)

            def a_pair(samples: Samples, size: int = stage.size) -> Time:
                for k in range(_PAIRS):  # people are painted and shards are hashed when they are first asked for
                    samples.pair(k, size)
                return _least([lambda: collate([samples.pair(k, size) for k in range(_PAIRS)], wanted)] * 2) / _PAIRS

            batch = trainer.on_device(collate([shards.pair(k, stage.size) for k in range(stage.batch)], wanted))
            trainer.done = sum(earlier.steps for earlier in recipe.stages[:number])
            trainer.step(batch)

            def steps(batch: Batch = batch) -> None:
                for _ in range(_STEPS):
                    _, norms = trainer.step(batch)
                sum(float(norm) for norm in norms.values())  # waits for the device

            trained = _timed(steps) / (_STEPS * stage.batch)
            device = f"{trainer.device.type}, {recipe.precision}"
            yield device, Row(stage, trained, a_pair(studio) + painting, a_pair(shards))


def _painting(samples: Samples) -> Time:
    """What of painting a person falls to each of the pairs they sit for."""
    from engine.training.studio.dataset import StudioSamples

    if not isinstance(samples, StudioSamples):
        return Time(0.0, 0.0)
    samples.paint(0)
    return _least(partial(samples.paint, person) for person in range(_PEOPLE)) / samples.sittings
