"""The renderer's geometry, on a photograph: nothing moves at rest, little moves for little motion."""

from __future__ import annotations

import functools
from contextlib import closing

import cv2
import numpy as np
import pytest

from engine.face.camera import Pose
from engine.geometry.flow import FlowBuilder, GeometryFlow, stretch
from engine.geometry.source_geometry import SourceGeometry, push_out
from engine.raster.opencv import Fragments
from engine.tracking.person_matte import PersonMatte
from tests.engine.faces import portrait_face, portrait_rgb, turn, weights


@functools.cache
def matte() -> np.ndarray:
    with closing(PersonMatte()) as segment:
        return segment(portrait_rgb())


@functools.cache
def source() -> SourceGeometry:
    return SourceGeometry(portrait_face(), matte())


STRAIGHT = np.eye(3)


def flow(rotation: np.ndarray = STRAIGHT, gaze: float = 0, **amounts: float) -> GeometryFlow:
    """The portrait turned further, looking aside by ``gaze`` radians, its expression changed by these amounts."""
    face = portrait_face()
    expression = face.expression + weights(face.model, **amounts)
    placed = source().place(face.neutral, expression, np.full((2, 2), gaze) * [0, 1])
    return FlowBuilder(source())(placed, Pose(face.pose.rotation @ rotation, face.pose.translation))


