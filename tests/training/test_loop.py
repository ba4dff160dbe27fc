"""The loop, with the real toy on real (small) data: it learns, resumes exactly, and leaves whole checkpoints."""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.errors import EngineError
from engine.training import checkpoint, curves
from engine.training.feed import Feed, Open
from engine.training.loop import Trainer
from engine.training.recipe import Data, Recipe
from engine.training.report import Report
from engine.training.sample import Frame, Pair
from engine.training.shard_writer import build
from engine.training.studio.dataset import Options, StudioSamples

ROOT = Path(__file__).resolve().parents[2]
Tiny = Callable[..., Recipe]


def trained(
    recipe: Recipe, folder: Path, resume: bool = False, minutes: float | None = None, lines: list[str] | None = None
) -> Trainer:
    trainer = Trainer(recipe, folder, Open(recipe.data))
    if resume:
        trainer.resume()
    said = [] if lines is None else lines
    trainer.run(Report(recipe, folder, Open(recipe.data, held_out=True), said.append), minutes)
    return trainer


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stop_after(recipe: Recipe, folder: Path, steps: int) -> None:
    """A run of ``recipe`` that was cut off after so many steps, right behind a checkpoint."""
    trainer = Trainer(recipe, folder, Open(recipe.data))
    folder.mkdir()
    with Feed(Open(recipe.data), trainer.samples, recipe, trainer.task.fields) as feed:
        for _ in range(steps):
            trainer.step(feed.take())
    trainer.save()


def test_the_toy_learns_to_beat_the_floor(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=100, batch=8, log_every=20, measure_every=80, checkpoint_every=100, ema=0.9)
    trained(recipe, tmp_path / "run")
    last = curves.read(tmp_path / "run" / "log.jsonl")[-1]
    assert last["step"] == 100
    assert last["measured"]["flow_px"] < 0.75 * last["floor"]["flow_px"]
    assert last["measured"]["seen_l1"] < 0.9 * last["floor"]["seen_l1"]
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (tmp_path / "run" / "samples").iterdir()} == {"00000080.png", "00000100.png"}


def test_a_run_remembers_what_its_recipe_left_to_the_task(tiny: Tiny, tmp_path: Path):
    trained(replace(tiny(steps=1), options={}), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]["options"] == {"width": 24}


def test_resumed_and_uninterrupted_runs_end_alike_to_the_last_bit(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=11)
    whole = trained(recipe, tmp_path / "whole")
    stop_after(recipe, tmp_path / "parts", 5)
    parts = trained(recipe, tmp_path / "parts", resume=True)
    assert parts.done == whole.done == 11
    assert any("exp_avg_sq" in name for name in whole.tensors()) and any("average." in n for n in whole.tensors())
    assert same(whole.tensors(), parts.tensors())
    states = [checkpoint.read(tmp_path / name / "checkpoint-00000011.json").state for name in ("whole", "parts")]
    assert states[0]["position"] == states[1]["position"] == 44


