"""Small data and a small recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.training.recipe import Recipe, parse
from engine.training.shard_writer import build
from tests.training.heads import PlainHeads


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shards with 192 pairs of plain heads, 32 px."""
    folder = tmp_path_factory.mktemp("heads")
    build(folder, PlainHeads, 192, 32, ("image", "landmarks68", "flow", "flow_visible"))
    return folder


@pytest.fixture(scope="session")
def tiny(heads: Path) -> Callable[..., Recipe]:
    """The toy on those heads: a few steps of batches of four; further keys as given."""

    def make(steps: int = 8, batch: int = 4, **keys: Any) -> Recipe:
        table = {
            "task": "toy",
            "options": {"width": 8},
            "threads": 1,
            "warmup": 4,
            "log_every": 4,
            "measure_every": 100,
            "measure_batches": 1,
            "checkpoint_every": 4,
            "data": {"source": "shards", "path": str(heads)},
            "stages": [{"size": 32, "steps": steps, "batch": batch, "learning_rate": 2e-3}],
            **keys,
        }
        return parse(table, "tiny.toml", "tiny")

    return make
