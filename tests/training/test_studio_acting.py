"""How the studio's people act: smoothly, within what bodies can do, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from engine.face import model as face_model
from engine.face.maths import vector_from_rotation
from engine.training.studio.people.acting import MAX_PITCH, MAX_YAW, Moment, Take, act, blink, moment
from engine.training.studio.people.expressions import index, names, physical
from engine.training.studio.randomness import draws

FPS = 50.0


def _yaw(moments: list[Moment]) -> np.ndarray:
    turns = np.stack([m.rotation for m in moments])
    return np.degrees(np.arctan2(turns[:, 0, 2], turns[:, 2, 2]))


@pytest.fixture(scope="module")
def performances() -> list[list[Moment]]:
    return [act(draws(3, "performance", k), 1500, FPS) for k in range(6)]


def test_the_same_draws_act_the_same_and_others_do_not() -> None:
    one, same, other = (act(draws(seed, "act"), 20) for seed in (1, 1, 2))
    for a, b in zip(one, same):
        assert np.array_equal(a.expression, b.expression) and np.array_equal(a.rotation, b.rotation)
        assert np.array_equal(a.gaze, b.gaze) and np.array_equal(a.body_translation, b.body_translation)
    assert not np.allclose(one[0].rotation, other[0].rotation)


def test_motion_does_not_depend_on_the_frame_rate() -> None:
    coarse = Take(draws(5, "take"), 2.0).at(np.arange(0, 2, 0.2))
    fine = Take(draws(5, "take"), 2.0).at(np.arange(0, 2, 0.1))[::2]
    for a, b in zip(coarse, fine):
        assert np.allclose(a.expression, b.expression, atol=1e-5) and np.allclose(a.rotation, b.rotation)


def test_weights_are_weights_and_poses_are_rotations(performances: list[list[Moment]]) -> None:
    for performance in performances:
        weights = np.stack([m.expression for m in performance])
        assert weights.shape[1] == len(names()) and weights.min() >= 0 and weights.max() <= 1
        closed, opened = weights[:, index("mouthClose")], weights[:, index("jawOpen")]
        assert (closed <= opened + 1e-6).all()
        turns = np.stack([m.rotation for m in performance] + [m.body_rotation for m in performance])
        assert np.allclose(turns @ turns.swapaxes(1, 2), np.eye(3), atol=1e-9)


def test_heads_and_faces_move_no_faster_than_bodies_can(performances: list[list[Moment]]) -> None:
    fast = {*index("eyeBlink"), *(k for k, name in enumerate(names()) if name.startswith("eyeLook"))}
    slow = [k for k in range(len(names())) if k not in fast]
    for performance in performances:
        turns = [m.rotation for m in performance]
        speed = [np.degrees(np.linalg.norm(vector_from_rotation(b @ a.T))) * FPS for a, b in zip(turns, turns[1:])]
        assert max(speed) < 320  # degrees a second, a quick turn
        place = np.stack([m.translation for m in performance])
        assert np.linalg.norm(np.diff(place, axis=0), axis=1).max() * FPS < 120  # cm a second
        weights = np.stack([m.expression for m in performance])[:, slow]
        assert np.abs(np.diff(weights, axis=0)).max() * FPS < 18  # a mouth opens in a twelfth of a second at best


def test_blinks_come_about_as_often_as_peoples_and_close_faster_than_they_open(
    performances: list[list[Moment]],
) -> None:
    count, falls, rises = 0, [], []
    for performance in performances:
        lid = np.stack([m.expression for m in performance])[:, index("eyeBlink")[0]]
        shut = lid > 0.55
        starts = np.flatnonzero(shut[1:] & ~shut[:-1])
        count += len(starts)
        slope = np.diff(lid) * FPS
        rises.append(slope.max())
        falls.append(-slope.min())
    minutes = sum(len(performance) for performance in performances) / FPS / 60
    assert 8 < count / minutes < 50
    assert np.mean(rises) > 1.3 * np.mean(falls)


def test_the_eyes_stay_in_their_sockets_and_lead_the_head(performances: list[list[Moment]]) -> None:
    leads = []
    for performance in performances:
        gaze = np.stack([m.gaze for m in performance])
        assert np.abs(gaze[..., 0]).max() < 0.45 and np.abs(gaze[..., 1]).max() < 0.68
        yaw, eye = _yaw(performance), np.degrees(gaze[:, :, 1].mean(axis=1))
        ahead = int(0.4 * FPS)
        turned = yaw[ahead:] - yaw[:-ahead]
        large = np.abs(turned) > 12
        leads += list(np.sign(turned[large]) * (eye[:-ahead] + yaw[:-ahead] - yaw[:-ahead])[large])
    assert len(leads) > 50 and np.mean(leads) > 3  # before a turn the eyes already look where it will go


def test_lids_follow_the_gaze(performances: list[list[Moment]]) -> None:
    for performance in performances:
        down = np.stack([m.expression for m in performance])[:, index("eyeLookDown")[0]]
        pitch = np.stack([m.gaze for m in performance])[:, 0, 0]
        assert (down[pitch < -0.1] > 0.15).all() and (down[pitch > 0] == 0).all()


def test_lids_meet_and_do_not_cross_wherever_the_eyes_look() -> None:
    model = face_model.load()
    asked = np.zeros((3, len(names())))
    for name, amounts in (("eyeBlink", (1, 1, 1)), ("eyeLookDown", (0, 0.9, 0.5)), ("eyeSquint", (0, 0, 0.5))):
        asked[:, index(name)] = np.array(amounts)[:, None]
    for weights in physical(asked):
        marks = model.landmarks68.at(model.deform(model.vertices, weights))
        gap = (marks[[37, 38, 43, 44]] - marks[[41, 40, 47, 46]])[:, 1].mean()
        assert abs(gap) < 0.08, weights  # cm


def test_a_blink_shuts_the_eyes_and_changes_nothing_else() -> None:
    lids = [*index("eyeBlink"), *index("eyeWide")]
    model, others = face_model.load(), np.setdiff1d(np.arange(len(names())), lids)
    gaps = []
    for k in range(40):
        awake = moment(draws(8, "moment", k))
        shut = blink(awake, draws(8, "blink", k))
        np.testing.assert_array_equal(shut.expression[others], awake.expression[others])
        np.testing.assert_array_equal(shut.rotation, awake.rotation)
        marks = model.landmarks68.at(model.deform(model.vertices, shut.expression))
        gaps.append(abs((marks[[37, 38, 43, 44]] - marks[[41, 40, 47, 46]])[:, 1].mean()))
    assert np.median(gaps) < 0.08 and max(gaps) < 0.6  # cm; a quarter are not quite shut


def test_moments_cover_the_poses_and_favour_the_front() -> None:
    moments = [moment(draws(4, "moment", k)) for k in range(400)]
    yaw = _yaw(moments)
    assert np.abs(yaw).max() <= np.degrees(MAX_YAW) + 1
    assert yaw.min() < -50 and yaw.max() > 50
    near, far = (np.abs(yaw) < 20).mean(), (np.abs(yaw) > 40).mean()
    assert near > 0.45 and 0.05 < far < 0.3
    pitch = np.array([np.degrees(np.arcsin(m.rotation[1, 2])) for m in moments])
    assert np.abs(pitch).max() <= np.degrees(MAX_PITCH) + 1 and np.ptp(pitch) > 35


def test_faces_speak_and_feel() -> None:
    weights = np.stack([moment(draws(6, "moment", k)).expression for k in range(300)])
    spread = dict(zip(names(), np.percentile(weights, 97, axis=0)))
    for name in ("jawOpen", "mouthSmile_L", "browInnerUp_L", "mouthFunnel", "mouthPress_L", "browDown_L"):
        assert spread[name] > 0.2, name
    smile = weights[:, index("mouthSmile")]
    assert np.abs(smile[:, 0] - smile[:, 1]).max() > 0.03 and np.corrcoef(smile.T)[0, 1] > 0.8
