"""The table of what the studio costs is measured, not made up."""

from __future__ import annotations

from engine.training.studio.throughput import measure


def test_bigger_and_finer_pictures_cost_more() -> None:
    costs = {(cost.what, cost.size): cost.milliseconds for cost in measure(sizes=(32, 160), people=2)}
    training, full = "labelled frame, training profile", "labelled frame, full profile"
    assert 0 < costs[training, 32] < costs[training, 160] < costs[full, 160]
    assert costs["posing a scene", 0] > 0 and costs["flow of a pair", 160] > 0
