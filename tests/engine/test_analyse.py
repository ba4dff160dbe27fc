"""Footage → motion, on the clip the repository renders: what the head was made to do is what is read."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from engine.errors import Cancelled, EngineError
from engine.face.model import FaceModel, load
from engine.motion.analyse import neutral_frame
from engine.motion.motion import Motion
from tests.engine.faces import (
    analysed,
    degrees_between,
    sample_frames,
    sample_motion,
    sample_script,
    tracked_of,
    weights,
)

BLINKS = (13, 36)  # frames at which the rendered lids are shut
LIPS, CORNERS = (13, 14), (33, 263)  # dense points: inner lips, outer corners of the eyes
UPPER_LIDS, LOWER_LIDS = [159, 386], [145, 374]
GAP = slice(10, 16)  # of a shorter clip: painted over


def distance(points: np.ndarray, a: int | list[int], b: int | list[int]) -> float:
    return float(np.linalg.norm(points[a] - points[b], axis=-1).mean())


def openings(model: FaceModel, neutral: np.ndarray, expression: np.ndarray) -> tuple[float, float]:
    """How far a head opens its mouth and its eyes, in units of the distance between the eyes."""
    points = model.dense.at(model.deform(neutral, expression))
    unit = distance(points, *CORNERS)
    return distance(points, *LIPS) / unit, distance(points, UPPER_LIDS, LOWER_LIDS) / unit


@pytest.fixture(scope="module")
def rendered() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the script made the head do: openings (48, 2), rotation (48, 3, 3), gaze to image right (48,), radians."""
    script, model = sample_script(), load()
    sitter = script.Sitter()
    acts = [script.performance(frame) for frame in range(script.FRAMES)]
    opened = [openings(model, sitter.neutral, weights(model, **amounts)) for amounts, _, _ in acts]
    return np.array(opened), np.array([head.as_matrix() for _, head, _ in acts]), np.array([a[2][0] for a in acts])


@pytest.fixture(scope="module")
def read() -> np.ndarray:
    """Openings (48, 2) of the analysed head."""
    model, motion = load(), sample_motion()
    neutral = model.neutral(tracked_of(motion).identity)
    return np.array([openings(model, neutral, expression) for expression in motion.expression])


def test_every_frame_is_read_and_described() -> None:
    motion, model = sample_motion(), load()
    assert len(motion) == 48 and motion.valid.all()
    assert (motion.start, motion.stop) == (0, 48)
    assert motion.expression_names == model.expression_names
    tracked = tracked_of(motion)
    assert (tracked.detector, tracked.model, tracked.size) == ("builtin", model.sha256, (320, 320))
    assert tracked.confidence.min() > 0.7 and tracked.residual.max() < 2
    assert np.allclose(motion.rotation @ motion.rotation.swapaxes(1, 2), np.eye(3), atol=1e-9)


def test_the_mouth_opens_when_the_rendered_mouth_does(rendered: tuple, read: np.ndarray) -> None:
    mouth, expected = read[:, 0], rendered[0][:, 0]
    assert np.corrcoef(mouth, expected)[0, 1] > 0.93
    assert abs(int(mouth.argmax()) - int(expected.argmax())) <= 1
    assert 0.75 < np.ptp(mouth) / np.ptp(expected) < 1.25


def test_the_eyes_shut_at_the_rendered_blinks_and_at_no_other_time(rendered: tuple, read: np.ndarray) -> None:
    eyes = read[:, 1]
    assert np.corrcoef(eyes, rendered[0][:, 1])[0, 1] > 0.85
    shut = np.flatnonzero(eyes < 0.4 * np.median(eyes))
    assert set(BLINKS) <= set(shut.tolist())
    assert all(min(abs(frame - blink) for blink in BLINKS) <= 1 for frame in shut)


def test_the_head_and_the_eyes_turn_as_rendered(rendered: tuple) -> None:
    motion, (_, rotation, gaze) = sample_motion(), rendered
    # The script's head frame and the fitted one may differ by a constant: compare the turns since the first frame.
    turns = [r @ r[0].T for r in (motion.rotation, rotation)]
    errors = [degrees_between(a, b) for a, b in zip(*turns)]
    assert max(errors) < 6 and np.mean(errors) < 3
    assert np.ptp(np.degrees(np.arcsin(motion.rotation[:, 0, 2]))) > 30
    read = motion.gaze[:, :, 1].mean(axis=1)
    assert np.corrcoef(read, gaze)[0, 1] > 0.95
    assert np.degrees(np.abs(read - gaze)).mean() < 5


