"""A first run as a newcomer makes it: one command, the studio's own heads, an error that falls below its floor."""

from __future__ import annotations

import json
from pathlib import Path

from engine.training import checkpoint, cli, curves

SMALL = """
task = "toy"
seed = 7
threads = 1
ema = 0.98
schedule = "cosine"
warmup = 10
log_every = 60
measure_every = 1000
measure_batches = 2
[data]
source = "studio"
seed = 7
workers = 0
[data.options]
sittings = 100
[[stages]]
size = 32
steps = 120
batch = 2
learning_rate = 1e-3
"""


def test_one_command_trains_a_tiny_system_below_its_floor(tmp_path: Path) -> None:
    """The recipe `toy` at toy size, without assets."""
    recipe, run = tmp_path / "small.toml", tmp_path / "run"
    recipe.write_text(SMALL)
    assert cli.main(["run", str(recipe), "--out", str(run)]) == 0
    last = curves.read(run / "log.jsonl")[-1]
    assert last["step"] == 120
    assert last["measured"]["flow_px"] < 0.85 * last["floor"]["flow_px"]
    assert last["measured"]["seen_l1"] < last["floor"]["seen_l1"]
    record = json.loads((run / "recipe.json").read_text())
    assert record["data"]["kind"] == "studio" and record["data"]["split"] == "train"
    assert checkpoint.newest(run) == run / "checkpoint-00000120.json"
    assert (run / "curves.png").exists() and (run / "samples" / "00000120.png").exists()
