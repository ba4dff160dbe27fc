"""``python -m engine train throughput``: speed of the studio and of recipes on this machine, as Markdown tables.

CPU time is that of all threads together, the least of several rounds: other processes can only add to it. The studio is
timed in a worker process, as a run uses it; a recipe trains on one batch over and over.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.training import recipe as recipes
from engine.training import workers
from engine.training.recipe import Recipe
from engine.training.run import need_torch

STUDIO = ("studio", "px", "takes", "a second")
TRAINED = ("recipe", "device", "px", "batch", "pairs/s trained", "CPU-ms a pair", "studio, CPU-ms", "shards, CPU-ms")
_ROUNDS = 2
_PAIRS = 2  # timed from each source
_AT_ONCE = 32  # frames on a GPU


def command(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="engine train throughput", description=__doc__)
    parser.add_argument("recipes", nargs="*", type=Path, help="TOML files or names (default: all shipped recipes)")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="the studio's head assets")
    parser.add_argument("--people", type=int, default=8, help="how many people the studio is timed on (default: 8)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="torch threads (default: the recipe's)")
    options = parser.parse_args(argv)
    if options.people < 1:
        parser.error("--people should be 1 or more")
    need_torch()
    names = options.recipes or [Path(path.stem) for path in sorted(recipes.FOLDER.glob("*.toml"))]
    chosen = [recipes.read(name) for name in names]
    sizes = sorted({stage.size for recipe in chosen for stage in recipe.stages})
    _row(*STUDIO)
    _row(*["---"] * len(STUDIO))
    with workers.pool(1) as pool:
        for what, size, ms in pool.submit(studio, options.assets, sizes, options.people).result():
            _row(what, size or "", f"{ms:.1f} ms", f"{1000 / ms:.1f}")
    print()
    _row(*TRAINED)
    _row(*["---"] * len(TRAINED))
    for recipe in chosen:
        recipe = replace(recipe, device=options.device, threads=options.threads or recipe.threads)
        for row in trained(recipe, options.assets):
            _row(recipe.name, *row)
    return 0


def studio(assets: Path | None, sizes: Sequence[int], people: int) -> list[tuple[str, int, float]]:
    """(what, size or 0, milliseconds): CPU time, but wall time on a GPU. Raises EngineError for unusable assets."""
    import torch

    from engine.training.studio.dataset import StudioSamples
    from engine.training.studio.renderer import labels
    from engine.training.studio.renderer.render import FULL, TRAINING, render, render_many

    samples = StudioSamples(assets)
    samples.pair(0, 16)  # fills the caches
    rows = [("painting a sitter", 0, _mean_cpu(samples.paint, people))]
    rows.append(("posing a pair's scenes", 0, _mean_cpu(lambda number: samples.scenes(number), people)))
    scenes = [samples.scenes(number) for number in range(people)]
    for size in sizes:
        for name, profile in (("training", TRAINING), ("full", FULL)):
            cost = _mean_cpu(lambda k: labels.frame(render(scenes[k][0], size, profile), k), people)  # noqa: B023
            rows.append((f"labelled frame, {name} profile", size, cost))
        pictures = [[render(scene, size) for scene in pair] for pair in scenes]
        rows.append(("flow of a pair", size, _mean_cpu(lambda k: labels.flow(*pictures[k]), people)))  # noqa: B023
        if torch.cuda.is_available():
            batch = [scenes[k % people][0] for k in range(_AT_ONCE)]
            wall, _ = _least(lambda: render_many(batch, size))  # noqa: B023
            rows.append(("frame on the GPU, wall time", size, wall / _AT_ONCE))
    return rows


def trained(recipe: Recipe, assets: Path | None) -> Iterator[tuple[object, ...]]:
    """For each stage the cells of :data:`TRAINED` after the name. Raises EngineError for unusable recipes or assets."""
    from engine.training.batch import collate, inputs_of
    from engine.training.feed import Open
    from engine.training.loop import Trainer
    from engine.training.shard_writer import build
    from engine.training.shards import ShardSamples
    from engine.training.warped import Warped

    opener = Open(replace(recipe.data, source="studio"), assets)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(recipe, Path(scratch), opener)
        drawn, wanted = trainer.samples, trainer.task.fields
        painting = _mean_cpu(drawn.paint, _PAIRS) / drawn.sittings  # type: ignore[attr-defined]
        if inputs := inputs_of(wanted):
            drawn = Warped(drawn, inputs)
        for number, stage in enumerate(recipe.stages):
            folder = Path(scratch) / str(number)
            build(folder, lambda: drawn, _PAIRS, stage.size, inputs=inputs)
            shards = ShardSamples(folder)
            costs = [
                _mean_cpu(lambda k, source=source: collate([source.pair(k, stage.size)], wanted), _PAIRS)  # noqa: B023
                for source in (drawn, shards)
            ]
            batch = trainer.on_device(collate([shards.pair(k, stage.size) for k in range(stage.batch)], wanted))
            trainer.done = sum(earlier.steps for earlier in recipe.stages[:number])

            def step(batch=batch) -> None:
                _, norms = trainer.step(batch)
                sum(float(norm) for norm in norms.values())  # waits for the device

            wall, cpu = (time / stage.batch for time in _least(step))
            device = f"{trainer.device.type}, {recipe.precision}"
            cells = (cpu, costs[0] + painting, costs[1])
            yield (device, stage.size, stage.batch, f"{1000 / wall:.1f}", *(f"{cell:.1f}" for cell in cells))


def _least(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds of the round that takes the least CPU time, after one that is not timed."""
    times = []
    for _ in range(_ROUNDS + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        times.append(((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000))
    return min(times[1:], key=lambda taken: taken[1])


def _mean_cpu(work: Callable[[int], object], count: int) -> float:
    """CPU milliseconds of one call, averaged over the arguments 0…``count`` − 1."""
    return float(np.mean([_least(lambda: work(number))[1] for number in range(count)]))  # noqa: B023


def _row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