def test_the_neutral_frame_is_at_rest(read: np.ndarray) -> None:
    motion = sample_motion()
    mouth, eyes = read[motion.neutral - motion.start]
    assert mouth < np.percentile(read[:, 0], 35)
    assert eyes > 0.8 * np.median(read[:, 1])
    effort = np.linalg.norm(motion.expression, axis=1)
    assert effort[motion.neutral] < np.percentile(effort, 35)


def test_a_blink_is_never_the_neutral_frame() -> None:
    assert sample_motion().neutral not in range(BLINKS[0] - 2, BLINKS[0] + 3)
    # Ten frames of one attitude that all speak, but for the one whose eyes are shut: shut lids are no rest.
    expression = np.full((10, 4), 0.8)
    expression[3] = [0, 0, 0, 1]
    shut = np.array([0.1] * 3 + [1.0] + [0.1] * 6)
    expression[7] *= 0.9
    still = np.tile(np.eye(3), (10, 1, 1))
    assert neutral_frame(expression, still, np.ones(10), np.ones(10, bool), shut) == 7


def test_eyes_are_not_guessed_to_roll_behind_shut_lids() -> None:
    gaze = np.degrees(sample_motion().gaze)
    blink = BLINKS[0]
    assert np.abs(gaze[blink] - (gaze[blink - 3] + gaze[blink + 3]) / 2).max() < 3


def same(a: Motion, b: Motion) -> bool:
    """Whether two motions are equal to the bit."""
    pairs = ((a, b), (tracked_of(a), tracked_of(b)))
    return all(
        np.array_equal(getattr(first, field.name), getattr(second, field.name))
        for first, second in pairs
        for field in fields(first)
        if field.name not in ("tracked", "mouth")
    ) and same_curves(a.mouth, b.mouth)


def same_curves(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_the_same_footage_gives_the_same_motion() -> None:
    frames = sample_frames()[:14]
    assert same(analysed(frames), analysed(frames))


@pytest.fixture(scope="module")
def gapped() -> Motion:
    frames = list(sample_frames()[:24])
    frames[GAP] = [np.full_like(frames[0], 128)] * 6
    frames[0] = np.full_like(frames[0], 128)
    return analysed(frames, start=200)


def test_frames_without_a_face_are_held_and_listed(gapped: Motion) -> None:
    assert len(gapped) == 24 and (gapped.start, gapped.stop) == (200, 224)
    assert np.flatnonzero(~gapped.valid).tolist() == [0, *range(24)[GAP]]
    inside = slice(GAP.start + 1, GAP.stop - 1)  # the gap's rims are smoothed towards the frames beside it
    tracked = tracked_of(gapped)
    for values, tolerance in ((gapped.expression, 0.02), (tracked.offsets, 0.02), (gapped.translation, 0.5)):
        assert np.abs(values[inside] - values[inside.start]).max() < tolerance
    assert all(degrees_between(a, gapped.rotation[inside.start]) < 1.5 for a in gapped.rotation[inside])
    assert not tracked.confidence[~gapped.valid].any() and not tracked.residual[~gapped.valid].any()
    assert gapped.valid[gapped.neutral - 200]
    whole = analysed(sample_frames()[:24], start=200)
    assert np.abs(gapped.expression[5:9] - whole.expression[5:9]).mean() < 0.1
    assert all(degrees_between(*pair) < 3 for pair in zip(gapped.rotation[18:], whole.rotation[18:]))


def test_no_face_in_any_frame_names_the_footage() -> None:
    grey = [np.full((240, 320, 3), 120, np.uint8)] * 3
    with pytest.raises(EngineError) as fault:
        analysed(grey, name="/footage/leer é.mov")
    assert fault.value.code == "no_face" and "/footage/leer é.mov" in fault.value.text


def test_one_frame_is_enough() -> None:
    motion = analysed(sample_frames()[:1], start=7)
    assert (len(motion), motion.start, motion.neutral) == (1, 7, 7)
    assert motion.valid.all()


def test_who_listens_may_stop_it() -> None:
    heard: list[float] = []

    def listen(done: float) -> None:
        heard.append(done)
        if len(heard) == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        analysed(sample_frames(), listen=listen)
    assert heard == sorted(heard) and heard[-1] <= 5
