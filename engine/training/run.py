"""``python -m engine train run RECIPE``: train a recipe, or resume it."""

from __future__ import annotations

import argparse
import math
import os
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from engine.errors import EngineError
from engine.training.recipe import Recipe, merged, read


def command(argv: list[str]) -> int:
    """Returns 0 at the end of the recipe, 3 if the time limit or a signal stopped the run earlier."""
    parser = argparse.ArgumentParser(prog="engine train run", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a TOML file, or the name of a shipped recipe")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/RECIPE)")
    parser.add_argument("--data", metavar="DIR", help="folder of shards or of clips")
    parser.add_argument("--held-out", metavar="DIR", help="another folder, to measure on")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="the studio's head assets")
    parser.add_argument("--minutes", type=float, help="stop with a checkpoint after this time")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in --out")
    parser.add_argument("--start", type=Path, metavar="FILE", help="start from exported weights")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one of the recipe's [options], as in TOML: network.gated_skip=false",
    )
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--threads", type=int, help="torch threads on the CPU; they decide the last bits of a run")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard's files")
    options = parser.parse_args(argv)
    if options.minutes is not None and not (math.isfinite(options.minutes) and options.minutes > 0):
        parser.error("--minutes should be above 0")
    need_torch()
    recipe = with_data(with_options(read(options.recipe), options.option), options.data, options.held_out)
    if options.device:
        recipe = replace(recipe, device=options.device)
    if options.threads:
        recipe = replace(recipe, threads=options.threads)
    return _train(recipe, options)


def _train(recipe: Recipe, options: argparse.Namespace) -> int:
    from engine.training.batch import inputs_of
    from engine.training.feed import Open
    from engine.training.loop import Trainer
    from engine.training.report import Report
    from engine.training.tasks import fields

    data = Open(recipe.data, options.assets, inputs=inputs_of(fields(recipe.task)))
    folder = options.out or Path("runs") / recipe.name
    trainer = Trainer(recipe, folder, data)
    if options.resume:
        print(f"resumed at step {trainer.resume()} of {recipe.steps}")
    elif options.start:
        trainer.start_from(options.start)
    report = Report(recipe, folder, replace(data, held_out=True), board=options.tensorboard)
    whole = trainer.run(report, options.minutes)
    print(f"{'finished' if whole else 'stopped'} at step {trainer.done} of {recipe.steps}; {folder}")
    return 0 if whole else 3


def with_data(recipe: Recipe, folder: str | None, held_out: str | None = None) -> Recipe:
    """The recipe on other data: a folder with an index of shards, else a folder of clips."""
    data = recipe.data
    if folder is not None:
        from engine.training.shards import INDEX

        source = "shards" if (Path(folder) / INDEX).exists() else "footage"
        data = replace(data, source=source, path=folder, held_out="")
    if held_out is not None:
        data = replace(data, held_out=held_out)
    return replace(recipe, data=data)


def with_options(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """The recipe with changed [options], each ``NAME=VALUE`` with dots between tables. Raises EngineError ``arguments``
    for one that is not TOML; the task refuses names that it does not know."""
    options = recipe.options
    for change in changes:
        try:
            options = merged(options, tomllib.loads(change))
        except tomllib.TOMLDecodeError as fault:
            raise EngineError(
                "arguments", f"--option {change} cannot be read ({fault}).", "Write NAME=VALUE as in TOML."
            ) from fault
    return replace(recipe, options=options)


def need_torch() -> None:
    """Raises EngineError ``no_torch``; call it before importing anything that needs torch."""
    # By default OpenMP's threads spin while they wait, which slows a machine that runs anything else.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch  # noqa: F401
    except ImportError as fault:
        raise EngineError(
            "no_torch",
            f"Training needs torch, and this Python has none ({fault}).",
            "Make the training environment with `scripts/setup training` and use its Python.",
        ) from fault
