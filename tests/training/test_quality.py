"""The quality gate of the engine's tests lets no damaged network pass."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from engine.weights import FOLDER
from tests.engine.test_quality import beyond_limits, measured


def write_damaged(path: Path, damage: str) -> None:
    """The shipped network of that name, its weights ``zeroed`` or drawn at ``random`` with the same deviation."""
    model, random = onnx.load(str(FOLDER / path.name)), np.random.default_rng(1)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            drawn = random.normal(0, values.std(), values.shape) if damage == "random" else np.zeros_like(values)
            tensor.CopyFrom(numpy_helper.from_array(drawn.astype(np.float32), tensor.name))
    onnx.save(model, str(path))


def test_damaged_weights_do_not_pass(tmp_path: Path) -> None:
    errors = functools.cache(lambda system: measured(tmp_path, system))
    for damage in ("zeroed", "random"):
        folder = tmp_path / damage
        folder.mkdir()
        for part in ("source", "frame"):
            write_damaged(folder / f"identity_matched_{part}.onnx", damage)
        found = measured(tmp_path, "identity_matched", {"weights": str(folder / "identity_matched")})
        assert beyond_limits("identity_matched", found, errors), damage
