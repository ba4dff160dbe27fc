"""The arrays that systems read: only those declared, each made once, all consistent with the portrait."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import catalog
from engine.cli import systems as listing
from engine.face.portrait import Portrait
from engine.geometry.frame_inputs import FIELDS, MOUTH, SKIN, FrameInputs, PortraitInputs, Undeclared
from engine.geometry.landmark_image import PARTS, landmark_image
from engine.motion.motion import MotionFrame
from tests.engine.faces import portrait_face, portrait_rgb, turn, weights

SIDE = 128
LIVE = {"driver_image"}  # given, not made


def motion(yaw: float = 0.0, **expression: float) -> MotionFrame:
    fit = portrait_face()
    made = np.clip(fit.expression + weights(fit.model, **expression), 0, 1)
    rotation = turn(yaw) @ fit.pose.rotation
    return MotionFrame(made, rotation, fit.pose.translation, fit.gaze, np.zeros_like(fit.offsets), "ok")


def portrait(*needs: str) -> PortraitInputs:
    return PortraitInputs(Portrait(Path("portrait.png"), portrait_rgb(), portrait_face()), needs, SIDE)


@pytest.fixture(scope="module")
def everything() -> FrameInputs:
    moved = motion(20, jawOpen=0.7)
    return FrameInputs(portrait(*FIELDS), moved, [motion(10), moved, moved], np.zeros((4, 6, 3), np.uint8))


@pytest.mark.parametrize("name", FIELDS)
def test_every_array_has_its_declared_shape(name: str, everything: FrameInputs) -> None:
    model, (height, width) = portrait_face().model, portrait_rgb().shape[:2]
    sides = {"S": SIDE, "K": len(model.identity), "E": len(model.expression), "N": len(model.vertices)}
    sides |= {"H": height, "W": width, "h": 4, "w": 6, "2r+1": 3}
    array = everything[name]
    assert array.shape == FIELDS[name].dims(sides) and array is everything[name], "made once"
    stored = FIELDS[name].kind.stored(array)
    assert stored.dtype == FIELDS[name].kind.dtype
    if FIELDS[name].shape[:2] == ("S", "S"):
        tensor = everything.tensor(name)
        assert tensor.shape[0] == 1 and tensor.shape[-2:] == (SIDE, SIDE) and np.isfinite(tensor).all()
        small = FIELDS[name].kind.smaller(stored, SIDE // 2, SIDE)
        assert small.shape[:2] == (SIDE // 2,) * 2 and small.dtype == stored.dtype


def test_the_catalog_names_only_arrays_that_exist() -> None:
    assert {name for info in catalog.SYSTEMS for name in info.needs} <= set(FIELDS)


def test_what_is_not_declared_cannot_be_read() -> None:
    inputs = FrameInputs(portrait("landmarks68", "source_image"), motion())
    assert inputs["landmarks68"].shape == (68, 2) and inputs["source_image"].shape == (SIDE, SIDE, 3)
    for name in ("pncc", "source_pncc", "driver_image", "nonsense"):
        with pytest.raises(Undeclared, match=f"'{name}'.*needs"):
            inputs[name]


def test_landmarks_alone_cost_no_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the flow was made")

    monkeypatch.setattr("engine.geometry.flow.FlowBuilder.flow", refuse)
    assert FrameInputs(portrait("landmarks68"), motion())["landmarks68"].any()


def test_at_rest_the_frame_is_the_portrait(everything: FrameInputs) -> None:
    rest = FrameInputs(everything.portrait, motion())
    np.testing.assert_allclose(rest["landmarks68"], rest["source_landmarks68"], atol=0.01)
    np.testing.assert_allclose(rest["pncc"], rest["source_pncc"], atol=1e-5)
    assert np.abs(rest["flow"][rest["parts"] == SKIN]).mean() < 0.1
    both = np.isfinite(rest["depth"]) & np.isfinite(rest["source_depth"])
    assert both.any() and np.abs(rest["depth"][both] - rest["source_depth"][both]).max() < 0.01
    assert np.abs(rest["matte"] - rest["source_matte"]).mean() < 0.01


def test_a_turned_head_hides_its_far_side(everything: FrameInputs) -> None:
    assert everything["source_visible68"].sum() > 60
    profile = FrameInputs(everything.portrait, motion(70))
    eyes = [profile["visible68"][first : first + 6].sum() for first in (36, 42)]
    assert max(eyes) > 3 > min(eyes)
    assert (everything["parts"] == MOUTH).sum() > (FrameInputs(everything.portrait, motion())["parts"] == MOUTH).sum()


def test_the_driver_s_own_head_differs_and_is_the_portrait_s_where_nobody_is_known(everything: FrameInputs) -> None:
    np.testing.assert_array_equal(everything["driver_pncc"], everything["pncc"])
    other = replace(everything.motion, driver=portrait_face().identity + 2)
    inputs = FrameInputs(everything.portrait, other)
    np.testing.assert_array_equal(inputs["pncc"], everything["pncc"])
    assert np.abs(inputs["driver_landmarks68"] - inputs["landmarks68"]).max() > 1


def test_the_window_is_the_frames_around(everything: FrameInputs) -> None:
    np.testing.assert_allclose(everything["rotation"][1], everything.motion.rotation, atol=1e-6)
    assert not np.allclose(everything["rotation"][0], everything["rotation"][1])
    alone = FrameInputs(portrait("expression"), motion(jawOpen=0.5))["expression"]
    assert alone.shape == (1, len(portrait_face().expression)), "by itself it is its own window"


def test_landmark_images_show_every_part_in_its_colour() -> None:
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    image = landmark_image(np.column_stack([128 + 100 * np.cos(angle), 128 + 100 * np.sin(angle)]), 256)
    shown = image.reshape(-1, 3).astype(int)
    for *_, colour in PARTS:
        assert np.abs(shown - colour).max(axis=1).min() < 40
    assert (image[118:138, 118:138] == 0).all()
    landmark_image(np.full((68, 2), 1e9), 64)  # points far outside are no error


def test_the_tables_list_every_system_option_detector_and_array(capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.main([]) == 0
    printed = capsys.readouterr().out
    for info in (*catalog.SYSTEMS, *catalog.DETECTORS):
        assert f"| `{info.name}` | {info.label} |" in printed
    for info in catalog.SYSTEMS:
        assert all(f"| `{info.name}` | `{option.name}` | {option.accepts} |" in printed for option in info.options)
    assert listing.main(["--inputs"]) == 0
    printed = capsys.readouterr().out
    assert all(f"| `{name}` | " in printed for name in FIELDS)