def test_resume_crosses_stages_and_bf16_the_same(tiny: Tiny, tmp_path: Path):
    stages = [{"size": size, "steps": 4, "batch": size // 8, "learning_rate": 1e-3} for size in (16, 32)]
    recipe = tiny(stages=stages, precision="bf16")
    whole = trained(recipe, tmp_path / "whole")
    stop_after(recipe, tmp_path / "parts", 3)
    assert same(whole.tensors(), trained(recipe, tmp_path / "parts", resume=True).tensors())


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_who_makes_the_batches_changes_nothing(tiny: Tiny, workers: int):
    recipe = tiny(steps=3)
    data = Open(recipe.data)
    wanted = ("source_image", "flow", "driving_person")
    with Feed(data, data(), replace(recipe, data=replace(recipe.data, workers=0)), wanted) as plain:
        expected = [plain.take() for _ in range(3)]
    with Feed(data, data(), replace(recipe, data=replace(recipe.data, workers=workers)), wanted, start=1) as feed:
        for batch in expected[1:]:
            assert same(batch, feed.take())


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_fault_in_the_data_arrives_as_it_was(tiny: Tiny, workers: int, tmp_path: Path):
    recipe = tiny(data={**vars(tiny().data), "workers": workers})
    data = Open(recipe.data)
    with (
        Feed(data, data(), recipe, ("source_image", "source_pncc")) as feed,
        pytest.raises(EngineError, match="no source_pncc.* Train it from the studio") as caught,
    ):
        feed.take()
    assert caught.value.code == "missing_label"


def test_what_is_measured_is_not_trained_on(tiny: Tiny):
    data = tiny().data
    train, test = Open(data)(), Open(data, held_out=True)()
    order = [train.pair(number, 16).source.image.tobytes() for number in range(360)]
    held = {test.pair(number, 16).source.image.tobytes() for number in range(40)}
    assert len(set(order)) == 180 and len(held) == 12 and not held & set(order)
    assert set(order[:180]) == set(order[180:]) and order[:180] != order[180:], "every pass has an order of its own"


class Faceless(StudioSamples):
    """The studio's people without their pictures."""

    def pair(self, number: int, size: int) -> Pair:
        frame = Frame(np.zeros((size, size, 3), np.uint8), self.person(number))
        return Pair(frame, frame)


def test_nobody_who_is_measured_is_trained_on(tmp_path: Path):
    people = functools.partial(Faceless, options=Options(sittings=2))
    build(tmp_path, people, 48, 16, ("image",))
    data = Data("shards", str(tmp_path))
    train, test = Open(data)(), Open(data, held_out=True)()
    assert train.describe()["used"] == [0, 32] and test.describe()["used"] == [45, 48]
    trained, measured = ({s.pair(number, 16).source.person for number in range(48)} for s in (train, test))
    assert trained == set(range(16)) and measured == {21, 22, 23}
    build(tmp_path / "few", people, 16, 16, ("image",))
    few = Data("shards", str(tmp_path / "few"))
    assert Open(few)().describe()["used"] == [0, 15], "one pool cannot be parted"


def test_time_ends_a_run_with_a_checkpoint(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=100_000, checkpoint_every=100_000)
    timed = trained(recipe, tmp_path / "timed", minutes=0.002)
    assert 0 < timed.done < 100_000 and checkpoint.newest(tmp_path / "timed")
    log = curves.read(tmp_path / "timed" / "log.jsonl")
    assert log[-1]["step"] == timed.done and "measured" in log[-1]


def test_kills_and_signals_at_any_moment_leave_a_whole_checkpoint(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=100_000, checkpoint_every=1, log_every=1)
    for number, (sent, pause) in enumerate(((signal.SIGKILL, 0.0), (signal.SIGKILL, 0.11), (signal.SIGTERM, 0.0))):
        child = start(recipe, tmp_path, "--out", "killed", *(["--resume"] if number else []))
        before = checkpoint.newest(tmp_path / "killed") if number else None
        wait_until(lambda before=before: checkpoint.newest(tmp_path / "killed") not in (None, before))
        time.sleep(pause)
        child.send_signal(sent)
        assert child.wait(60) == (3 if sent == signal.SIGTERM else -sent)
        found = checkpoint.newest(tmp_path / "killed")
        assert found and checkpoint.read(found).state["step"] >= number + 1
    rows = curves.read(tmp_path / "killed" / "log.jsonl")
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows}), "a resumed log has no row twice"


def test_a_full_disk_is_one_error_and_the_checkpoint_before_is_intact(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=8)
    stop_after(recipe, tmp_path / "run", 4)
    trainer = Trainer(recipe, tmp_path / "run", Open(recipe.data))
    trainer.resume()
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(EngineError, match="checkpoint-00000004.json, is intact") as caught:
            trainer.done = 8
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.code in ("disk_full", "not_writable")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["checkpoint-00000004.json", "checkpoint-00000004.safetensors"]
    assert checkpoint.read(tmp_path / "run" / names[0]).state["step"] == 4


