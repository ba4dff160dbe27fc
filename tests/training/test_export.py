"""Exported files compute what the network computes, and lead back to the run that made them."""

from __future__ import annotations

import copy
import hashlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import weights
from engine.errors import EngineError
from engine.training import cli, curves, export, manifest, provenance
from engine.training.feed import Open
from engine.training.loop import Trainer
from engine.training.recipe import Recipe
from engine.training.report import Report
from engine.training.shard_writer import build
from tests.training.heads import PlainHeads

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    recipe, folder = tiny(steps=8), tmp_path_factory.mktemp("run")
    trainer = Trainer(recipe, folder / "run", Open(recipe.data))
    trainer.run(Report(recipe, folder / "run", Open(recipe.data, held_out=True), lambda line: None))
    return trainer


def test_weights_graph_row_and_evidence_belong_together(run: Trainer, tmp_path: Path):
    root = tmp_path / "house"
    (root / "weights").mkdir(parents=True)
    (root / "weights" / "manifest.toml").write_text((ROOT / "weights" / "manifest.toml").read_text())
    before = tomllib.loads((root / "weights" / "manifest.toml").read_text())
    assert cli.main(["export", str(run.folder), "--root", str(root), "--half"]) == 0
    rows = tomllib.loads((root / "weights" / "manifest.toml").read_text())
    assert {name: rows[name] for name in before} == before, "the others stay"
    for name in ("tiny.safetensors", "tiny.onnx"):
        data = (root / "weights" / name).read_bytes()
        row = rows[name]
        assert row["size"] == len(data) and row["sha256"] == hashlib.sha256(data).hexdigest()
        assert row["steps"] == 8 and row["data_seed"] == 1 and row["licence"] == "GPL-3.0-or-later"
        assert any("flow_px" in line and "floor" in line for line in row["figures"]) and "kind shards" in row["data"][0]
        for key in ("log", "curve", "run"):
            assert hashlib.sha256((root / row[key]).read_bytes()).hexdigest() == row[f"{key}_sha256"]
    assert curves.read(root / rows["tiny.onnx"]["log"])[-1]["step"] == 8
    with safe_open(str(root / "weights" / "tiny.safetensors"), "pt") as file:
        assert json.loads(file.metadata()["options"]) == {"width": 8} and file.metadata()["steps"] == "8"
        for name, tensor in run.average.state().items():
            assert torch.equal(file.get_tensor(name), tensor.half())

    read = export.Run.read(run.folder)
    assert len({export.safetensors(read, half=True) for _ in range(8)} | {data_of(root)}) == 1, (
        "the same run, other bytes"
    )

    export.export(read, root, "tiny", 32)
    text = (root / "weights" / "manifest.toml").read_text()
    assert text.count('["tiny.safetensors"]') == 1
    assert tomllib.loads(text)["tiny.safetensors"]["size"] > rows["tiny.safetensors"]["size"]


def data_of(root: Path) -> bytes:
    return (root / "weights" / "tiny.safetensors").read_bytes()


def test_a_graph_that_differs_is_refused(run: Trainer):
    graph = copy.deepcopy(run.average).export(32)["frame"]
    network = export.onnx(graph)
    assert export.parity(network, graph) < 1e-4
    assert export.parity(network, graph, "openvino") < 1e-3
    with torch.no_grad():
        next(graph.module.parameters()).add_(0.1)
    with pytest.raises(EngineError, match="differs from torch"):
        export.parity(network, graph)


