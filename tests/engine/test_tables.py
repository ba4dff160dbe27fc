"""What tables conclude from figures that are written down by hand, and their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.errors import EngineError
from engine.evaluation.comparison import CEILING, FLOOR, Column, Comparison, Figure, ShotInfo
from engine.evaluation.metrics.base import HIGHER, MetricInfo
from engine.evaluation.tables import bootstrap
from engine.evaluation.tables.by_shot import by_shot_markdown, losses
from engine.evaluation.tables.by_yaw import by_yaw_markdown
from engine.evaluation.tables.contact_sheet import ContactSheet, Tile
from engine.evaluation.tables.differences import columns_of, difference, differences_markdown
from engine.evaluation.tables.report import report

SHOTS = {f"shot {k}": ShotInfo(f"person {k}", 10 + k) for k in range(6)}
FAR, LIKE = MetricInfo("far", digits=2, key=True), MetricInfo("like", better=HIGHER, digits=2, key=True)


def column(name: str, far: list[float], like: list[float], true_motion: bool = False) -> Column:
    figures = {}
    for metric, values in ((FAR, far), (LIKE, like)):
        shots = {shot: value for shot, value in zip(SHOTS, values) if not np.isnan(value)}
        figures[metric.name] = Figure(float(np.mean([*shots.values()])) if shots else None, len(shots), shots)
    return Column(name, None if name in (FLOOR, CEILING) else "null", figures, true_motion)


BASE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
COLUMNS = [
    column(FLOOR, [9.0] * 6, [0.9] * 6),
    column("old", BASE, [0.5] * 6),
    column("old", [figure - 0.5 for figure in BASE], [0.6] * 6, true_motion=True),
    column("new", [0.9, 1.8, 2.7, 3.6, 4.5, 6.6], [0.4, 0.6, 0.4, 0.6, 0.4, 0.6]),
    column("new", [figure - 0.6 for figure in BASE], [0.5] * 6, true_motion=True),
]
GAPS = column("new", [0.9, np.nan, 2.7, 3.6, 4.5, 6.6], [np.nan] * 6)


def comparison(columns: list[Column] = COLUMNS, shots: dict[str, ShotInfo] = SHOTS) -> Comparison:
    return Comparison("toy", "self", True, shots, [FAR, LIKE], columns)


def test_differences_are_paired_and_true_motion_is_compared_with_true_motion() -> None:
    one = comparison()
    far = difference(one, FAR, COLUMNS[4], COLUMNS[2])
    assert far is not None and far.mean == pytest.approx(-0.1) and far.interval == pytest.approx((-0.1, -0.1))
    text = "\n".join(differences_markdown(one, None))
    assert "| difference from copy of the source | old | old, true motion | new | new, true motion |" in text
    assert "| far ↓ | -5.50 [-6.83, -4.17] better |" in text
    assert "| difference from old | new | new, true motion |" in text
    assert "- new, true motion against old: better in 1 (far); worse in 1 (like)." in text
    assert "- new against old: undecided in 2 (far, like)." in text


def test_equal_figures_are_called_equal() -> None:
    lines = differences_markdown(comparison([COLUMNS[1], column("twin", BASE, [0.5] * 6)]), ["old"])
    assert "- twin against old: equal in 2 (far, like)." in lines


def test_shots_of_one_person_prove_little() -> None:
    alone = {label: ShotInfo("the same person", 10) for label in SHOTS}
    twin = column("twin", [figure - 0.5 for figure in BASE], [0.5] * 6)
    for shots, verdict in ((SHOTS, "better"), (alone, "")):
        found = difference(comparison(shots=shots), FAR, twin, COLUMNS[1])
        assert found is not None and found.verdict == verdict


def test_differences_are_taken_from_the_system_that_is_named() -> None:
    assert differences_markdown(comparison(), ["new"])[0] == "| difference from new | old | old, true motion |"
    with pytest.raises(EngineError, match="nobody"):
        columns_of(comparison(), "nobody")


def test_shots_are_listed_with_medians_wins_and_losses() -> None:
    one = comparison([*COLUMNS, column(CEILING, [0.1] * 6, [0.99] * 6)])
    lines = by_shot_markdown(one)
    assert lines[0] == "Shot by shot: copy of the source / old / new / truth encoded again."  # as in use only
    assert "| shot 0 | 10 | 9.00 / 1.00 / **0.90** / 0.10 | 0.90 / **0.50** / 0.40 / 0.99 |" in lines
    assert "| median of 6 | 75 | 9.00 / 3.50 / **3.15** / 0.10 | 0.90 / **0.50** / **0.50** / 0.99 |" in lines
    assert "| new better than old in |  | 5 of 6 | 3 of 6 |" in lines
    assert "| new better than old by, median |  | +10.0% | +0.0% |" in lines
    assert {(loss.shot, loss.metric.name) for loss in losses(one)} == {
        ("shot 0", "like"),
        ("shot 2", "like"),
        ("shot 4", "like"),
        ("shot 5", "far"),
    }
    assert "- new, shot 5: far 6.00 → 6.60, 10% worse" in lines


def test_a_missing_figure_is_neither_a_win_nor_a_loss() -> None:
    lines = by_shot_markdown(comparison([*COLUMNS[:3], GAPS]))
    assert "| shot 1 | 11 | 9.00 / **2.00** / – | 0.90 / **0.50** / – |" in lines
    assert "| new better than old in |  | 4 of 5 | 0 of 0 |" in lines
    assert "| new better than old by, median |  | +10.0% | – |" in lines
    assert any(line.startswith("| median of 6 | 75 | 9.00 / **3.50** / 3.60 (5–6) |") for line in lines), lines


def turned(yaws: list[float]) -> dict[str, ShotInfo]:
    return {label: ShotInfo(shot.person, 1, yaw) for (label, shot), yaw in zip(SHOTS.items(), yaws)}


def test_figures_are_grouped_by_the_head_s_angle() -> None:
    lines = by_yaw_markdown(comparison(shots=turned([-19.0, 5.0, 30.0, -39.0, 59.0, -60.0])))
    assert lines[0] == "By head angle; the yaw of the truth goes from -60° to 59°."
    rows = {tuple(line.split(" | ")[:3]): line.split(" | ")[3:] for line in lines if line.startswith("| far")}
    means = {key[1]: [float(cell.strip("| ")) for cell in cells] for key, cells in rows.items()}
    assert means["0–20°"] == pytest.approx([9, 1.5, 1.0, 1.35, 0.9])
    assert means["40–90°"] == pytest.approx([9, 5.5, 5.0, 5.55, 4.9])
    frontal = by_yaw_markdown(comparison(shots=turned([0.0] * 6)))
    assert any("2.90 better |" in line for line in frontal)
    assert any("| – |" in line and "| 0 |" in line for line in frontal)


def test_means_by_angle_are_of_the_same_shots() -> None:
    lines = by_yaw_markdown(comparison([*COLUMNS[:3], GAPS], turned([0.0] * 6)))
    far, like = (line for line in lines if "| 0–20° |" in line)
    assert far.startswith("| far ↓ | 0–20° | 5 | 9.00 | 3.80 |")  # without shot 1
    assert like.startswith("| like ↑ | 0–20° | 6 |") and "–" in like.split(" | ")[6]


def test_a_comparison_comes_back_from_json_as_it_was() -> None:
    one = comparison(shots=turned([0.0, 1.5, -60.0, 3.0, 4.0, 5.0]))
    again = Comparison.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one and report(again) == report(one)


def test_a_sheet_shows_eight_blocks_spread_over_all_however_many_there_are() -> None:
    sheet = ContactSheet()
    assert sheet.picture() is None
    for k in range(100):
        sheet.add([[Tile("a", np.full((4, 4, 3), k, np.uint8)), Tile("b", None)]])
    picture = sheet.picture()
    assert picture is not None and picture.shape == (20 + 8 * 192, 2 * 192, 3)
    shown = picture[20::192, 0, 0]
    assert shown[0] == 0 and shown[-1] > 85 and (np.diff(shown.astype(int)) > 5).all()


# Intervals


def people(count: int) -> list[str]:
    return [f"person {k}" for k in range(count)]


def test_intervals_have_the_width_of_the_normal_ones_and_repeat() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    found = bootstrap.interval(values, people(400))
    assert found is not None and found == bootstrap.interval(values, people(400))
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_shots_of_one_person_count_as_one() -> None:
    """Four copies of every value, in any order, tell no more than one."""
    values = np.random.default_rng(2).normal(10, 2, 100)
    once = bootstrap.interval(values, people(100))
    assert once is not None
    again = bootstrap.interval(np.tile(values, 4), people(100) * 4)
    assert again == pytest.approx(once)
    apart = bootstrap.interval(np.tile(values, 4), people(400))
    assert apart is not None and apart[1] - apart[0] < 0.6 * (once[1] - once[0])


def test_intervals_are_paired() -> None:
    """Two systems that differ by a constant differ by it in every draw, however much the shots differ."""
    hard = np.random.default_rng(1).normal(0, 100, 30)
    mean, found = bootstrap.difference(hard + 0.5, hard, people(30)) or (None, None)
    assert mean == pytest.approx(0.5) and found == pytest.approx((0.5, 0.5))


def test_few_people_or_missing_values_have_no_interval() -> None:
    assert bootstrap.interval(np.arange(4.0), people(4)) is None
    assert bootstrap.interval(np.arange(40.0), people(4) * 10) is None
    assert bootstrap.interval(np.array([1.0, 2, 3, 4, np.nan]), people(5)) is None
    assert bootstrap.interval(np.array([3.0, 3, 3, 3, 3, np.nan]), people(6)) == (3, 3)
    assert bootstrap.difference(np.array([np.nan, 1.0]), np.array([1.0, np.nan]), people(2)) is None
