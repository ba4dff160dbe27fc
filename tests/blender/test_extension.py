"""The zip that users get: built and validated by Blender's tool, installed into a fresh user folder, put to work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.blender.addon import ENGINE_PYTHON, ROOT

SAMPLE = ROOT / "tests" / "data" / "driving_sample.mp4"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, ROOT / "scripts" / "build_extension", "--output", folder]
    answer = subprocess.run(build, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (archive,) = folder.glob("*.zip")
    return archive


@pytest.fixture(scope="module")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Blender into which the zip has been installed, and nothing else."""
    user = tmp_path_factory.mktemp("user") / "Blender von Zoë"
    variables = {**os.environ, "BLENDER_USER_RESOURCES": str(user), "UNDERSTUDY_ENGINE_PYTHON": str(ENGINE_PYTHON)}
    run_in_blender(variables, "install", archive)
    return variables


def run_in_blender(variables: dict[str, str], *arguments: str | Path) -> dict:
    """Run installed_session.py in a Blender of its own, away from this tree; returns what it reported."""
    session = Path(__file__).with_name("installed_session.py")
    user = Path(variables["BLENDER_USER_RESOURCES"])
    user.mkdir(exist_ok=True)
    report = user / "report.json"
    command = [sys.executable, session, report, *arguments]
    answer = subprocess.run(command, env=variables, cwd=user, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(report.read_text("utf-8"))


def test_the_zip_holds_what_a_user_needs_and_nothing_else(archive):
    with zipfile.ZipFile(archive) as contents:
        names = contents.namelist()
    assert {name.split("/")[0] for name in names} == {
        "__init__.py", "blender_manifest.toml", "LICENSE", "NOTICE", "blender_addon", "engine", "weights"
    }  # fmt: skip
    for needed in ("engine/requirements.lock", "engine/__main__.py", "weights/face_model.safetensors"):
        assert needed in names
    unwanted = ("engine/training", "engine/eval", "weights/training")
    assert not [name for name in names if "__pycache__" in name or name.startswith(unwanted)]
    manifest = tomllib.loads((ROOT / "weights" / "manifest.toml").read_text("utf-8"))
    for name, row in manifest.items():
        assert (f"weights/{name}" in names) == (row.get("use") != "training"), name


def test_the_installed_extension_makes_a_take(installed, media, project):
    report = run_in_blender(installed, "render", "null", media / "portrait.png", media / "index_24.mp4", project)
    assert report["result"] == ["FINISHED"]
    assert Path(report["root"]).is_relative_to(installed["BLENDER_USER_RESOURCES"]), "not the one in this tree"
    assert len(list((project / "understudy").glob("*/*.png"))) == 60


@pytest.mark.parametrize("system", ["mesh_warp", "identity_matched"])
def test_the_installed_extension_moves_the_mouth(installed, project, system):
    portrait = project / "porträt.png"
    run_engine("portrait", portrait)
    report = run_in_blender(installed, "render", system, portrait, SAMPLE, project)
    assert report["result"] == ["FINISHED"]
    (take,) = (project / "understudy").glob("*_understudy_v*")
    made, driven = (np.array(run_engine("mouths", path)) for path in (take, SAMPLE))
    assert len(made) == len(driven) > 20
    assert np.ptp(made) > 0.1, "the lips open and close by a tenth of the eyes' distance or more"
    assert np.corrcoef(made, driven)[0, 1] > 0.8, "when the driver's do"


def run_engine(*arguments: str | Path) -> list[float]:
    """Run measure_mouth.py in the engine's environment."""
    script = Path(__file__).with_name("measure_mouth.py")
    command = [ENGINE_PYTHON, "-X", "utf8", script, *arguments]
    answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout or "[]")