def test_an_export_is_where_another_run_starts(run: Trainer, tiny: Callable[..., Recipe], tmp_path: Path):
    path = tmp_path / "start.safetensors"
    path.write_bytes(export.safetensors(export.Run.read(run.folder)))
    other = Trainer(tiny(seed=9), tmp_path / "other", Open(run.recipe.data))
    other.start_from(path)
    assert all(torch.equal(other.task.state()[name], tensor) for name, tensor in run.average.state().items())
    whole = load_file(path)
    fewer = dict(list(whole.items())[1:])
    save_file(fewer, path)
    third = Trainer(tiny(seed=9), tmp_path / "third", Open(run.recipe.data))
    third.start_from(path)
    assert third.began_from and third.began_from["begun_anew"] == sorted(whole.keys() - fewer.keys())
    save_file({"other.weight": whole[min(whole)]}, path)
    with pytest.raises(EngineError, match="does not fit"):
        third.start_from(path)
    path.write_bytes(b"nothing")
    with pytest.raises(EngineError, match="does not fit"):
        other.start_from(path)


def test_a_row_tells_what_a_run_began_from_and_was_measured_on(
    run: Trainer, tiny: Callable[..., Recipe], tmp_path: Path
):
    held = tmp_path / "held"
    build(held, lambda: PlainHeads(split="held-out"), 16, 32, ("image", "landmarks68", "flow", "flow_visible"))
    start = tmp_path / "start.safetensors"
    start.write_bytes(export.safetensors(export.Run.read(run.folder)))
    recipe = tiny(steps=4, data={**vars(run.recipe.data), "held_out": str(held)})
    for resumed in (False, True):
        trainer = Trainer(recipe, tmp_path / "second", Open(recipe.data))
        if resumed:
            trainer.resume()
        else:
            trainer.start_from(start)
        trainer.run(Report(recipe, tmp_path / "second", Open(recipe.data, held_out=True), lambda line: None))
    export.export(export.Run.read(tmp_path / "second"), tmp_path / "house", "second", 32)
    text = (tmp_path / "house" / "weights" / "manifest.toml").read_text()
    row = tomllib.loads(text)["second.safetensors"]
    assert row["recipe"] == "python -m engine train run tiny --data DIR --held-out HELD --start FILE"
    assert row["start"] == f"start.safetensors, sha256 {hashlib.sha256(start.read_bytes()).hexdigest()}, after 8 steps"
    samples = Open(recipe.data, held_out=True)()
    assert str(samples.describe()["sha256"]) in row["held_out"][0] and "split held-out" in row["held_out"][1]
    record = (tmp_path / "house" / row["run"]).read_text()
    assert str(tmp_path) not in record + text and "shards" not in row, "no command draws plain heads"


def test_a_log_is_thinned_to_a_size_and_keeps_what_was_measured():
    rows = [{"step": i, "losses": {"a": i / 7}} for i in range(2000)]
    for row in rows[::100]:
        row["measured"] = {"b": 1.0}
    data = curves.thin(rows, 20_000)
    kept = [json.loads(line) for line in data.splitlines()]
    assert len(data) <= 20_000 and kept[0]["step"] == 0 and kept[-1]["step"] == 1999
    assert sum("measured" in row for row in kept) == 20


def test_every_shipped_weight_leads_back_to_its_run():
    rows = tomllib.loads(weights.MANIFEST.read_text(encoding="utf-8"))
    assert {entry.path.relative_to(weights.FOLDER).as_posix() for entry in weights.manifest()} == set(rows)
    for name, row in rows.items():
        assert "log" in row or "source_sha256" in row or name == "face_model.safetensors", (
            f"{name} has no log: only the face model and what is converted are not trained"
        )
        if "run" in row:
            told = provenance.origin(json.loads((ROOT / row["run"]).read_bytes()))
            assert {key: row.get(key) for key in told} == told, name
        for key in ("log", "curve", "run"):
            if key in row:
                assert hashlib.sha256((ROOT / row[key]).read_bytes()).hexdigest() == row[f"{key}_sha256"], (name, key)


def test_a_manifest_that_is_not_toml_is_left_alone(tmp_path: Path):
    path = tmp_path / "manifest.toml"
    path.write_text("[[[")
    with pytest.raises(EngineError, match="is damaged"):
        manifest.update(path, "a", {"size": 1})
    assert path.read_text() == "[[["
