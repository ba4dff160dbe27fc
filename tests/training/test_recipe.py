"""Recipes are valid, or an error names file, key and remedy."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from engine import weights
from engine.errors import EngineError
from engine.training import recipe, shard_writer
from engine.training.run import with_options
from engine.training.tasks import create

GOOD = """
task = "toy"
[options]
width = 8
[optimisers.discriminator]
rate = 4.0
betas = [0.0, 0.9]
[[stages]]
size = 64
steps = 10
batch = 4
learning_rate = 1e-3
[[stages]]
size = 128
steps = 5
batch = 2
learning_rate = 5e-4
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_recipe_says_what_happens_at_every_step(tmp_path):
    read = recipe.read(written(tmp_path, 'warmup = 4\nschedule = "cosine"\n' + GOOD))
    assert read.name == "mine" and read.steps == 15
    assert [read.stage_at(step).size for step in (0, 9, 10, 14, 15)] == [64, 64, 128, 128, 128]
    assert read.optimiser("discriminator").betas == (0.0, 0.9) and read.optimiser("generator").rate == 1
    assert read.learning_rate(0) == pytest.approx(1e-3 / 4)
    assert read.learning_rate(10) == pytest.approx(5e-4 * 0.25)  # cos(2π/3) = −1/2
    assert recipe.parse(json.loads(json.dumps(asdict(read))), "run", "other") == read


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("steps = 10", "stepz = 10"), r"mine.toml, \[stages\].*no key 'stepz'.*steps"),
        (("steps = 10\n", ""), "the key 'steps' is missing"),
        (("steps = 10", "steps = 0"), "steps and batch should be 1 or more"),
        (
            ("rate = 4.0\nbetas = [0.0, 0.9]", "betas = [0.9]"),
            r"betas is \[0.9\] and should be a list, each item a number",
        ),
        (("steps = 10", "steps = true"), "steps is True and should be a whole number"),
        (("batch = 4", 'batch = "4"'), "batch is '4' and should be a whole number"),
        (("size = 64", "size = 65"), "size is 65 and should be a multiple of 8"),
        (("rate = 4.0", "rate = -1"), r"\[optimisers.discriminator\].*rate and eps should be above 0"),
        (('task = "toy"', ""), "the key 'task' is missing"),
        (('task = "toy"', 'task = "toy"\nprecision = "fp16"'), "precision should be one of fp32, bf16"),
        (('task = "toy"', 'task = "toy"\nstages = 3'), "TOML"),
        (('task = "toy"', 'task = "toy"\ndata = 3'), "data is 3 and should be a table"),
        (("[options]", "[options"), "it is not TOML"),
    ],
)
def test_a_fault_names_file_key_and_remedy(tmp_path, change, says):
    with pytest.raises(EngineError, match=says) as caught:
        recipe.read(written(tmp_path, GOOD.replace(*change)))
    assert caught.value.code == "bad_recipe" and "mine.toml" in caught.value.text and caught.value.remedy


def test_unknown_recipes_tasks_and_options_are_named():
    with pytest.raises(EngineError, match="one of: .*toy"):
        recipe.read(Path("no-such"))
    with pytest.raises(EngineError, match="one of: .*toy"):
        create("no-such", {})
    with pytest.raises(EngineError, match=r"x.toml, \[options\]: there is no key 'wide'"):
        create("toy", {"wide": 3}, "x.toml, [options]")


def test_a_recipe_extends_another(tmp_path):
    parent = recipe.read(written(tmp_path, GOOD))
    child = tmp_path / "child.toml"
    stage = "[[stages]]\nsize = 32\nsteps = 1\nbatch = 1\nlearning_rate = 1e-3\n"
    child.write_text('extends = "mine.toml"\nseed = 9\n[optimisers.discriminator]\nrate = 2.0\n' + stage)
    read = recipe.read(child)
    assert (read.name, read.seed, read.task, read.options) == ("child", 9, "toy", parent.options)
    assert read.optimiser("discriminator").rate == 2 and read.optimiser("discriminator").betas == (0.0, 0.9)
    assert [stage.size for stage in read.stages] == [32], "a list replaces the parent's"
    child.write_text('extends = "toy"\nseed = 9\n')
    toy = recipe.read(Path("toy"))
    assert recipe.read(child).stages == toy.stages and recipe.read(child).seed == 9 != toy.seed


@pytest.mark.parametrize(
    ("parent", "child", "says"),
    [
        (GOOD, 'extends = "mine.toml"\nsteps = 3\n', r"child.toml: there is no key 'steps'"),
        (GOOD.replace("width", "[width"), 'extends = "mine.toml"\n', "mine.toml: it is not TOML"),
        ("seeds = 3\n" + GOOD, 'extends = "mine.toml"\n', "mine.toml: there is no key 'seeds'"),
        (GOOD, 'extends = "nobody"\n', "nobody.toml, which child.toml extends, cannot be read.*one of: .*toy"),
        (GOOD, "extends = 3\n", "child.toml: extends is 3 and should be a text"),
        (
            'extends = "child.toml"\n',
            'extends = "mine.toml"\n',
            "it extends itself .child.toml extends mine.toml extends child.toml",
        ),
        (GOOD, 'extends = "child.toml"\n', "it extends itself .child.toml extends child.toml"),
    ],
)
def test_a_fault_in_a_chain_names_the_file_it_is_in(tmp_path, parent, child, says):
    written(tmp_path, parent)
    (tmp_path / "child.toml").write_text(child)
    with pytest.raises(EngineError, match=says) as caught:
        recipe.read(tmp_path / "child.toml")
    assert caught.value.code == "bad_recipe" and caught.value.remedy


def test_every_shipped_recipe_is_sound():
    for path in sorted(recipe.FOLDER.glob("*.toml")):
        read = recipe.read(path)
        made = create(read.task, read.options, path.name)
        assert made.networks and set(read.optimisers) <= set(made.groups.values())
        assert all(stage.size % 16 == 0 for stage in read.stages)


def test_the_runs_before_the_shipped_one_can_be_repeated():
    base = tomllib.loads((recipe.FOLDER / "identity_matched.toml").read_text())
    runs = tomllib.loads((weights.FOLDER / "training" / "identity_matched" / "earlier.toml").read_text())
    for name, run in runs.items():
        read = recipe.parse(recipe.merged(base, run["recipe"]), "earlier.toml", name)
        assert create(read.task, read.options, name).networks and read.seed != base["seed"]
        shard_writer.arguments().parse_args(["--out", "DIR", "--warp", *run["shards"].split()])


def test_options_can_be_given_otherwise(tmp_path):
    base = recipe.read(written(tmp_path, GOOD))
    changed = with_options(base, ["width=16", "network.deep=true"])
    assert changed.options == {"width": 16, "network": {"deep": True}} and base.options == {"width": 8}
    assert recipe.fingerprint(changed) != recipe.fingerprint(base)
    with pytest.raises(EngineError, match="--option width: cannot be read"):
        with_options(base, ["width:"])


def test_what_decides_the_outcome_is_in_the_fingerprint(tmp_path):
    base = recipe.read(written(tmp_path, GOOD))
    for line, differs in (("seed = 3", True), ("log_every = 3", False), ("device = 'cpu'", False), ("ema = 0.5", True)):
        other = recipe.read(written(tmp_path, f"{line}\n{GOOD}"))
        assert (recipe.fingerprint(other) != recipe.fingerprint(base)) == differs, line
