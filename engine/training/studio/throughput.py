"""What the studio costs on this machine: CPU time a frame in each profile, of a person and of a pair and, where there
is a card, wall time in batches. Printed by ``python -m engine train throughput``.

CPU time is that of all threads together, and of several rounds the least: what else the machine does can only add.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.training import workers
from engine.training.studio.assembly import build
from engine.training.studio.dataset import Options, StudioSamples
from engine.training.studio.library.items import Library, Split
from engine.training.studio.library.library import load
from engine.training.studio.people.acting import Take
from engine.training.studio.people.sitter import sample_sitter
from engine.training.studio.randomness import draws
from engine.training.studio.renderer import labels
from engine.training.studio.renderer.render import FULL, TRAINING, render, render_many
from engine.training.studio.stage.scene import Scene
from engine.training.studio.stage.stage import Stage, sample_stage

SIZES = (64, 128, 256)
_PEOPLE = 8
_BATCH = 32  # frames on a card at once
_ROUNDS = 3


@dataclass(frozen=True)
class Cost:
    """Milliseconds of ``what`` at ``size`` pixels (0: whatever the size); CPU time of all threads, or ``wall`` time."""

    what: str
    size: int
    milliseconds: float
    wall: bool = False


def measure(assets: Path | None = None, sizes: Sequence[int] = SIZES, people: int = _PEOPLE) -> list[Cost]:
    """The costs, averaged over people; raises EngineError for assets that cannot be used."""
    library, options = load(assets), Options()
    samples = StudioSamples(assets, options=options)
    split = Split.TRAIN
    sitters = [sample_sitter(library, split, 1, number) for number in range(people)]
    chosen = [draws(1, "throughput", number) for number in range(people)]
    stages = [sample_stage(library.choices(split).environments, draw) for draw in chosen]
    moments = [Take(draw, 1.0).at(np.array([0.0, 1.0])) for draw in chosen]

    def scene(number: int, moment: int = 0) -> Scene:
        return build(sitters[number], moments[number][moment], stages[number], moments[number][0])

    costs = [
        Cost("painting a sitter", 0, _cpu_ms(lambda number: sample_sitter(library, split, 1, number), people)),
        Cost("setting a stage", 0, _cpu_ms(lambda number: _staged(library, split, number), people)),
        Cost("posing a scene", 0, _cpu_ms(scene, people)),
    ]
    scenes = [scene(number) for number in range(people)]
    later = [scene(number, 1) for number in range(people)]
    for size in sizes:
        for name, profile in (("training", TRAINING), ("full", FULL)):
            cost = _cpu_ms(lambda k: labels.frame(render(scenes[k], size, profile), k), people)  # noqa: B023
            costs.append(Cost(f"labelled frame, {name} profile", size, cost))
        pictures = [(render(scenes[k], size), render(later[k], size)) for k in range(people)]
        costs.append(Cost("flow of a pair", size, _cpu_ms(lambda k: labels.flow(*pictures[k]), people)))  # noqa: B023
        pair = _cpu_ms(lambda k: samples.pair(k, size), people)  # noqa: B023
        costs.append(Cost("pair, with its share of painting", size, pair + costs[0].milliseconds / options.sittings))
        if torch.cuda.is_available():
            costs.append(Cost("frame on the card, training profile", size, _card_ms(scenes, size), wall=True))
    return costs


def lines(assets: Path | None = None) -> list[str]:
    """The costs as a Markdown table, in such a process as makes a run's data."""
    with workers.pool(1) as pool:
        costs = pool.submit(measure, assets).result()
    rows = [
        f"| {cost.what} | {cost.size or ''} | {cost.milliseconds:.1f} {'ms' if cost.wall else 'CPU-ms'} "
        f"| {1e3 / cost.milliseconds:.1f} |"
        for cost in costs
    ]
    return ["| studio | px | takes | a second (of one core's time) |", "|---|---|---|---|", *rows]


def _staged(library: Library, split: Split, number: int) -> Stage:
    """A stage and a take, as each pair has them."""
    draw = draws(1, "throughput", number)
    Take(draw, 1.0).at(np.array([0.0, 1.0]))
    return sample_stage(library.choices(split).environments, draw)


def _cpu_ms(work: Callable[[int], object], count: int) -> float:
    """CPU milliseconds of one piece of work on average, each the least of some rounds, after being done once."""
    least = np.full(count, np.inf)
    for turn in range(_ROUNDS + 1):
        for number in range(count):
            start = time.process_time()
            work(number)
            if turn:
                least[number] = min(least[number], time.process_time() - start)
    return float(least.mean() * 1e3)


def _card_ms(scenes: Sequence[Scene], size: int) -> float:
    batch = [scenes[k % len(scenes)] for k in range(_BATCH)]
    render_many(batch, size)  # the pictures come back to the CPU, which waits for them
    start = time.perf_counter()
    render_many(batch, size)
    return (time.perf_counter() - start) / _BATCH * 1e3
