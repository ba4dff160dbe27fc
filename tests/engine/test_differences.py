"""What tables conclude from figures, on figures written down by hand."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from engine.errors import EngineError
from engine.evaluation.contestant import FLOOR, Contestant
from engine.evaluation.correlation import Correlation, correlations, signals
from engine.evaluation.differences import against_all
from engine.evaluation.entrants import Entrant
from engine.evaluation.landmarkers import Fitting, Landmarker
from engine.evaluation.metrics import HIGHER, LOWER
from engine.evaluation.pictures import CEILING, Moment, Picture
from engine.evaluation.regions import box
from engine.evaluation.scores import MeanScore
from engine.evaluation.sheets import Sheet, Tile
from engine.evaluation.shot_table import ShotTable
from engine.evaluation.yaw_table import YawTable
from engine.tracking.detector import Observation
from tests.engine.faces import observed, sample_frames

SHOTS = {f"shot {k}": f"person {k}" for k in range(6)}
LENGTHS = {shot: 10 + k for k, shot in enumerate(SHOTS)}
DOT = Picture(np.zeros((8, 8, 3), np.uint8))


class Written(MeanScore):
    """Figures by shot, as given."""

    digits, telling = 2, True

    def __init__(self, name: str, better: str, figures: list[float]) -> None:
        super().__init__()
        self.name, self.better = name, better
        self._figures = dict(zip(SHOTS, figures))
        for shot in SHOTS:
            self.update(DOT, Moment(shot, "someone", 0, DOT, DOT))

    def measure(self, output: Picture, moment: Moment) -> float | None:
        figure = self._figures[moment.shot]
        return None if np.isnan(figure) else figure


def contestant(label: str, distance: list[float], likeness: list[float], exact: bool = False) -> Contestant:
    entrant = None if label in (FLOOR, CEILING) else Entrant(label.removesuffix(", true motion"), "null", {}, True)
    return Contestant(label, entrant, exact, [Written("far", LOWER, distance), Written("like", HIGHER, likeness)])


@pytest.fixture
def contestants() -> list[Contestant]:
    base = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    return [
        contestant(FLOOR, [9.0] * 6, [0.9] * 6),
        contestant("old", base, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
        contestant("old, true motion", [figure - 0.5 for figure in base], [0.6] * 6, exact=True),
        contestant("new", [0.9, 1.8, 2.7, 3.6, 4.5, 6.6], [0.4, 0.6, 0.4, 0.6, 0.4, 0.6]),
        contestant("new, true motion", [figure - 0.6 for figure in base], [0.5] * 6, exact=True),
    ]


def test_differences_are_paired_and_like_is_compared_with_like(contestants: list[Contestant]) -> None:
    copy, first = against_all(contestants, SHOTS, None)
    assert [other.label for other in first.others] == ["new", "new, true motion"]
    far, like = first.rows
    assert far[1] is not None and far[1].mean == pytest.approx(-0.1)  # from the column of true motion, shot by shot
    assert far[1].verdict == "better" and far[1].interval == pytest.approx((-0.1, -0.1))
    assert far[0] is not None and far[0].verdict == ""
    assert like[1] is not None and like[1].verdict == "worse"
    text = "\n".join(first.markdown())
    assert "- new, true motion against old: better in 1 (far); worse in 1 (like)." in text
    assert "- new against old: undecided in 2 (far, like)." in text
    assert [other.label for other in copy.others] == [c.label for c in contestants[1:]]
    assert copy.to_json()["old"]["far"]["mean"] == pytest.approx(-5.5)


def test_the_same_figures_are_called_equal(contestants: list[Contestant]) -> None:
    twin = contestant("twin", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.5] * 6)
    (found,) = against_all([contestants[1], twin], SHOTS, ["old"])
    assert "- twin against old: equal in 2 (far, like)." in found.markdown()


def test_shots_of_few_people_show_little(contestants: list[Contestant]) -> None:
    """What five people would show is one person's affair here."""
    shown, alone = dict(SHOTS), dict.fromkeys(SHOTS, "the same person")
    twin = contestant("twin", [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], [0.5] * 6)
    for shots, verdict in ((shown, "better"), (alone, "")):
        (found,) = against_all([contestants[1], twin], shots, ["old"])
        assert found.rows[0][0] is not None and found.rows[0][0].verdict == verdict


