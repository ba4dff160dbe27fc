"""A photograph driven by the rendered clip, from files to files: she does what the driver does, and only she moves."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import EngineError
from engine.face.camera import Camera, Pose
from engine.face.fitting import INNER_LIPS, Fitter
from engine.face.model import load
from engine.face.subject import FaceFit, fit_face
from engine.media.image import encode_png, read_image
from engine.motion.motion import MotionFrame
from engine.pipeline import render
from engine.protocol import Driving, Job
from engine.systems import create
from engine.systems.base import Portrait
from tests.engine import dense_signals as signals
from tests.engine.faces import (
    SAMPLE,
    fitted,
    observed,
    portrait_face,
    portrait_rgb,
    sample_frames,
    turn,
    weights,
    write_smaller_model,
)

FRAMES = range(48)
BLINKS = (13, 36)
OPEN = 20  # the driver's mouth at its widest
CORNER = 20  # px


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The finished frames (48, H, W, 3), read back from disk."""
    folder = tmp_path_factory.mktemp("take")
    (folder / "portrait.png").write_bytes(encode_png(portrait_rgb()))
    job = Job(
        system="mesh_warp",
        portraits=(str(folder / "portrait.png"),),
        driving=Driving("movie", str(SAMPLE)),
        frames=tuple((1001 + i, i) for i in FRAMES),
        fps=(24000, 1001),
        output=str(folder / "out"),
        shot="shot",
    )
    messages: list[dict] = []
    assert render(job, messages.append, lambda: False)
    assert not [m for m in messages if m["type"] == "warning"]
    out = next(Path(m["folder"]) for m in messages if m["type"] == "take")
    return np.stack([read_image(out / f"{out.name}.{1001 + i}.png") for i in FRAMES])


