"""A driver's motion on a portrait: what is copied, what is added to the portrait's own, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import EngineError
from engine.face.subject import FaceFit
from engine.motion.performance import MotionFrame, Performance
from engine.motion.retarget import Retargeter
from tests.engine.faces import degrees_between, portrait_face, sample_performance, weights

PARTS = ("expression", "rotation", "translation")
SPEAKS = 20  # the frame at which the sample opens its mouth widest


@pytest.fixture
def smiling() -> FaceFit:
    return portrait_face()


@pytest.fixture
def serious() -> FaceFit:
    """The same portrait, had she not smiled."""
    face = portrait_face()
    smile = weights(face.model, mouthSmile=1.0) > 0
    return replace(face, expression=np.where(smile, 0.1, face.expression))


@pytest.fixture
def performance() -> Performance:
    return sample_performance()


def refused(performance: Performance, face: FaceFit, **options) -> EngineError:
    with pytest.raises(EngineError) as fault:
        Retargeter(performance, face, **options)
    assert fault.value.remedy
    return fault.value


def test_relative_motion_at_the_neutral_frame_is_the_portrait_itself(
    performance: Performance, smiling: FaceFit
) -> None:
    for neutral in (performance.neutral, 5, SPEAKS):
        frame = Retargeter(performance, smiling, "relative", neutral).frame(neutral)
        assert np.allclose(frame.expression, smiling.expression, atol=1e-12)
        assert np.allclose(frame.rotation, smiling.pose.rotation, atol=1e-12)
        assert np.allclose(frame.translation, smiling.pose.translation, atol=1e-12)
        assert np.allclose(frame.gaze, smiling.gaze, atol=1e-12)
        assert not frame.offsets.any()
        assert frame.status == "ok"


def test_relative_motion_adds_the_driver_s_change(performance: Performance, serious: FaceFit) -> None:
    rest = performance.neutral
    frame = Retargeter(performance, serious, "relative").frame(SPEAKS)
    jaw = serious.model.expression_index("jawOpen")
    opened = performance.expression[SPEAKS, jaw] - performance.expression[rest, jaw]
    assert opened > 0.2 and np.isclose(frame.expression[jaw] - serious.expression[jaw], opened)
    turned = frame.rotation @ serious.pose.rotation.T
    assert degrees_between(turned, performance.rotation[SPEAKS] @ performance.rotation[rest].T) < 1e-3
    nearer = serious.pose.translation[2] / performance.translation[rest, 2]
    moved = (performance.translation[SPEAKS] - performance.translation[rest]) * nearer
    assert np.allclose(frame.translation - serious.pose.translation, moved)


def test_absolute_motion_is_the_driver_s(performance: Performance, smiling: FaceFit) -> None:
    retargeter = Retargeter(performance, smiling, "absolute")
    for i in (0, SPEAKS, 36):
        frame = retargeter.frame(i)
        assert np.abs(frame.expression - performance.expression[i]).max() < 0.05  # where smoothing overshot the box
        assert np.array_equal(frame.rotation, performance.rotation[i])
        assert np.array_equal(frame.translation, performance.translation[i])
        assert np.allclose(frame.gaze, performance.gaze[i])


def test_mixed_motion_takes_the_driver_s_expression_when_the_portrait_smiles(
    performance: Performance, smiling: FaceFit, serious: FaceFit
) -> None:
    mixed, calm = Retargeter(performance, smiling), Retargeter(performance, serious)
    assert mixed.modes == {
        "expression": "absolute",
        "rotation": "absolute",
        "translation": "relative",
        "gaze": "relative",
    }
    assert calm.modes == mixed.modes | {"expression": "relative"}
    alone = {name: Retargeter(performance, smiling, name).frame(SPEAKS) for name in ("absolute", "relative")}
    frame = mixed.frame(SPEAKS)
    assert np.array_equal(frame.expression, alone["absolute"].expression)
    assert np.array_equal(frame.rotation, alone["absolute"].rotation)
    assert np.array_equal(frame.translation, alone["relative"].translation)


def test_a_table_chooses_part_by_part(performance: Performance, smiling: FaceFit) -> None:
    whole = {name: Retargeter(performance, smiling, name).frame(SPEAKS) for name in ("absolute", "relative")}
    for absolute in PARTS:
        table = {part: "absolute" if part == absolute else "relative" for part in PARTS}
        frame = Retargeter(performance, smiling, table).frame(SPEAKS)
        for part in PARTS:
            assert np.array_equal(getattr(frame, part), getattr(whole[table[part]], part)), (absolute, part)
    assert Retargeter(performance, smiling, {"rotation": "relative"}).modes["expression"] == "absolute"


def test_expressions_and_gaze_stay_within_what_a_face_can_do(performance: Performance, smiling: FaceFit) -> None:
    wild = replace(performance, expression=3 * performance.expression, gaze=10 * performance.gaze)
    for motion in ("absolute", "relative"):
        retargeter = Retargeter(wild, smiling, motion)
        for i in range(0, 48, 5):
            frame = retargeter.frame(i)
            assert frame.expression.min() >= 0 and frame.expression.max() <= 1.5
            assert np.abs(frame.gaze - smiling.gaze).max() <= np.radians(30)


@pytest.fixture
def gapped(performance: Performance) -> Performance:
    """Frames 30 to 32 without a face, as the analysis leaves them."""
    valid = np.ones(48, bool)
    valid[30:33] = False
    return replace(performance, valid=valid)


def test_a_frame_without_a_face_follows_the_policy(gapped: Performance, smiling: FaceFit) -> None:
    held = Retargeter(gapped, smiling).frame(31)
    assert held.status == "held" and np.array_equal(held.rotation, gapped.rotation[31])
    own = Retargeter(gapped, smiling, no_face="reference").frame(31)
    assert own.status == "reference" and not own.offsets.any()
    assert np.array_equal(own.expression, smiling.expression) and np.array_equal(own.gaze, smiling.gaze)
    assert np.array_equal(own.rotation, smiling.pose.rotation)
    assert np.array_equal(own.translation, smiling.pose.translation)
    strict = Retargeter(gapped, smiling, no_face="fail")
    with pytest.raises(EngineError, match="31") as fault:
        strict.frame(31)
    assert fault.value.code == "no_face"
    for policy in ("hold", "reference", "fail"):
        assert Retargeter(gapped, smiling, no_face=policy).frame(29).status == "ok"


def test_frames_and_neutral_frames_are_those_of_the_footage(performance: Performance, smiling: FaceFit) -> None:
    later = replace(performance, start=500, neutral=500 + performance.neutral)
    assert same(Retargeter(later, smiling).frame(500 + SPEAKS), Retargeter(performance, smiling).frame(SPEAKS))
    for outside in (499, 548):
        assert refused(later, smiling, neutral_frame=outside).code == "neutral_frame"
        with pytest.raises(EngineError, match=str(outside)) as fault:
            Retargeter(later, smiling).frame(outside)
        assert fault.value.code == "frame_out_of_range"


def test_a_performance_of_another_face_model_or_detector_is_refused(performance: Performance, smiling: FaceFit) -> None:
    names = performance.expression_names
    few = performance.offsets[:, :68]
    for other in (
        replace(performance, model="0" * 64),
        replace(performance, expression_names=names[::-1]),
        replace(performance, identity=performance.identity[:-1]),
        replace(performance, offsets=few),
    ):
        assert refused(other, smiling).code == "performance"


def test_unexplained_motion_is_passed_on_whole_to_the_same_face_and_in_part_to_another(
    performance: Performance, smiling: FaceFit
) -> None:
    change = performance.offsets[SPEAKS] - performance.offsets[performance.neutral]
    twin = replace(smiling, identity=performance.identity)
    assert np.allclose(Retargeter(performance, twin).frame(SPEAKS).offsets, change)
    other = replace(smiling, identity=performance.identity + 1)
    passed = Retargeter(performance, other).frame(SPEAKS).offsets
    assert 0.3 < np.linalg.norm(passed) / np.linalg.norm(change) < 0.9


@pytest.mark.parametrize("motion", ["absolute", "relative", "mixed"])
def test_who_moves_is_the_portrait_or_the_driver(performance: Performance, smiling: FaceFit, motion: str) -> None:
    """Pose, expression and gaze are the same either way; only the head, and what fits its skin, is another."""
    performance = replace(performance, identity=smiling.identity + 1)
    own = Retargeter(performance, smiling, motion).frame(SPEAKS)
    assert same(own, Retargeter(performance, smiling, motion, identity="portrait").frame(SPEAKS))
    assert own.neutral(smiling) is smiling.neutral
    theirs = Retargeter(performance, smiling, motion, identity="driver").frame(SPEAKS)
    assert all(np.array_equal(getattr(own, part), getattr(theirs, part)) for part in (*PARTS, "gaze"))
    assert np.array_equal(theirs.neutral(smiling), smiling.model.neutral(performance.identity))
    change = performance.offsets[SPEAKS] - performance.offsets[performance.neutral]
    assert np.array_equal(theirs.offsets, change), "the driver's skin moves whole on the driver's head"


def test_the_portrait_as_it_is_keeps_its_own_head(gapped: Performance, smiling: FaceFit) -> None:
    away = Retargeter(gapped, smiling, no_face="reference", identity="driver")
    assert away.frame(31).neutral(smiling) is smiling.neutral
    assert away.frame(29).neutral(smiling) is not smiling.neutral


@pytest.mark.parametrize("motion", ["absolute", "relative", "mixed"])
def test_a_little_more_motion_is_a_little_more_motion(performance: Performance, serious: FaceFit, motion: str) -> None:
    rest = performance.neutral

    def nudged(share: float) -> MotionFrame:
        """The way from rest to speech, ``share`` of it; the rotation along its chord."""
        fields = {
            name: getattr(performance, name).copy()
            for name in ("expression", "rotation", "translation", "gaze", "offsets")
        }
        for values in fields.values():
            values[SPEAKS] = values[rest] + share * (values[SPEAKS] - values[rest])
        return Retargeter(replace(performance, **fields), serious, motion).frame(SPEAKS)

    still, little, whole = nudged(0.0), nudged(0.01), nudged(1.0)
    for part in (*PARTS, "gaze", "offsets"):
        small = np.linalg.norm(getattr(little, part) - getattr(still, part))
        large = np.linalg.norm(getattr(whole, part) - getattr(still, part))
        assert 0.005 * large < small < 0.02 * large, part


def same(a: MotionFrame, b: MotionFrame) -> bool:
    return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in (*PARTS, "gaze", "offsets"))
