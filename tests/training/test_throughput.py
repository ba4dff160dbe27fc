"""The tables of speeds are measured, not assumed."""

from __future__ import annotations

from pathlib import Path

from engine.training import throughput


def test_it_prints_costs_of_the_studio_and_of_each_stage(tmp_path: Path, capsys):
    stage = "[[stages]]\nsize = {}\nsteps = 5\nbatch = 2\nlearning_rate = 1e-3\n"
    (tmp_path / "small.toml").write_text('task = "toy"\nthreads = 1\n' + stage.format(32) + stage.format(96))
    assert throughput.command([str(tmp_path / "small.toml"), "--device", "cpu", "--people", "1"]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    cost = {(row[0], row[1]): float(row[2].split()[0]) for row in rows if row[2:] and row[2].endswith(" ms")}
    training, full = "labelled frame, training profile", "labelled frame, full profile"
    assert 0 < cost[training, "32"] < cost[training, "96"] < cost[full, "96"]
    assert cost["painting a sitter", ""] > 0 and cost["flow of a pair", "96"] > 0
    trained = [row for row in rows if row[0] == "small"]
    assert [row[1:4] for row in trained] == [["cpu, fp32", "32", "2"], ["cpu, fp32", "96", "2"]]
    for row in trained:
        speed, _, studio, shards = map(float, row[4:])
        assert speed > 0 and studio > shards > 0