def acting(rgbs: np.ndarray | tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    dense = np.stack([face.dense for face in observed(rgbs) if face.dense is not None])
    names = (*signals.EXPRESSION, *signals.ANGLES)
    return dict(zip(names, np.concatenate([signals.expression(dense), signals.pose(dense)], axis=1).T))


@pytest.fixture(scope="module")
def driver() -> dict[str, np.ndarray]:
    return acting(sample_frames())


@pytest.fixture(scope="module")
def driven(take: np.ndarray) -> dict[str, np.ndarray]:
    return acting(take)


def test_frames_are_the_portrait_s_size(take: np.ndarray) -> None:
    assert take.shape == (48, *portrait_rgb().shape) and take.dtype == np.uint8


@pytest.mark.parametrize("signal, least", [("mouth", 0.9), ("eyes", 0.7), ("yaw", 0.95), ("pitch", 0.8), ("roll", 0.9)])
def test_she_follows_the_driver(driven: dict, driver: dict, signal: str, least: float) -> None:
    assert np.corrcoef(driven[signal], driver[signal])[0, 1] > least


def test_her_mouth_opens_when_the_driver_s_does(driven: dict) -> None:
    mouth = driven["mouth"]
    assert abs(int(mouth.argmax()) - OPEN) <= 1
    assert mouth.max() > 0.15 and mouth[[0, 16, 40]].max() < 0.5 * mouth.max()


def test_her_eyes_shut_when_the_driver_blinks(driven: dict) -> None:
    eyes = driven["eyes"]
    shut = np.flatnonzero(eyes < 0.8 * np.median(eyes)).tolist()
    assert set(BLINKS) <= set(shut)
    assert all(min(abs(frame - blink) for blink in BLINKS) <= 2 for frame in shut)


def test_the_background_does_not_move(take: np.ndarray) -> None:
    rgb = portrait_rgb().astype(int)
    for corner in (np.s_[:CORNER, :CORNER], np.s_[:CORNER, -CORNER:]):
        assert rgb[corner].std() > 3  # a change would be seen
        assert np.abs(take[(slice(None), *corner)] - rgb[corner]).max() <= 1


def test_the_picture_moves_smoothly(take: np.ndarray) -> None:
    steps = np.abs(np.diff(take.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 0.05 and steps.max() < 5 * np.median(steps)


@functools.cache
def subject():
    return create("mesh_warp", {}).prepare([Portrait(Path("portrait.png"), portrait_rgb(), portrait_face())])


def draw(
    rotation: np.ndarray | None = None, gaze: float = 0, identity: np.ndarray | None = None, **amounts: float
) -> np.ndarray:
    face = portrait_face()
    rotation = face.pose.rotation if rotation is None else face.pose.rotation @ rotation
    expression = np.clip(face.expression + weights(face.model, **amounts), 0, 1)
    aside = face.gaze + np.array([0, gaze])
    offsets = np.zeros_like(face.offsets)
    motion = MotionFrame(expression, rotation, face.pose.translation, aside, offsets, "ok", identity=identity)
    return subject().draw(subject().inputs(motion))


def test_the_same_motion_is_the_same_picture_whatever_was_drawn_between() -> None:
    first = draw(turn(5), jawOpen=0.4)
    draw(turn(-15), gaze=0.3, eyeBlink=1.0)
    assert np.array_equal(draw(turn(5), jawOpen=0.4), first)


def test_another_head_moves_in_the_portrait_s_place() -> None:
    """The driver's, where it is asked for: her own identity changes nothing, one with wider jaws widens her."""
    face = portrait_face()
    np.testing.assert_array_equal(draw(turn(5), identity=face.identity), draw(turn(5)))
    moved = [face.model.landmarks68.at(basis) for basis in face.model.identity]
    widens = np.array([marks[12, 0] - marks[4, 0] for marks in moved])
    other = face.identity + 3 * np.sign(widens) * (np.abs(widens) == np.abs(widens).max())
    seen = [seen.landmarks68 for seen in observed([draw()] * 2 + [draw(identity=other)] * 2)]
    own, theirs = (points[12, 0] - points[4, 0] for points in (seen[1], seen[3]))
    assert theirs > own + 4  # px


def test_an_opened_mouth_shows_its_inside_and_moves_the_chin() -> None:
    shut, opened = draw(mouthSmile=-1.0), draw(mouthSmile=-1.0, jawOpen=0.7)
    points = [face.dense for face in observed([shut, shut, opened, opened]) if face.dense is not None]
    assert points[3][152, 1] - points[1][152, 1] > 5  # px
    lips = points[3][[13, 14], :2].mean(axis=0).astype(int)
    inside = opened[lips[1] - 3 : lips[1] + 3, lips[0] - 5 : lips[0] + 5].mean()
    cheek = points[3][205, :2].astype(int)
    assert inside < 0.7 * opened[cheek[1] - 3 : cheek[1] + 3, cheek[0] - 3 : cheek[0] + 3].mean()


@pytest.mark.parametrize("size", [1.0, 0.5])
def test_the_lower_teeth_are_of_the_colour_of_those_that_the_portrait_shows(size: float) -> None:
    """She smiles with her upper row; the lower one is the model's."""
    rgb = cv2.resize(portrait_rgb(), None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    white, yellow = _lower_teeth(rgb, (1, 1, 1), (1, 0.95, 0.85))
    assert yellow[2] / yellow[0] < 0.97 * white[2] / white[0]


def test_what_is_red_or_dark_is_no_row_of_teeth() -> None:
    tints = (1, 1, 1), (1, 0.75, 0.7), (0.3, 0.3, 0.3), (0.8, 0.3, 0.3)
    own, red, dark, lips = _lower_teeth(portrait_rgb(), *tints)
    np.testing.assert_allclose([red, dark], [lips, lips], rtol=0.08)
    assert own[2] / own[0] > 1.05 * lips[2] / lips[0]


def test_a_photograph_in_black_and_white_stays_so() -> None:
    grey = cv2.cvtColor(cv2.cvtColor(portrait_rgb(), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert np.ptp(_opened(grey, fitted(grey)).astype(int), axis=2).max() <= 2


def test_eyes_turn_without_the_head() -> None:
    looks = {}
    for gaze in (-0.35, 0.35):
        rgb = draw(gaze=gaze)
        (_, _, face) = observed([rgb, rgb, rgb])
        assert face.iris is not None and face.dense is not None
        corners = face.dense[[33, 133], 0], face.dense[[362, 263], 0]  # of her right and left eye
        right, left = face.iris[1, 0, 0], face.iris[0, 0, 0]
        looks[gaze] = [(x - c.min()) / np.ptp(c) for x, c in zip((right, left), corners)]
    assert (np.subtract(looks[0.35], looks[-0.35]) > 0.1).all()


def test_a_portrait_fitted_with_a_smaller_face_model_is_drawn_too(tmp_path: Path) -> None:
    model, seen = load(write_smaller_model(tmp_path / "small.safetensors")), portrait_face().observation
    fitter = Fitter(model, Camera(*portrait_rgb().shape[1::-1]), dense=True)
    face = fit_face(fitter, seen, fitter.subject([seen]))
    small = create("mesh_warp", {}).prepare([Portrait(Path("portrait.png"), portrait_rgb(), face)])
    expression = np.clip(face.expression + weights(model, jawOpen=0.5), 0, 1)
    pose = Pose(face.pose.rotation @ turn(12), face.pose.translation)
    offsets = np.zeros_like(face.offsets)
    motion = MotionFrame(expression, pose.rotation, pose.translation, face.gaze, offsets, "ok")
    rgb = small.draw(small.inputs(motion))
    assert signals.expression(_dense(rgb))[0] > signals.expression(_dense(portrait_rgb()))[0] + 0.1


def test_an_option_it_does_not_have_is_refused() -> None:
    with pytest.raises(EngineError, match="sharpness") as fault:
        create("mesh_warp", {"sharpness": 2})
    assert fault.value.code == "bad_option"


def _dense(rgb: np.ndarray) -> np.ndarray:
    dense = observed([rgb] * 3)[-1].dense
    assert dense is not None
    return dense


def _lower_teeth(rgb: np.ndarray, *tints: tuple[float, ...]) -> list[np.ndarray]:
    """(3,) each: a row of pixels above the lower lip, when all between her lips is tinted; that which is least red with
    the first of the ``tints``."""
    face = fitted(rgb)
    assert face.observation.dense is not None
    between = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillPoly(between, [face.observation.dense[list(INNER_LIPS), :2].astype(np.int32)], 1)
    x, y = _dense(_opened(rgb, face))[14, :2].astype(int)
    reach, found = round(0.02 * rgb.shape[1]), []
    for tint in tints:
        opened = _opened(np.where(between[..., None], rgb * tint, rgb).astype(np.uint8), face)
        found.append(opened[y - reach : y, x - reach : x + reach + 1].mean(axis=1))
    row = (found[0][:, 2] / found[0][:, 0]).argmax()
    return [rows[row] for rows in found]


def _opened(rgb: np.ndarray, face: FaceFit) -> np.ndarray:
    """The portrait with its jaw dropped and its smile gone."""
    expression = np.clip(face.expression + weights(face.model, jawOpen=0.6, mouthSmile=-1.0), 0, 1)
    still = face.pose.rotation, face.pose.translation, face.gaze, np.zeros_like(face.offsets), "ok"
    portrait = Portrait(Path("portrait.png"), rgb, face)
    subject = create("mesh_warp", {}).prepare([portrait])
    return subject.draw(subject.inputs(MotionFrame(expression, *still)))