def identity(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    return np.stack([columns, rows], axis=-1).astype(np.float32)


def drawn(made: GeometryFlow) -> np.ndarray:
    """The part of the face model at each pixel, −1 without mesh."""
    return made.fragments.image(made.fragment_part.astype(np.int16), -1)


def test_at_rest_every_pixel_looks_at_itself() -> None:
    still = flow()
    away = np.linalg.norm(still.source - identity(still.source.shape[:2]), axis=2)
    # Lids and lips look at their margin's skin, and what the portrait hides looks beside it.
    assert np.percentile(away, 95) < 0.05 and np.median(away) < 0.005
    assert still.source.shape == (320, 288, 2) and still.scale == 1
    middle = np.abs(stretch(still.source)[drawn(still) == portrait_face().model.parts["skin"]])
    assert np.median(middle) < 0.01


def test_the_parts_drawn_lie_where_the_portrait_shows_them() -> None:
    still, face = flow(), portrait_face()
    part, parts = drawn(still), face.model.parts
    assert part[2, 2] == -1
    seen = face.observation
    assert seen.dense is not None and seen.iris is not None
    for name, iris in zip(("eye_left", "eye_right"), seen.iris):
        column, row = iris[0].astype(int)
        assert part[row, column] == parts[name]
    for point in (4, 205, 425, 10):  # nose, cheeks, forehead
        column, row = seen.dense[point, :2].astype(int)
        assert part[row, column] == parts["skin"]


def test_a_turned_head_takes_its_pixels_along() -> None:
    face = portrait_face()
    turned = flow(turn(20))
    nose = face.model.landmarks68.at(turned.vertices)[30]
    column, row = nose.astype(int)
    looked_at = turned.source[row, column]
    truth = face.model.landmarks68.at(source().pixels)[30]
    assert np.linalg.norm(nose - truth) > 5 and np.linalg.norm(looked_at - truth) < 2


def test_a_little_motion_is_a_little_flow() -> None:
    still = flow()

    def change(share: float, **amounts: float) -> float:
        moved = flow(turn(share * 10), share * 0.2, **{name: share * amount for name, amount in amounts.items()})
        return float(np.abs(moved.source - still.source).mean())

    little, whole = change(0.01, jawOpen=0.5, eyeBlink=0.5), change(1.0, jawOpen=0.5, eyeBlink=0.5)
    assert 0 < little < 0.05 * whole


def test_a_large_portrait_is_worked_on_small_and_says_at_what_scale() -> None:
    face = portrait_face()
    small = FlowBuilder(source(), side=160)
    reduced = small(source().vertices, face.pose)
    assert small.shape == (160, 144) == reduced.source.shape[:2] and reduced.scale == 0.5
    full = cv2.resize(flow().source, (144, 160), interpolation=cv2.INTER_AREA)
    assert np.median(np.abs(reduced.source - full)) < 0.1
    assert isinstance(reduced.fragments, Fragments) and reduced.hidden.max() <= 1


def openings(head: np.ndarray) -> np.ndarray:
    """(2,) cm between the lids of both eyes of a head."""
    marks = portrait_face().model.landmarks68.at(head)
    return np.array([marks[[37, 43], 1] - marks[[41, 47], 1], marks[[38, 44], 1] - marks[[40, 46], 1]]).mean(axis=0)


def opened(**amounts: float) -> tuple[np.ndarray, np.ndarray]:
    """Both eyes' openings as shares of the portrait's own: as the model has them, and as they are placed."""
    face, geometry = portrait_face(), source()
    given = weights(face.model, **amounts)
    expression = np.where(weights(face.model, **dict.fromkeys(amounts, 1)) > 0, given, face.expression)
    own = openings(geometry.vertices)
    plain = openings(face.model.deform(face.neutral, expression) + geometry.correction)
    return plain / own, openings(geometry.place(face.neutral, expression, np.zeros((2, 2)))) / own


def test_lids_that_are_nearly_shut_meet_and_others_are_as_fitted() -> None:
    fitted, placed = np.array([opened(eyeBlink=blink) for blink in np.linspace(0, 1.2, 61)]).transpose(1, 2, 0)
    for plain, met in zip(fitted, placed, strict=True):
        np.testing.assert_allclose(met[plain > 0.45], plain[plain > 0.45], atol=1e-3)
        slit = (plain > 0) & (plain < 0.2)
        assert slit.any() and met[slit].max() < 0 < met[slit].min() + 0.15  # over each other, a little
        assert np.diff(met).max() < 1e-3  # it goes on closing


def test_one_eye_winks_and_a_look_down_is_no_blink() -> None:
    fitted, winking = opened(eyeBlink_L=0.8, eyeBlink_R=0.0)
    assert winking[0] == pytest.approx(fitted[0], abs=1e-3) and winking[0] > 0.9  # subject's right eye
    assert winking[1] < 0.01
    fitted, reading = opened(eyeLookDown=1.0, eyeSquint=0.4, eyeBlink=0.0)
    assert (fitted < 0.4).all()
    np.testing.assert_allclose(reading, fitted, atol=1e-3)


def rows_apart(**amounts: float) -> float:
    """By how much more than in the expressionless head the rows of teeth are apart, cm."""
    face, geometry = portrait_face(), source()

    def apart(**amounts: float) -> float:
        placed = geometry.place(face.neutral, weights(face.model, **amounts), np.zeros((2, 2)))
        return float(placed[geometry.anatomy.upper_jaw, 1].mean() - placed[geometry.anatomy.lower_jaw, 1].mean())

    return apart(**amounts) - apart()


def test_rows_of_teeth_meet_in_a_grin_until_the_jaw_drops() -> None:
    said = rows_apart(jawOpen=0.15)
    assert said > 0.15
    assert rows_apart(jawOpen=0.15, mouthSmile=0.8) == pytest.approx(0, abs=0.02)
    assert said < rows_apart(jawOpen=0.8, mouthSmile=0.8) == pytest.approx(rows_apart(jawOpen=0.8), rel=0.1)
    wider = [rows_apart(jawOpen=jaw, mouthSmile=0.8) for jaw in np.linspace(0, 1, 21)]
    assert np.diff(wider).min() > -1e-3 and np.diff(wider).max() < 0.5  # the jaw opens with it, and no row jumps
    assert rows_apart(jawOpen=0.15, mouthSmile=0.2) == pytest.approx(said, abs=0.1)  # friendly speech


def test_points_inside_an_opening_are_pushed_over_its_nearest_edge() -> None:
    square = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 20.0], [10.0, 20.0]])
    points = np.array([[20.0, 11.0], [29.0, 15.0], [11.0, 18.5], [20.0, 25.0], [0.0, 15.0], [31.0, 15.0]])
    moved = push_out(points, square, 2.0)
    assert np.allclose(moved[:3], [[20, 8], [32, 15], [8, 18.5]])
    assert np.array_equal(moved[3:], points[3:])
    assert np.allclose(push_out(points, square[::-1], 2.0), moved)
    concave = np.array([[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [10.0, 4.0], [0.0, 20.0]])
    assert np.array_equal(push_out(np.array([[10.0, 10.0]]), concave, 1.0), [[10.0, 10.0]])
    assert push_out(np.array([[1.0, 10.0]]), concave, 1.0)[0, 0] == -1