def test_a_damaged_checkpoint_is_named_with_the_one_before(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=8)
    trained(recipe, tmp_path)
    file = tmp_path / "checkpoint-00000008.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(EngineError, match="checkpoint-00000008.*to resume from checkpoint-00000004.json"):
        Trainer(recipe, tmp_path, Open(recipe.data)).resume()


def test_what_is_not_a_number_stops_the_run_before_it_is_saved(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=12, stages=[{"size": 32, "steps": 12, "batch": 4, "learning_rate": 1e-3}])
    stop_after(recipe, tmp_path / "run", 4)
    trainer = Trainer(recipe, tmp_path / "run", Open(recipe.data))
    trainer.resume()
    with torch.no_grad():
        next(trainer.task.networks["warp"].parameters()).fill_(float("nan"))
    with pytest.raises(EngineError, match="At step 8 .* is nan.* checkpoint-00000004 is the last good") as caught:
        trainer.run(Report(recipe, tmp_path / "run", Open(recipe.data, held_out=True), lambda line: None))
    assert caught.value.code == "diverged"
    assert checkpoint.newest(tmp_path / "run") == tmp_path / "run" / "checkpoint-00000004.json"


def test_a_run_is_not_mixed_with_another(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=4)
    trained(recipe, tmp_path)
    with pytest.raises(EngineError, match="holds a run already"):
        trained(recipe, tmp_path)
    with pytest.raises(EngineError, match="another recipe"):
        trained(replace(recipe, seed=2), tmp_path, resume=True)
    shorter = functools.partial(Open(recipe.data, held_out=True))
    with pytest.raises(EngineError, match="another data"):
        trainer = Trainer(recipe, tmp_path, shorter)
        trainer.data = {"kind": "others"}
        trainer.resume()
    with pytest.raises(EngineError, match="holds no checkpoint"):
        trained(recipe, tmp_path / "empty", resume=True)


def test_previews_and_measuring_leave_training_alone(tiny: Tiny, tmp_path: Path):
    often = trained(tiny(steps=6, measure_every=3, log_every=1), tmp_path / "often")
    seldom = trained(tiny(steps=6, measure_every=100), tmp_path / "seldom")
    assert same(often.tensors(), seldom.tensors())


def start(recipe: Recipe, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The command line on ``recipe``, in a process of its own."""
    file = folder / "tiny.toml"
    if not file.exists():
        stage = recipe.stages[0]
        file.write_text(
            f'task = "toy"\nthreads = 1\nlog_every = {recipe.log_every}\nmeasure_batches = 1\n'
            f"checkpoint_every = {recipe.checkpoint_every}\nmeasure_every = 100000\n[options]\nwidth = 8\n"
            f"[data]\nsource = 'shards'\npath = {json.dumps(recipe.data.path)}\n"
            f"[[stages]]\nsize = {stage.size}\nsteps = {stage.steps}\nbatch = {stage.batch}\nlearning_rate = 1e-3\n"
        )
    command = [sys.executable, "-m", "engine", "train", "run", str(file), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_tensorboard_gets_the_same_curves(tiny: Tiny, tmp_path: Path):
    recipe = tiny(steps=4)
    trainer = Trainer(recipe, tmp_path, Open(recipe.data))
    trainer.run(Report(recipe, tmp_path, Open(recipe.data, held_out=True), lambda line: None, board=True))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    row = curves.read(tmp_path / "log.jsonl")[-1]
    (point,) = events.Scalars("measured/flow_px")
    assert point.step == 4 and point.value == pytest.approx(row["measured"]["flow_px"], rel=1e-4)
    assert events.Images("samples")[0].width == 3 * 32