def test_differences_are_taken_from_whom_one_names(contestants: list[Contestant]) -> None:
    (found,) = against_all(contestants, SHOTS, ["new"])
    assert [other.label for other in found.others] == ["old", "old, true motion"]
    with pytest.raises(EngineError, match="nobody"):
        against_all(contestants, SHOTS, ["nobody"])


def test_shots_are_listed_with_wins_medians_and_exceptions(contestants: list[Contestant]) -> None:
    ceiling = contestant(CEILING, [0.1] * 6, [0.99] * 6)
    table = ShotTable([*contestants, ceiling], LENGTHS)
    lines = table.markdown()
    assert lines[0] == "Shot by shot: copy of the source / old / new / truth encoded again."  # as in use only
    assert "| shot 0 | 10 | 9.00 / 1.00 / **0.90** / 0.10 | 0.90 / **0.50** / 0.40 / 0.99 |" in lines
    assert "| median of 6 | 75 | 9.00 / 3.50 / **3.15** / 0.10 | 0.90 / **0.50** / **0.50** / 0.99 |" in lines
    assert "| new better than old in |  | 5 of 6 | 3 of 6 |" in lines
    assert "| new better than old by, median |  | +10.0% | +0.0% |" in lines
    record = table.to_json()
    assert record["median_gains"]["far"] == {"new": pytest.approx(0.1)}
    assert record["medians"]["far"] == {FLOOR: 9.0, "old": 3.5, "new": pytest.approx(3.15), CEILING: 0.1}
    assert record["frames"] == LENGTHS
    assert {(e["shot"], e["metric"]) for e in record["exceptions"]} == {
        ("shot 0", "like"),
        ("shot 2", "like"),
        ("shot 4", "like"),
        ("shot 5", "far"),
    }
    assert "- new, shot 5: far 6.00 → 6.60, 10% worse" in lines


def test_what_is_missing_is_neither_won_nor_lost(contestants: list[Contestant]) -> None:
    contestants[3] = contestant("new", [0.9, np.nan, 2.7, 3.6, 4.5, 6.6], [np.nan] * 6)
    lines = ShotTable(contestants, LENGTHS).markdown()
    assert "| shot 1 | 11 | 9.00 / **2.00** / – | 0.90 / **0.50** / – |" in lines
    assert "| new better than old in |  | 4 of 5 | 0 of 0 |" in lines
    assert "| new better than old by, median |  | +10.0% | – |" in lines
    assert any(line.startswith("| median of 6 | 75 | 9.00 / **3.50** / 3.60 (5–6) |") for line in lines), lines


def test_signals_hold_while_the_picture_is_scaled_and_turned() -> None:
    points = observed([sample_frames()[0]])[0].landmarks68
    c, s = np.cos(0.4), np.sin(0.4)
    assert signals(3 * points @ np.array([[c, -s], [s, c]]) + 7) == pytest.approx(signals(points))
    opened = points.copy()
    opened[65:68, 1] += 10  # the lower lip's inner edge
    assert signals(opened)[0] > signals(points)[0]
    assert signals(opened)[1:] == pytest.approx(signals(points)[1:])


def test_correlations_are_each_signals_own() -> None:
    t = np.linspace(0, 6, 30)
    driver = np.stack([np.sin(t), np.cos(t), np.sin(t), np.zeros(30)], axis=1)
    output = np.stack([2 * np.sin(t) + 5, np.zeros(30), -np.sin(t), np.sin(t)], axis=1)
    np.testing.assert_allclose(correlations(np.stack([output, driver], axis=1)), [1, 0, -1, 0], atol=1e-9)


class Reader(Landmarker):
    """Sees mouth and eyes opened as far as a picture's first pixels say, each landmarker by a row of its own."""

    def __init__(self, row: int) -> None:
        self.name, self.suffix, self._row = ("judge", "witness")[row], "syn", row

    def __call__(self, picture: Picture) -> Observation:
        points = _points().copy()
        mouth, eyes = picture.rgb[self._row, :2, 0] / 10
        points[[61, 62, 63], 1] -= mouth
        points[[37, 38, 43, 44], 1] -= eyes
        return Observation(points, None, None, 1.0)


@functools.cache
def _points() -> np.ndarray:
    return observed([sample_frames()[0]])[0].landmarks68


