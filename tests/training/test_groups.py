"""Two networks against each other: each is stepped by its own losses, at its own rate, and only one is averaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.training import checkpoint, tasks
from engine.training.batch import collate
from engine.training.feed import Feed, Open
from engine.training.loop import Trainer
from engine.training.recipe import Recipe
from engine.training.report import Report


@pytest.fixture
def duel(tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    monkeypatch.setitem(tasks._TASKS, "duel", ("tests.training.duel", "Duel"))
    return lambda **keys: tiny(task="duel", options={}, clip=0.0, warmup=0, schedule="constant", **keys)


def test_each_group_goes_down_its_own_gradient_at_its_own_rate(duel: Callable[..., Recipe], tmp_path: Path):
    recipe = duel(optimisers={"discriminator": {"rate": 4.0, "betas": [0.0, 0.9]}, "generator": {"betas": [0.0, 0.9]}})
    trainer = Trainer(recipe, tmp_path, Open(recipe.data))
    batch = collate([trainer.samples.pair(number, 32) for number in range(4)], trainer.task.fields)
    before = {name: tensor.clone() for name, tensor in trainer.task.state().items()}
    losses = trainer.task.losses(batch, recipe.stages[0])
    expected = {
        group: torch.autograd.grad(sum(losses[group].values()), trainer.parameters[group], retain_graph=True)  # type: ignore[arg-type]
        for group in ("generator", "discriminator")
    }
    trainer.step(batch)
    for group, gradients in expected.items():
        for parameter, gradient in zip(trainer.parameters[group], gradients):
            assert parameter.grad is not None and parameter.grad.allclose(gradient, atol=1e-6)
    moved = {name: (tensor - before[name]).abs().max().item() for name, tensor in trainer.task.state().items()}
    assert moved["colour.weight"] == pytest.approx(2e-3, rel=0.01), "Adam's first step is the learning rate"
    assert moved["judge.weight"] == pytest.approx(8e-3, rel=0.01)


def test_a_discriminator_resumes_but_is_neither_averaged_nor_shipped(duel: Callable[..., Recipe], tmp_path: Path):
    recipe = duel(steps=6)

    def run(folder: Path, resume: bool) -> Trainer:
        trainer = Trainer(recipe, folder, Open(recipe.data))
        if resume:
            trainer.resume()
        trainer.run(Report(recipe, folder, Open(recipe.data, held_out=True), lambda line: None))
        return trainer

    whole = run(tmp_path / "whole", False)
    cut = Trainer(recipe, tmp_path / "cut", Open(recipe.data))
    (tmp_path / "cut").mkdir()
    with Feed(Open(recipe.data), cut.samples, recipe, cut.task.fields) as feed:
        for _ in range(3):
            cut.step(feed.take())
    cut.save()
    again = run(tmp_path / "cut", True)
    found = checkpoint.read(tmp_path / "whole" / "checkpoint-00000006.json").tensors
    assert {name for name in found if "judge" in name} == {"network.judge.weight", "network.judge.bias"}
    assert any(name.startswith("optimiser.discriminator.") for name in found)
    assert found.keys() == again.tensors().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in again.tensors().items())
    assert whole.task.shipped == {"colour"} and whole.task.averaged == {"colour", "helper"}


def test_the_average_trails_by_the_stated_decay(duel: Callable[..., Recipe], tmp_path: Path):
    recipe = duel(ema=0.75)
    trainer = Trainer(recipe, tmp_path, Open(recipe.data))
    batch = collate([trainer.samples.pair(number, 32) for number in range(4)], trainer.task.fields)
    trainer.done = 100
    before = trainer.average.state()["colour.weight"].clone()
    trainer.step(batch)
    expected = 0.75 * before + 0.25 * trainer.task.state()["colour.weight"]
    assert trainer.average.state()["colour.weight"].allclose(expected)
