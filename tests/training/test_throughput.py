"""The table of speeds is measured, not remembered."""

from __future__ import annotations

from pathlib import Path

from engine.training import throughput


def test_it_prints_a_row_for_each_stage(tmp_path: Path, capsys):
    stage = "[[stages]]\nsize = {}\nsteps = 5\nbatch = 2\nlearning_rate = 1e-3\n"
    (tmp_path / "small.toml").write_text('task = "toy"\nthreads = 1\n' + stage.format(32) + stage.format(64))
    assert throughput.command([str(tmp_path / "small.toml"), "--device", "cpu"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| small ")]
    assert [(row[1], row[2], row[3]) for row in rows] == [("cpu, fp32", "32", "2"), ("cpu, fp32", "64", "2")]
    for row in rows:
        trained, studio, shards = (float(cell) for cell in row[4:7])
        assert trained > 0 and studio > shards > 0
