"""What the locks promise: complete, importable together, one owner of cv2, nothing that nobody asked for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE_LOCK = ROOT / "engine" / "requirements.lock"
LOCKS = sorted([*(ROOT / "engine").glob("*.lock"), *(ROOT / "tests").glob("*.lock")])
BIN = "Scripts/python.exe" if os.name == "nt" else "bin/python"
TRAINING = ROOT / ".venvs" / "training" / BIN

# Import everything, then say which distributions were really loaded and who owns cv2.
PROBE = """
import importlib, importlib.metadata as metadata, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
owners = metadata.packages_distributions()
loaded = {owner for module in list(sys.modules) for owner in owners.get(module.partition(".")[0], ())}
print(json.dumps({"cv2": sorted(set(owners["cv2"])), "loaded": sorted(loaded)}))
"""
ENGINE_MODULES = [
    *("numpy", "scipy.optimize", "scipy.ndimage", "scipy.spatial", "cv2", "av", "safetensors.numpy", "PIL.ImageCms"),
    *("onnxruntime", "openvino"),
]
TRAINING_MODULES = [
    *("torch", "torch.nn", "torch.utils.tensorboard", "tensorboard.main", "onnx.checker", "onnx.numpy_helper"),
    *("face_alignment", "numba", "skimage.io"),
]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: Path) -> dict[str, str]:
    """Package → version of every pin of ``lock`` that counts on this system."""
    from packaging.requirements import Requirement

    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [re.sub(r"--hash=\S+", "", line).strip() for line in text.splitlines() if not line.startswith("#")]
    requirements = [Requirement(line) for line in lines if line]
    return {
        normal(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    }


def probe(python: Path | str, modules: list[str]) -> dict[str, list[str]]:
    run = subprocess.run([python, "-I", "-c", PROBE, *modules], stdout=subprocess.PIPE, check=True, encoding="utf-8")
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_is_hashed_and_no_host_is_named(lock):
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    assert "://" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert pins
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._-]+==[\w.+]+( ;[^\\]*?)? +--hash=sha256:[0-9a-f]{64}", pin), pin[:80]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_what_its_source_names(lock):
    named = re.findall(r"^([A-Za-z0-9._-]+)==([\w.+]+)", lock.with_suffix(".in").read_text("utf-8"), re.MULTILINE)
    text = lock.read_text(encoding="utf-8")
    for name, version in named:
        assert re.search(rf"^{re.escape(normal(name))}=={re.escape(version)}\b", text, re.MULTILINE), (
            f"{name} {version}"
        )


def test_the_engine_lock_is_installed_and_imports_together():
    found = probe(sys.executable, ENGINE_MODULES)
    assert found["cv2"] == ["opencv-python-headless"]
    lock = pinned(ENGINE_LOCK)
    assert {normal(name) for name in found["loaded"]} - {"setuptools", "packaging"} == set(lock)
    from importlib.metadata import version

    assert {name: version(name) for name in lock} == lock


def test_the_engine_needs_nothing_beyond_its_lock():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "engine").rglob("*.py")
        if not {"training", "evaluation", "network", "__init__", "__main__"} & {*path.parts, path.stem}
        and not path.stem.startswith("torch_")  # with network.py the only ones that may need torch
    ]
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['-c', *{modules!r}]\n" + PROBE
    run = subprocess.run([sys.executable, "-I", "-c", program], stdout=subprocess.PIPE, check=True, encoding="utf-8")
    loaded = {normal(name) for name in json.loads(run.stdout.splitlines()[-1])["loaded"]}
    assert loaded - {"setuptools", "packaging"} <= set(pinned(ENGINE_LOCK))


@pytest.mark.skipif(not TRAINING.is_file(), reason="made by scripts/setup training")
def test_training_and_the_second_detector_import_beside_the_engine():
    found = probe(TRAINING, [*ENGINE_MODULES, *TRAINING_MODULES])
    assert found["cv2"] == ["opencv-python-headless"]


def test_one_distribution_owns_onnxruntime():
    from importlib.metadata import packages_distributions

    assert packages_distributions()["onnxruntime"] == ["onnxruntime"]


def test_a_run_of_all_tests_that_would_run_none_is_refused() -> None:
    command = [sys.executable, ROOT / "scripts" / "test", "--only", "training", "--without-training"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 2 and "nothing" in done.stderr
