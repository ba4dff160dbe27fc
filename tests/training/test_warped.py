"""What geometry makes of a labelled pair lies on the truth, says of itself what is so, and is kept in shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.portrait import Portrait
from engine.geometry.frame_inputs import EYE, MOUTH, NO_MESH, SKIN, FrameInputs, PortraitInputs
from engine.geometry.framing import Square
from engine.tracking.detector import Detector, Observation
from engine.training.batch import collate
from engine.training.resize import smaller_pair
from engine.training.sample import Frame, Pair
from engine.training.shard_writer import build
from engine.training.shards import ShardSamples
from engine.training.warped import USUAL, Warped, fit, inputs_of, motion
from tests.engine.heads import known
from tests.training.heads import PlainHeads

SIZE = 128
WHOLE, PIECE = Square(0, 0, SIZE), Square(30, 20, 80)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Warped(PlainHeads()).pair(0, SIZE)


def warped(pair: Pair) -> dict[str, np.ndarray]:
    assert pair.inputs is not None
    return pair.inputs


def test_the_warp_lies_on_the_driving_frame(pair: Pair) -> None:
    made = warped(pair)
    assert pair.flow is not None and pair.flow_visible is not None
    shown = pair.flow_visible & (made["parts"] == SKIN) & (made["hidden"] < 25)
    true = pair.flow.astype(np.float64)[shown]
    error = np.linalg.norm(made["flow"].astype(np.float64)[shown] - true, axis=1)
    assert shown.sum() > 500 and np.median(error) < 0.5 < np.median(np.linalg.norm(true, axis=1))
    truth = pair.driving.image[shown].astype(int)
    assert np.abs(made["warped"][shown] - truth).mean() < 0.5 * np.abs(pair.source.image[shown] - truth).mean()


def test_a_pair_at_rest_is_left_alone() -> None:
    frame = PlainHeads().pair(1, SIZE).source
    made = inputs_of(Pair(frame, frame))
    assert np.abs(made["warped"].astype(int) - frame.image).mean() < 1
    skin = np.abs(made["flow"][made["parts"] == SKIN].astype(float))
    assert skin.mean() < 0.05 and skin.max() < 2 and made["hidden"].max() == 0  # rims look at their margin
    np.testing.assert_allclose(made["pncc"], made["source_pncc"], atol=0.01)


def test_the_codes_are_of_one_head_in_two_poses(pair: Pair) -> None:
    made = warped(pair)
    x, y = (made["flow"][..., k].astype(np.float64) for k in range(2))
    rows, columns = np.nonzero((made["parts"] == SKIN) & (made["hidden"] < 25) & (np.abs(made["stretch"]) < 1))
    there = np.rint(rows + y[rows, columns]).astype(int), np.rint(columns + x[rows, columns]).astype(int)
    apart = np.abs(made["pncc"][rows, columns].astype(float) - made["source_pncc"][there])
    assert np.median(apart) < 0.01
    assert ((made["pncc"] > 0).any(axis=2) == (made["parts"] != NO_MESH)).mean() > 0.99
    assert {NO_MESH, SKIN, EYE} <= set(np.unique(made["parts"])) <= {NO_MESH, SKIN, EYE, MOUTH}


def test_a_camera_of_another_focal_length_is_followed() -> None:
    """The same head drawn from twice as far and twice as long: labels alone tell, and the flow is near the same."""
    heads = PlainHeads().pair(2, SIZE)
    near = inputs_of(heads)
    far = [
        replace(frame, focal=2 * (frame.focal or 0), translation=known(frame.translation) * [1, 1, 2])
        for frame in (heads.source, heads.driving)
    ]
    shown = (near["parts"] == SKIN) & (near["hidden"] < 25)
    error = np.linalg.norm((inputs_of(Pair(far[0], far[1]))["flow"].astype(float) - near["flow"])[shown], axis=1)
    assert 0.05 < np.median(error) < 3


class Labels(Detector):
    """Sees what is true of ``frames``, no face in any other picture, and so none in a clip."""

    name = "labels"

    def __init__(self, *frames: Frame) -> None:
        self._frames = frames

    def detect(self, rgb: np.ndarray) -> Observation | None:
        return next((fit(frame).observation for frame in self._frames if np.array_equal(frame.image, rgb)), None)

    def track(self, rgb: np.ndarray) -> Observation | None:
        return None


def test_tracked_it_is_driven_by_what_the_fitter_makes_of_a_detectors_points(pair: Pair) -> None:
    exact, tracked = warped(pair), inputs_of(pair, detector=Labels(pair.source, pair.driving))
    shown = (exact["parts"] == SKIN) & (tracked["parts"] == SKIN) & (exact["hidden"] < 25) & (tracked["hidden"] < 25)
    apart = np.linalg.norm(exact["flow"][shown].astype(float) - tracked["flow"][shown], axis=1)
    assert shown.sum() > 500 and 0.01 < np.median(apart) < 1


def test_blinks_are_the_true_ones_where_the_detector_sees_open_eyes(pair: Pair) -> None:
    lids = [k for k, name in enumerate(face_model.load().expression_names) if name.startswith("eyeBlink")]
    shut = known(pair.driving.expression).copy()
    shut[lids] = 1
    told, detector = replace(pair.driving, expression=shut), Labels(pair.source, pair.driving)
    awake, blinking = inputs_of(pair, detector=detector), inputs_of(replace(pair, driving=told), detector=detector)
    assert (blinking["parts"] == EYE).sum() < 0.4 * (awake["parts"] == EYE).sum()
    changed = np.abs(blinking["pncc"].astype(float) - awake["pncc"]).max(axis=-1) > 0.01
    assert 0 < changed.mean() < 0.05  # around the eyes only


def test_what_the_detector_misses_is_driven_by_the_truth(pair: Pair) -> None:
    missed = Warped(PlainHeads(), detector=Labels(pair.source))
    np.testing.assert_array_equal(warped(missed.pair(0, SIZE))["warped"], warped(pair)["warped"])
    assert missed.describe() == _heads().describe() | {"tracked": "labels"}


def test_shards_keep_it(tmp_path: Path) -> None:
    build(tmp_path / "with", _heads, 3, SIZE, inputs=USUAL)
    build(tmp_path / "without", PlainHeads, 3, SIZE)
    here, there = _heads().pair(1, SIZE), ShardSamples(tmp_path / "with").pair(1, SIZE)
    for name in USUAL:
        np.testing.assert_array_equal(warped(here)[name], warped(there)[name], name)
    assert ShardSamples(tmp_path / "without").pair(1, SIZE).inputs is None
    assert "warp" in _heads().describe() and "warp" not in PlainHeads().describe()


def _heads() -> Warped:
    return Warped(PlainHeads())


def test_it_is_reduced_with_its_pair(pair: Pair) -> None:
    large, small = warped(pair), warped(smaller_pair(pair, SIZE // 2))
    assert small["warped"].shape == (SIZE // 2, SIZE // 2, 3)
    middle = np.s_[SIZE // 4 : SIZE // 4 + 8, SIZE // 4 : SIZE // 4 + 8]
    expected = large["flow"].astype(np.float32).reshape(SIZE // 2, 2, SIZE // 2, 2, 2).mean(axis=(1, 3)) / 2
    np.testing.assert_allclose(small["flow"][middle], expected[middle], atol=0.02)
    face = (small["parts"] == SKIN) & (small["pncc"] > 0).any(axis=2)
    assert np.abs(small["pncc"][face].astype(float) - large["pncc"][1::2, 1::2][face]).mean() < 0.02


def test_batches_hold_it_on_the_grid(pair: Pair) -> None:
    batch = collate([pair, pair], [f"inputs_{name}" for name in USUAL])
    made = warped(pair)
    shapes = {name: tuple(batch[f"inputs_{name}"].shape) for name in USUAL}
    three, one = (2, 3, SIZE, SIZE), (2, 1, SIZE, SIZE)
    assert shapes == {
        **{"warped": three, "pncc": three, "source_pncc": three, "flow": (2, 2, SIZE, SIZE)},
        **{"hidden": one, "stretch": one, "parts": (2, SIZE, SIZE)},
    }
    assert (
        batch["inputs_warped"].min() >= -1 and batch["inputs_warped"].max() <= 1 and batch["inputs_hidden"].max() <= 1
    )
    np.testing.assert_allclose(batch["inputs_flow"][0, 0] * (SIZE - 1) / 2, made["flow"][..., 0], atol=1e-3)
    np.testing.assert_array_equal(batch["inputs_parts"][1], made["parts"])
    with pytest.raises(EngineError, match="inputs_warped"):
        collate([replace(pair, inputs=None)], ["inputs_warped"])


def test_a_pair_without_a_face_or_labels_is_one_clear_error() -> None:
    pair = PlainHeads().pair(0, SIZE)
    for frame in (replace(pair.source, face=False), replace(pair.source, dense=None)):
        with pytest.raises(EngineError) as caught:
            inputs_of(replace(pair, source=frame))
        assert caught.value.code == "missing_label"


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_square_is_cut_where_it_lies(scale: float) -> None:
    """Of a picture whose colours are its places in portrait pixels."""
    places = (np.indices((round(200 * scale), round(300 * scale))).transpose(1, 2, 0).astype(np.float32) + 0.5) / scale
    cut = Square(40.5, 20, 120).cut(places, 60, (scale, scale))
    centres = (np.arange(60) + 0.5) * 2
    np.testing.assert_allclose(cut[..., 0], np.broadcast_to(20 + centres[:, None], (60, 60)), atol=0.05)
    np.testing.assert_allclose(cut[..., 1], np.broadcast_to(40.5 + centres, (60, 60)), atol=0.05)


def test_a_crop_says_the_same_as_the_whole_picture() -> None:
    """As a portrait's head is cut out to be drawn, and whole pictures are trained on."""
    pair = PlainHeads().pair(0, SIZE)
    portrait, names = Portrait(Path(), pair.source.image, fit(pair.source)), (*USUAL, "depth", "landmarks68")
    matte, moved = known(pair.source.matte) / 255, motion(pair.driving, float(pair.source.focal or 0))

    def seen(square: Square, side: int) -> FrameInputs:
        return FrameInputs(PortraitInputs(portrait, names, side, square, matte.astype(np.float32)), moved)

    cut = np.s_[20 : 20 + 80, 30 : 30 + 80]
    everywhere, here = seen(WHOLE, SIZE), seen(PIECE, 80)
    for name in ("pncc", "flow", "hidden", "parts", "depth"):
        np.testing.assert_allclose(here[name], everywhere[name][cut], atol=1e-3, err_msg=name)
    np.testing.assert_allclose(here["stretch"][1:-1, 1:-1], everywhere["stretch"][cut][1:-1, 1:-1], atol=0.01)
    np.testing.assert_allclose(here["source_pncc"], everywhere["source_pncc"][cut], atol=1e-5)
    np.testing.assert_allclose(here["landmarks68"] + [30, 20], everywhere["landmarks68"], atol=1e-3)
    reduced = seen(PIECE, 160)["flow"].reshape(80, 2, 80, 2, 2).mean(axis=(1, 3)) / 2
    assert np.median(np.abs(reduced - here["flow"])) < 0.01 < 1 < np.abs(here["flow"]).mean()


def test_arrays_say_what_the_labels_say() -> None:
    """Of the driving frame, whose head they pose: depth, landmarks, and which of them are in view."""
    pair = PlainHeads().pair(0, SIZE)
    made = inputs_of(pair, ("landmarks68", "dense", "source_landmarks68", "visible68", "depth", "mesh", "matte"))
    marks = known(pair.driving.landmarks68)
    assert np.linalg.norm(made["landmarks68"] - marks, axis=1).mean() < 0.5
    assert np.linalg.norm(made["source_landmarks68"] - known(pair.source.landmarks68), axis=1).mean() < 0.5
    assert np.linalg.norm(made["dense"][:, :2] - known(pair.driving.dense)[:, :2], axis=1).mean() < 0.5
    at = made["mesh"][..., 2]
    near = made["depth"][np.isfinite(made["depth"])]
    assert -at.max() - 0.1 < near.min() and near.max() < -at.min() + 0.1
    assert made["dense"][1, 2] < made["dense"][234, 2] - 5, "the nose is nearer than an ear"
    assert made["visible68"][27:31].all(), "the bridge of the nose"
    inside = made["matte"][made["landmarks68"][30, 1].astype(int), made["landmarks68"][30, 0].astype(int)]
    assert inside > 250
