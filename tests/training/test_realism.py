"""The second renderer, through a real bpy in a Python of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.training import cli
from engine.training.shard_writer import plan_of
from engine.training.shards import ShardSamples
from engine.training.studio.cycles.realism import Cycles, CyclesPairs
from engine.training.studio.dataset import Options, StudioSamples
from engine.training.studio.renderer.render import render
from tests.engine.heads import known

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / ".venvs" / "bpy" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
BPY_PYTHON = Path(os.environ.get("UNDERSTUDY_BPY_PYTHON") or DEFAULT)
SIZE, SAMPLES = 64, 4


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("realism") / "Größe 顔"


@pytest.fixture(scope="module")
def studio() -> StudioSamples:
    return StudioSamples(None, 5, "held-out", Options(profile="full"))


@pytest.mark.skipif(not BPY_PYTHON.is_file(), reason=f"{BPY_PYTHON} is missing: run scripts/setup")
def test_cycles_draws_what_the_labels_say_and_is_not_asked_twice(out: Path, studio: StudioSamples) -> None:
    plan = plan_of(studio, 1, SIZE)
    made = CyclesPairs(studio, Cycles(BPY_PYTHON, SIZE, SAMPLES, 1), out / "frames", plan).pair(0)
    drawn = sorted((out / "frames").iterdir())
    assert drawn and {path.suffix for path in drawn} == {".npy"}
    light = np.load(out / "frames" / "000000-source.npy", allow_pickle=False)
    picture = render(studio.scenes(0)[0], SIZE)
    there, labelled = light[..., 3] > 0.5, picture.matte > 127
    assert (there & labelled).sum() / (there | labelled).sum() > 0.97
    person = labelled & there
    cycles, ours = made.source.image[person].astype(float), picture.image[person].astype(float)
    assert np.abs(cycles.mean(axis=0) - ours.mean(axis=0)).max() < 40  # one light, two ways of carrying it
    assert np.corrcoef(cycles.ravel(), ours.ravel())[0, 1] > 0.45

    asked = ["--out", str(out), "--count", "1", "--size", str(SIZE), "--seed", "5", "--samples", str(SAMPLES)]
    assert cli.main(["realism", *asked, "--blender-python", str(out / "no python")]) == 0  # all was drawn before
    assert not (out / "frames").exists()
    pair = ShardSamples(out).pair(0, SIZE)
    np.testing.assert_array_equal(pair.source.image, made.source.image)
    np.testing.assert_array_equal(known(pair.source.matte), known(made.source.matte))
    assert ShardSamples(out).describe()["source"] == {
        **studio.describe(),
        "kind": "cycles",
        "look": 1,
        "samples": SAMPLES,
    }


@pytest.mark.parametrize(("python", "reason"), [(Path("/no/such/python"), "cannot be started"), (None, "bpy")])
def test_a_python_that_cannot_is_one_clear_error(
    python: Path | None, reason: str, studio: StudioSamples, tmp_path: Path
) -> None:
    pairs = CyclesPairs(studio, Cycles(python or Path(sys.executable), 16, 1), tmp_path, plan_of(studio, 1, 16))
    with pytest.raises(EngineError, match=reason) as caught:
        pairs.pair(0)
    assert "--blender-python" in caught.value.remedy
