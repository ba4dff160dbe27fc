"""The project's own detector without its weights' help: crops, search, mattes; and how detectors are compared."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import EngineError
from engine.evaluation import detectors as comparison
from engine.evaluation.extractors.landmarks import REGRESSOR
from engine.tracking import registry as detectors
from engine.tracking.detector import Observation
from engine.tracking.network_matte import guided
from engine.tracking.regressor.inference import WEIGHTS, Crop, Glance, Regressor
from engine.tracking.regressor.layout import SIZE, ideal_crop
from engine.tracking.regressor_detector import RegressorDetector, squares


def smooth_picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(x / 9 + k) * np.cos(y / 11 - k) for k in range(3)]
    return ((np.stack(waves, axis=2) + 1) * 127).astype(np.uint8)


@pytest.mark.parametrize("side", [90.0, 160.0])
def test_a_crop_shows_at_each_place_what_the_picture_shows_there(side):
    rgb = smooth_picture(240, 320)
    crop = Crop(np.array([150.0, 118.0]), side, 0.3)
    seen = (crop.cut(rgb)[0].transpose(1, 2, 0) + 1) * 127.5
    axis = np.linspace(-1, 1, SIZE)
    places = crop.to_picture(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)) - 0.5
    columns, rows = np.rint(places).astype(int).T
    near = np.abs(places - np.rint(places)).max(axis=1) < 0.15
    assert near.sum() > 500
    there = rgb[rows[near], columns[near]].astype(float)
    assert np.abs(seen.reshape(-1, 3)[near] - there).mean() < 4 < np.abs(seen.reshape(-1, 3)[near] - there[::-1]).mean()


def test_a_crop_reaches_beyond_the_picture_into_black():
    crop = Crop(np.array([0.0, 0.0]), 100.0)
    seen = crop.cut(np.full((50, 50, 3), 200, np.uint8))[0]
    assert (seen[:, : SIZE // 2 - 2] == -1).all() and (seen[:, -40:, -40:] > 0.5).any()


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.2])
def test_the_closer_crop_is_upright_and_holds_the_face(angle):
    from engine.face import model

    face = model.load()
    flat = face.dense.at(face.vertices)[:, :2] * [1, -1]
    c, s = np.cos(angle), np.sin(angle)
    dense = np.concatenate([flat @ np.array([[c, s], [-s, c]]) * 9 + [300, 200], np.zeros((468, 1))], axis=1)
    whole = Crop(np.array([320.0, 240.0]), 640.0)
    closer = Glance(whole, dense[:68, :2], dense, np.zeros((2, 5, 2)), 1.0).closer()
    assert closer.angle == pytest.approx(angle, abs=0.02)
    x, y, side = ideal_crop(flat)
    np.testing.assert_allclose(closer.side, side * 9, rtol=0.02)
    np.testing.assert_allclose(closer.centre, np.array([x, y]) @ np.array([[c, s], [-s, c]]) * 9 + [300, 200], atol=2)


@pytest.mark.parametrize("shape", [(480, 640), (1080, 1920), (900, 300), (64, 64)])
@pytest.mark.parametrize("share", [1.0, 0.45, 0.2])
def test_a_search_looks_everywhere(shape, share):
    """Wherever a face is, some square has it within a third of its side of the middle, as the network was trained."""
    crops = squares(shape[0], shape[1], share)
    assert len(crops) < 130
    side, edge = crops[0].side, np.array(shape[::-1])
    rng = np.random.default_rng(0)
    margin = np.minimum(0.25 * side, edge / 2)  # a face that large is not nearer to the edge
    for place in rng.uniform(margin, edge - margin, (200, 2)):
        nearest = min(np.abs(crop.centre - place).max() for crop in crops)
        assert nearest <= 0.36 * side or len(crops) == 1


def test_without_weights_there_is_one_clear_error(tmp_path):
    with pytest.raises(EngineError) as caught:
        RegressorDetector(Regressor(tmp_path / "none.onnx"))
    assert caught.value.code == "missing_network" and "none.onnx" in caught.value.text
    assert ("understudy" in detectors.names()) == WEIGHTS.is_file()


def test_a_guided_matte_takes_the_pictures_edge():
    rgb = np.zeros((80, 80, 3), np.uint8)
    rgb[:, 40:] = 220
    soft = np.clip((np.arange(80) - 30) / 20, 0, 1).astype(np.float32) * np.ones((80, 1), np.float32)
    fitted = guided(soft, rgb, 8)
    assert fitted[40, 41] - fitted[40, 38] > 0.4 > 0.2 > soft[40, 41] - soft[40, 38]


def observation(points: np.ndarray) -> Observation:
    return Observation(points, None, None, 1.0)


def test_detectors_are_compared_by_hand_computed_figures():
    points = np.zeros((68, 2))
    points[36], points[45] = (0, 0), (50, 0)
    row = comparison.Row("set", "truth", "one")
    row.add(observation(points + [3, 4]), observation(points))  # 5 pixels of 50: ten percent, not beyond it
    row.add(observation(points + [6, 8]), observation(points))
    row.add(None, observation(points))
    assert row.errors68 == [10.0, 20.0] and (row.pictures, row.missed) == (3, 2)
    assert "| set | one | truth | 3 | 2 | 15.00 | – | – |" in comparison.table([row])
    steady = [observation(points + [2.0 * t, 0]) for t in range(4)]
    assert comparison.jitter(steady) == pytest.approx(0)
    shaken = [observation(points + [0, t % 2]) for t in range(4)]  # 1, −2, 1 …: two pixels
    assert comparison.jitter(shaken) == pytest.approx(4.0)
    assert comparison.jitter([None, *steady[:2]]) is None


def test_the_floor_is_laid_over_a_face_wherever_it_is():
    from engine.face import model

    face = model.load()
    marks, dense = (anchors.at(face.vertices)[:, :2] * [1, -1] for anchors in (face.landmarks68, face.dense))
    c, s = np.cos(0.4), np.sin(0.4)
    turn = 7 * np.array([[c, -s], [s, c]])
    truth = Observation(marks @ turn.T + [90, 40], np.column_stack([dense @ turn.T + [90, 40], dense[:, 0]]), None, 1.0)
    laid = comparison._mean_face(truth)
    np.testing.assert_allclose(laid.landmarks68, truth.landmarks68, atol=1e-3)
    assert laid.dense is not None and truth.dense is not None
    np.testing.assert_allclose(laid.dense[:, :2], truth.dense[:, :2], atol=1e-3)


def test_mattes_are_compared_by_hand_computed_figures():
    truth = np.zeros((100, 100), np.float32)
    truth[:, 50:] = 1
    made = np.zeros((100, 100), np.float32)
    made[:, 60:] = 1
    assert comparison.iou(made, truth) == pytest.approx(0.8)
    assert comparison.iou(truth * 0, made * 0) == 1
    shifted = np.roll(truth, -1, axis=1)
    shifted[:, -1] = 1
    assert comparison.edge_error(shifted, truth) == pytest.approx(25.0)  # one column of the four within two pixels
    assert comparison.edge_error(truth, truth) == 0


def test_it_finds_the_face_of_a_photograph_it_never_saw():
    skimage = pytest.importorskip("skimage.data")
    rgb, ours = np.asarray(skimage.astronaut()), RegressorDetector(Regressor(REGRESSOR))
    found, other = ours.detect(rgb), detectors.create("builtin").detect(rgb)
    assert found is not None and other is not None
    eyes = np.linalg.norm(other.landmarks68[45] - other.landmarks68[36])
    assert np.linalg.norm(found.landmarks68 - other.landmarks68, axis=1).mean() < 0.15 * eyes
    assert ours.detect(np.full((200, 300, 3), 90, np.uint8)) is None


def test_the_comparison_asks_for_something_to_look_at(capsys):
    from engine.evaluation.cli import main

    assert main(["detectors"]) == 1
    assert "nothing to look at" in capsys.readouterr().err.lower()