def test_a_signal_counts_where_two_landmarkers_see_it_alike_in_the_driver() -> None:
    """The mouth moves for both; of the eyes the judge sees noise, and to follow that or not is all the same."""
    draws = np.random.default_rng(3)
    mouth, noise = (40 + 30 * np.sin(np.arange(40) / 3)), draws.uniform(10, 90, (3, 40))

    def picture(judge: tuple[float, float], witness: tuple[float, float]) -> Picture:
        rgb = np.zeros((2, 2, 3), np.uint8)
        rgb[0, :, 0], rgb[1, :, 0] = judge, witness
        return Picture(rgb)

    score = Correlation("exp", Fitting(Reader(0)), Fitting(Reader(1)))
    for k in range(40):
        driver = picture((mouth[k], noise[0, k]), (mouth[k], noise[1, k]))
        output = picture((mouth[k], 100 - noise[0, k]), (0, 0))
        score.update(output, Moment("shot", "who", k, driver, driver))
    assert score.value() == pytest.approx(1, abs=0.01)
    assert score.note() == "corr_exp-syn: 1 of 4 signals of 1 shots, which judge and witness see alike"
    assert score.count() == 40
    asleep = Correlation("exp", Fitting(Reader(0)), Fitting(Reader(1)))
    for k in range(40):
        driver = picture((0, noise[0, k]), (0, noise[1, k]))
        asleep.update(driver, Moment("shot", "who", k, driver, driver))
    assert asleep.value() is None and asleep.by_shot() == {} and asleep.count() == 0


def test_the_far_cheek_is_on_the_side_that_is_turned_away() -> None:
    points = observed([sample_frames()[0]])[0].landmarks68
    shape = sample_frames()[0].shape
    nose = points[30, 0]
    for shift, left in ((-0.2, True), (0.2, False)):
        turned = points.copy()
        turned[27:36, 0] += shift * (points[16, 0] - points[0, 0])  # the nose goes where the face turns
        place = box("far cheek", turned, shape)
        assert place is not None and ((place.left + place.right) / 2 < nose) == left
    mouth = box("mouth", points, shape)
    assert mouth is not None
    assert mouth.left < points[48, 0] < points[54, 0] < mouth.right and mouth.top < points[62, 1] < mouth.bottom
    assert box("mouth", points + 10_000, shape) is None


def test_a_sheet_shows_eight_blocks_spread_over_all_however_many_there_are() -> None:
    sheet = Sheet()
    assert sheet.picture() is None
    for k in range(100):
        sheet.add([[Tile("a", np.full((4, 4, 3), k, np.uint8)), Tile("b", None)]])
    picture = sheet.picture()
    assert picture is not None and picture.shape == (20 + 8 * 192, 2 * 192, 3)
    shown = picture[20::192, 0, 0]
    assert shown[0] == 0 and shown[-1] > 85 and (np.diff(shown.astype(int)) > 5).all()


def test_figures_are_parted_by_the_head_s_angle(contestants: list[Contestant]) -> None:
    yaws = dict(zip(SHOTS, (-19.0, 5.0, 30.0, -39.0, 59.0, -60.0)))
    lines = YawTable(contestants, SHOTS, yaws).markdown()
    assert lines[0] == "By head angle; the yaw of the truth goes from -60° to 59°."
    rows = {tuple(line.split(" | ")[:3]): line.split(" | ")[3:] for line in lines if line.startswith("| far")}
    means = {key[1]: [float(cell.strip("| ")) for cell in cells] for key, cells in rows.items()}
    assert means["0–20°"] == pytest.approx([9, 1.5, 1.0, 1.35, 0.9])
    assert means["40–90°"] == pytest.approx([9, 5.5, 5.0, 5.55, 4.9])
    frontal = dict.fromkeys(SHOTS, 0.0)
    assert any("2.90 better |" in line for line in YawTable(contestants, SHOTS, frontal).markdown())
    assert any("| – |" in line and "| 0 |" in line for line in YawTable(contestants, SHOTS, frontal).markdown())


def test_means_by_angle_are_of_the_same_shots(contestants: list[Contestant]) -> None:
    contestants[3] = contestant("new", [0.9, np.nan, 2.7, 3.6, 4.5, 6.6], [np.nan] * 6)
    frontal = dict.fromkeys(SHOTS, 0.0)
    far, like = (line for line in YawTable(contestants, SHOTS, frontal).markdown() if "| 0–20° |" in line)
    assert far.startswith("| far ↓ | 0–20° | 5 | 9.00 | 3.80 |")  # without shot 1
    assert like.startswith("| like ↑ | 0–20° | 6 |") and "–" in like.split(" | ")[6]
