"""What a mouth shows is measured in pictures, and drawn in another mouth: rows of teeth, tongue and darkness."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.face.fitting import LIPS
from engine.motion.motion import MotionFrame
from engine.motion.mouth_sight import CURVES, LOWER_LIP, UPPER_LIP, SeenMouth, filtered
from engine.systems import create
from engine.systems.base import Portrait, Subject
from tests.engine.faces import analysed, portrait_face, portrait_rgb, sample_frames, sample_motion, weights

SKIN, LIP, ENAMEL, DARK, TONGUE = (205, 160, 140), (180, 95, 95), (225, 205, 185), (50, 25, 25), (165, 90, 92)
OUTER_LIPS = [*LIPS[:11], *LIPS[11:20][::-1]]
SHOWS = {"lipGap": 0.1, "teethUpper": 0.4, "teethLower": 0.0, "tongueUp": 0.0, "tongueLight": 0.9, "mouthDark": 0.3}
SIDE = 480
WIDEST = 20  # the frame in which the sample's mouth is open


@functools.cache
def opened() -> np.ndarray:
    """Dense landmarks (468, 3) of a face 480 px wide with its jaw dropped."""
    face = portrait_face()
    head = face.model.deform(face.model.vertices, weights(face.model, jawOpen=0.8))
    points = face.model.dense.at(head) * [1, -1, -1]
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return np.column_stack([(points[:, :2] - low) / (high - low).max() * (SIDE - 40) + 20, points[:, 2]])


def face(upper: float = 0, lower: float = 0, tongue: float = 0, light: float = 1) -> np.ndarray:
    """A flat picture of it, (480, 480, 3): how much of the gap each row covers, and how high its tongue is."""
    picture = np.full((SIDE, SIDE, 3), SKIN, np.uint8)
    top, bottom = (opened()[list(rim), :2] for rim in (UPPER_LIP, LOWER_LIP))

    def fill(start: float, end: float, colour: tuple[int, int, int]) -> None:
        if end > start:
            area = np.concatenate([top + start * (bottom - top), (top + end * (bottom - top))[::-1]])
            cv2.fillPoly(picture, [np.round(area).astype(np.int32)], colour)

    cv2.fillPoly(picture, [np.round(opened()[OUTER_LIPS, :2]).astype(np.int32)], LIP)
    fill(0, 1, DARK)
    fill(1 - tongue, 1, TONGUE)
    fill(0, upper, ENAMEL)
    fill(1 - lower, 1, ENAMEL)
    return (picture * light).astype(np.uint8)


def seen(picture: np.ndarray, dense: np.ndarray | None = None) -> dict[str, float]:
    curves = SeenMouth(picture, opened() if dense is None else dense).curves()
    return dict(zip(CURVES, curves.tolist(), strict=True))


@pytest.mark.parametrize("upper, lower", [(0.0, 0.0), (0.3, 0.0), (0.4, 0.25), (0.0, 0.3), (0.2, 0.2)])
def test_rows_of_teeth_are_measured(upper: float, lower: float) -> None:
    found = seen(face(upper, lower))
    assert found["teethUpper"] == pytest.approx(upper, abs=0.05)
    assert found["teethLower"] == pytest.approx(lower, abs=0.05)


@pytest.mark.parametrize("tongue", [0.0, 0.3, 0.6])
def test_the_tongue_is_measured_and_is_no_row_of_teeth(tongue: float) -> None:
    found = seen(face(upper=0.2, tongue=tongue))
    assert found["tongueUp"] == pytest.approx(tongue, abs=0.05)
    assert found["teethLower"] == 0
    assert found["mouthFlesh"] == pytest.approx(tongue / 0.8, abs=0.1)


def test_an_upper_row_is_no_higher_than_teeth_are() -> None:
    """Paleness from lip to lip is both rows, touching."""
    found = seen(face(upper=1.0))
    assert 0.3 < found["teethUpper"] < 0.7 and found["teethUpper"] + found["teethLower"] == pytest.approx(1)


def test_the_light_does_not_matter() -> None:
    bright, dim = (seen(face(0.4, 0.2, 0.3, light)) for light in (1, 0.45))
    assert dim == pytest.approx(bright, abs=0.06)


def test_a_shut_mouth_shows_nothing() -> None:
    dense = opened().copy()
    dense[list(LOWER_LIP)] = dense[list(UPPER_LIP)]
    found = seen(face(0.5), dense)
    assert found["lipGap"] == found["teethUpper"] == found["teethLower"] == 0


def test_outliers_and_shut_mouths_do_not_disturb_the_curves() -> None:
    curves = np.tile([0.1, 0.4, 0.2, 0.3, 0.9, 0.3, 0.5], (30, 1))
    curves[7, 1:4] = 0
    curves[15:20] = [0.002, 0, 0, 0, 0.5, 0.1, 0]
    kept = dict(zip(CURVES, filtered(curves).T, strict=True))
    np.testing.assert_allclose(kept["teethUpper"], 0.4)
    assert kept["lipGap"][7] == pytest.approx(0.1) and kept["lipGap"][17] < 0.01


def test_one_open_frame_tells_the_inside_of_all() -> None:
    curves = np.zeros((6, len(CURVES)))
    assert not filtered(curves).any()
    curves[2] = [0.1, 0.4, 0.2, 0.3, 0.9, 0.3, 0.5]
    np.testing.assert_allclose(filtered(curves)[:, CURVES.index("teethUpper")], 0.4)


def test_footage_is_measured_when_it_is_analysed() -> None:
    motion = sample_motion()
    assert tuple(motion.mouth) == CURVES and all(len(curve) == len(motion) for curve in motion.mouth.values())
    assert abs(int(motion.mouth["lipGap"].argmax()) - WIDEST) <= 1


def test_a_still_driver_s_mouth_does_not_flicker() -> None:
    noise = np.random.default_rng(0)
    still = sample_frames()[20].astype(np.int16)
    frames = [np.clip(still + noise.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(12)]
    for curve in analysed(frames).mouth.values():
        assert np.ptp(curve) < 0.06


@functools.cache
def subject(system: str = "mesh_warp") -> Subject:
    """A photograph of a smile."""
    return create(system, {}).prepare([Portrait(Path("portrait.png"), portrait_rgb(), portrait_face())])


def draw(
    of: Subject, mouth: dict[str, float], gap: float | None = None, **amounts: float
) -> tuple[np.ndarray, np.ndarray]:
    """A frame, and the dense landmarks (468, 2) of its head."""
    face = of.portraits[0].face
    expression = np.clip(face.expression + weights(face.model, **amounts), 0, 1)
    offsets = np.zeros_like(face.offsets)
    pose = face.pose
    motion = MotionFrame(
        expression, pose.rotation, pose.translation, face.gaze, offsets, "ok", mouth=mouth, lip_gap=gap
    )
    inputs = of.inputs(motion)
    placed = of.portraits[0].geometry.place(face.neutral, expression, np.zeros((2, 2)), offsets)
    return of.draw(inputs), face.camera.project(pose.apply(face.model.dense.at(placed)))[0]


WIDE = {"jawOpen": 0.6, "mouthSmile": -1.0}


@pytest.mark.parametrize("upper, lower", [(0.0, 0.0), (0.3, 0.0), (0.3, 0.3), (0.5, 0.0)])
def test_as_much_of_the_teeth_is_drawn_as_the_driver_shows(upper: float, lower: float) -> None:
    frame, dense = draw(subject(), SHOWS | {"teethUpper": upper, "teethLower": lower}, gap=0.1, **WIDE)
    found = seen(frame, dense)
    assert found["teethUpper"] == pytest.approx(upper, abs=0.12)
    assert found["teethLower"] == pytest.approx(lower, abs=0.12)


def test_the_tongue_is_drawn_where_the_driver_s_is() -> None:
    flesh = [
        seen(*draw(subject(), SHOWS | {"teethUpper": 0.0, "tongueUp": up}, gap=0.1, **WIDE))["tongueUp"]
        for up in (0.0, 0.4, 0.8)
    ]
    assert flesh[0] < 0.1 and flesh[0] + 0.15 < flesh[1] < flesh[2] - 0.15


def test_lips_that_the_driver_shuts_show_nothing() -> None:
    """Also where the mesh leaves them a little apart."""
    apart, dense = draw(subject(), SHOWS, gap=0.05, jawOpen=0.1)
    shut, _ = draw(subject(), SHOWS | {"lipGap": 0.0}, gap=0.0, jawOpen=0.1)
    assert seen(apart, dense)["teethUpper"] > 0.2
    inside = np.zeros(shut.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(dense[[*UPPER_LIP, *LOWER_LIP[::-1]]]).astype(np.int32)], 1)
    assert np.abs(apart.astype(int) - shut)[inside > 0].mean() > 3


def test_an_open_mouth_at_rest_is_the_portrait_s_own() -> None:
    frame, dense = draw(subject(), {})
    mouth = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillPoly(mouth, [np.round(dense[[*UPPER_LIP, *LOWER_LIP[::-1]]]).astype(np.int32)], 1)
    assert np.abs(frame.astype(int) - portrait_rgb())[mouth > 0].mean() < 1


def test_it_comes_without_a_jump() -> None:
    """From the portrait's own mouth to a wide one, by equal steps."""
    frames = [
        draw(subject(), SHOWS | {"lipGap": gap}, gap=gap, jawOpen=5 * (gap - 0.04), mouthSmile=-0.5)[0].astype(int)
        for gap in np.linspace(0.04, 0.1, 25)
    ]
    steps = [np.abs(after - before).mean() for before, after in zip(frames, frames[1:])]
    assert max(steps) < 3 * np.median(steps)


def test_it_is_drawn_after_the_network() -> None:
    (plain, dense), (mended, _) = (
        draw(subject(system), SHOWS, gap=0.1, **WIDE) for system in ("mesh_warp", "identity_matched")
    )
    x, y = dense[[13, 14]].mean(axis=0).astype(int)
    box = np.s_[y - 2 : y + 3, x - 3 : x + 4]
    assert np.abs(plain.astype(int) - mended)[box].max() <= 2
