"""A driver's motion on a portrait: what is copied, what is added to the portrait's own, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import EngineError
from engine.face.subject import FaceFit
from engine.motion.motion import Motion, MotionFrame
from engine.motion.retarget import Retargeter
from tests.engine.faces import degrees_between, portrait_face, retracked, sample_motion, tracked_of, weights

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
def motion() -> Motion:
    return sample_motion()


def change_of_offsets(motion: Motion) -> np.ndarray:
    offsets = tracked_of(motion).offsets
    return offsets[SPEAKS] - offsets[motion.neutral]


def refused(motion: Motion, face: FaceFit, **options) -> EngineError:
    with pytest.raises(EngineError) as fault:
        Retargeter(motion, [face], **options)
    assert fault.value.remedy
    return fault.value


def test_relative_motion_at_the_neutral_frame_is_the_portrait_itself(motion: Motion, smiling: FaceFit) -> None:
    for neutral in (motion.neutral, 5, SPEAKS):
        frame = Retargeter(motion, [smiling], "relative", neutral).frame(neutral)
        assert np.allclose(frame.expression, smiling.expression, atol=1e-12)
        assert np.allclose(frame.rotation, smiling.pose.rotation, atol=1e-12)
        assert np.allclose(frame.translation, smiling.pose.translation, atol=1e-12)
        assert np.allclose(frame.gaze, smiling.gaze, atol=1e-12)
        assert not frame.offsets.any()
        assert frame.status == "ok"


def test_relative_motion_adds_the_driver_s_change(motion: Motion, serious: FaceFit) -> None:
    rest = motion.neutral
    frame = Retargeter(motion, [serious], "relative").frame(SPEAKS)
    jaw = serious.model.expression_index("jawOpen")
    opened = motion.expression[SPEAKS, jaw] - motion.expression[rest, jaw]
    assert opened > 0.2 and np.isclose(frame.expression[jaw] - serious.expression[jaw], opened)
    turned = frame.rotation @ serious.pose.rotation.T
    assert degrees_between(turned, motion.rotation[SPEAKS] @ motion.rotation[rest].T) < 1e-3
    nearer = serious.pose.translation[2] / motion.translation[rest, 2]
    moved = (motion.translation[SPEAKS] - motion.translation[rest]) * nearer
    assert np.allclose(frame.translation - serious.pose.translation, moved)


def test_absolute_motion_is_the_driver_s(motion: Motion, smiling: FaceFit) -> None:
    retargeter = Retargeter(motion, [smiling], "absolute")
    for i in (0, SPEAKS, 36):
        frame = retargeter.frame(i)
        assert np.abs(frame.expression - motion.expression[i]).max() < 0.05  # where smoothing overshot the box
        assert np.array_equal(frame.rotation, motion.rotation[i])
        assert np.array_equal(frame.translation, motion.translation[i])
        assert np.allclose(frame.gaze, motion.gaze[i])


def test_mixed_motion_takes_the_driver_s_expression_when_the_portrait_smiles(
    motion: Motion, smiling: FaceFit, serious: FaceFit
) -> None:
    mixed, calm = Retargeter(motion, [smiling]), Retargeter(motion, [serious])
    assert mixed.modes == {
        "expression": "absolute",
        "rotation": "absolute",
        "translation": "relative",
        "gaze": "relative",
    }
    assert calm.modes == mixed.modes | {"expression": "relative"}
    alone = {name: Retargeter(motion, [smiling], name).frame(SPEAKS) for name in ("absolute", "relative")}
    frame = mixed.frame(SPEAKS)
    assert np.array_equal(frame.expression, alone["absolute"].expression)
    assert np.array_equal(frame.rotation, alone["absolute"].rotation)
    assert np.array_equal(frame.translation, alone["relative"].translation)


def test_a_table_chooses_part_by_part(motion: Motion, smiling: FaceFit) -> None:
    whole = {name: Retargeter(motion, [smiling], name).frame(SPEAKS) for name in ("absolute", "relative")}
    for absolute in PARTS:
        table = {part: "absolute" if part == absolute else "relative" for part in PARTS}
        frame = Retargeter(motion, [smiling], table).frame(SPEAKS)
        for part in PARTS:
            assert np.array_equal(getattr(frame, part), getattr(whole[table[part]], part)), (absolute, part)
    assert Retargeter(motion, [smiling], {"rotation": "relative"}).modes["expression"] == "absolute"


def test_expressions_and_gaze_stay_within_what_a_face_can_do(motion: Motion, smiling: FaceFit) -> None:
    wild = replace(motion, expression=3 * motion.expression, gaze=10 * motion.gaze)
    for modes in ("absolute", "relative"):
        retargeter = Retargeter(wild, [smiling], modes)
        for i in range(0, 48, 5):
            frame = retargeter.frame(i)
            assert frame.expression.min() >= 0 and frame.expression.max() <= 1.5
            assert np.abs(frame.gaze - smiling.gaze).max() <= np.radians(30)


@pytest.fixture
def gapped(motion: Motion) -> Motion:
    """Frames 30 to 32 without a face, as the analysis leaves them."""
    valid = np.ones(48, bool)
    valid[30:33] = False
    return replace(motion, valid=valid)


def test_a_frame_without_a_face_follows_the_policy(gapped: Motion, smiling: FaceFit) -> None:
    held = Retargeter(gapped, [smiling]).frame(31)
    assert held.status == "held" and np.array_equal(held.rotation, gapped.rotation[31])
    own = Retargeter(gapped, [smiling], no_face="reference").frame(31)
    assert own.status == "reference" and not own.offsets.any()
    assert np.array_equal(own.expression, smiling.expression) and np.array_equal(own.gaze, smiling.gaze)
    assert np.array_equal(own.rotation, smiling.pose.rotation)
    assert np.array_equal(own.translation, smiling.pose.translation)
    strict = Retargeter(gapped, [smiling], no_face="fail")
    with pytest.raises(EngineError, match="31") as fault:
        strict.frame(31)
    assert fault.value.code == "no_face"
    for policy in ("hold", "reference", "fail"):
        assert Retargeter(gapped, [smiling], no_face=policy).frame(29).status == "ok"


def test_frames_and_neutral_frames_are_those_of_the_footage(motion: Motion, smiling: FaceFit) -> None:
    later = replace(motion, start=500, neutral=500 + motion.neutral)
    assert same(Retargeter(later, [smiling]).frame(500 + SPEAKS), Retargeter(motion, [smiling]).frame(SPEAKS))
    for outside in (499, 548):
        assert refused(later, smiling, neutral_frame=outside).code == "neutral_frame"
        with pytest.raises(EngineError, match=str(outside)) as fault:
            Retargeter(later, [smiling]).frame(outside)
        assert fault.value.code == "frame_out_of_range"


def test_motion_of_another_face_model_or_detector_is_refused(motion: Motion, smiling: FaceFit) -> None:
    tracked = tracked_of(motion)
    for other in (
        retracked(motion, model="0" * 64),
        retracked(motion, identity=tracked.identity[:-1]),
        retracked(motion, offsets=tracked.offsets[:, :68]),
    ):
        assert refused(other, smiling).code == "motion"


def test_unexplained_motion_is_passed_on_whole_to_the_same_face_and_in_part_to_another(
    motion: Motion, smiling: FaceFit
) -> None:
    change = change_of_offsets(motion)
    twin = replace(smiling, identity=tracked_of(motion).identity)
    assert np.allclose(Retargeter(motion, [twin], "relative").frame(SPEAKS).offsets, change)
    other = replace(smiling, identity=tracked_of(motion).identity + 1)
    passed = Retargeter(motion, [other]).frame(SPEAKS).offsets
    assert 0.3 < np.linalg.norm(passed) / np.linalg.norm(change) < 0.9


def test_the_same_person_s_frame_is_the_portrait_s_own_when_it_is_copied(motion: Motion, smiling: FaceFit) -> None:
    """As the neutral frame has other offsets than the portrait, so would every frame relative to it."""
    own = replace(smiling, identity=tracked_of(motion).identity)
    at = SPEAKS - motion.start
    alike = replace(own, offsets=tracked_of(motion).offsets[at])
    assert np.allclose(Retargeter(motion, [alike], "absolute").frame(SPEAKS).offsets, 0)
    stranger = replace(alike, identity=own.identity + 1)
    assert not np.allclose(Retargeter(motion, [stranger], "absolute").frame(SPEAKS).offsets, 0)


@pytest.mark.parametrize("modes", ["absolute", "relative"])
def test_lips_part_as_the_driver_s_or_as_far_more_than_at_rest(motion: Motion, smiling: FaceFit, modes: str) -> None:
    gap, rest = motion.mouth["lipGap"], motion.neutral - motion.start
    own = smiling.observation.lip_gap
    assert own is not None
    frame = Retargeter(motion, [smiling], modes).frame(SPEAKS)
    at = SPEAKS - motion.start
    assert frame.lip_gap == pytest.approx(gap[at] if modes == "absolute" else own + gap[at] - gap[rest])
    assert frame.mouth == {name: curve[at] for name, curve in motion.mouth.items()}
    at_rest = {name: curve[rest] for name, curve in motion.mouth.items()}
    assert frame.mouth_at_rest == (at_rest if modes == "relative" else {})


def test_a_motion_that_says_nothing_of_the_mouth_leaves_it_to_the_lips(motion: Motion, smiling: FaceFit) -> None:
    frame = Retargeter(replace(motion, mouth={}), [smiling]).frame(SPEAKS)
    assert not frame.mouth and frame.lip_gap is None


@pytest.mark.parametrize("modes", ["absolute", "relative", "mixed"])
def test_who_moves_is_the_portrait_or_the_driver(motion: Motion, smiling: FaceFit, modes: str) -> None:
    """Pose, expression and gaze are the same either way; only the head, and what fits its skin, is another."""
    motion = retracked(motion, identity=smiling.identity + 1)
    own = Retargeter(motion, [smiling], modes).frame(SPEAKS)
    assert same(own, Retargeter(motion, [smiling], modes, identity="portrait").frame(SPEAKS))
    assert own.neutral(smiling) is smiling.neutral
    theirs = Retargeter(motion, [smiling], modes, identity="driver").frame(SPEAKS)
    assert all(np.array_equal(getattr(own, part), getattr(theirs, part)) for part in (*PARTS, "gaze"))
    assert np.array_equal(theirs.neutral(smiling), smiling.model.neutral(tracked_of(motion).identity))
    change = change_of_offsets(motion)
    assert np.array_equal(theirs.offsets, change), "the driver's skin moves whole on the driver's head"


def test_the_portrait_as_it_is_keeps_its_own_head(gapped: Motion, smiling: FaceFit) -> None:
    away = Retargeter(gapped, [smiling], no_face="reference", identity="driver")
    assert away.frame(31).neutral(smiling) is smiling.neutral
    assert away.frame(29).neutral(smiling) is not smiling.neutral


@pytest.mark.parametrize("modes", ["absolute", "relative", "mixed"])
def test_a_little_more_motion_is_a_little_more_motion(motion: Motion, serious: FaceFit, modes: str) -> None:
    rest = motion.neutral

    def nudged(share: float) -> MotionFrame:
        """The way from rest to speech, ``share`` of it; the rotation along its chord."""
        moved = {name: getattr(motion, name).copy() for name in (*PARTS, "gaze")}
        offsets = tracked_of(motion).offsets.copy()
        for values in (*moved.values(), offsets):
            values[SPEAKS] = values[rest] + share * (values[SPEAKS] - values[rest])
        return Retargeter(retracked(replace(motion, **moved), offsets=offsets), [serious], modes).frame(SPEAKS)

    still, little, whole = nudged(0.0), nudged(0.01), nudged(1.0)
    for part in (*PARTS, "gaze", "offsets"):
        small = np.linalg.norm(getattr(little, part) - getattr(still, part))
        large = np.linalg.norm(getattr(whole, part) - getattr(still, part))
        assert 0.005 * large < small < 0.02 * large, part


def same(a: MotionFrame, b: MotionFrame) -> bool:
    return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in (*PARTS, "gaze", "offsets"))


@pytest.fixture
def rig(motion: Motion) -> Motion:
    """The sample's motion as a rig would have it: nothing was tracked."""
    return replace(motion, tracked=None)


def test_motion_that_was_not_tracked_moves_all_but_the_offsets(motion: Motion, rig: Motion, smiling: FaceFit) -> None:
    frame, tracked = (Retargeter(m, [smiling]).frame(SPEAKS) for m in (rig, motion))
    assert all(np.array_equal(getattr(frame, part), getattr(tracked, part)) for part in (*PARTS, "gaze"))
    assert frame.offsets.shape == smiling.offsets.shape and not frame.offsets.any()
    assert frame.driver is None and frame.neutral(smiling) is smiling.neutral
    assert refused(rig, smiling, identity="driver").code == "no_driver"


def test_expressions_are_matched_by_name(rig: Motion, smiling: FaceFit) -> None:
    names = rig.expression_names
    backwards = replace(rig, expression_names=names[::-1], expression=rig.expression[:, ::-1])
    assert same(Retargeter(backwards, [smiling]).frame(SPEAKS), Retargeter(rig, [smiling]).frame(SPEAKS))
    jaw = names.index("jawOpen")
    few = replace(rig, expression_names=("earWiggle", "jawOpen"), expression=rig.expression[:, [0, jaw]])
    retargeter = Retargeter(few, [smiling], "absolute")
    assert retargeter.unknown_expressions == ("earWiggle",)
    expression = retargeter.frame(SPEAKS).expression
    assert expression[jaw] > 0.3 and not np.delete(expression, jaw).any()


def test_a_portrait_with_an_open_mouth_and_shut_eyes_comes_to_rest(motion: Motion, serious: FaceFit) -> None:
    act = weights(serious.model, jawOpen=0.5, eyeBlink=0.9)
    acting = replace(serious, expression=np.maximum(serious.expression, act))
    jaw, blink = (serious.model.expression_index(name) for name in ("jawOpen", "eyeBlink_L"))
    rest = Retargeter(motion, [acting]).frame(motion.neutral).expression
    assert np.isclose(rest[jaw], motion.expression[motion.neutral, jaw], atol=1e-6)
    assert np.isclose(rest[blink], motion.expression[motion.neutral, blink], atol=1e-6)
    half = Retargeter(motion, [acting], {"expression": 0.5}).frame(motion.neutral).expression
    assert np.isclose(half[jaw], (0.5 + rest[jaw]) / 2, atol=1e-6)


def test_lips_are_as_absolute_as_the_mouth(motion: Motion, serious: FaceFit) -> None:
    def gap(face: FaceFit, expression: str | float) -> float:
        lips = Retargeter(motion, [face], {"expression": expression}).frame(SPEAKS).lip_gap
        assert lips is not None
        return lips

    relative, absolute = gap(serious, "relative"), gap(serious, "absolute")
    assert abs(relative - absolute) > 1e-4
    assert gap(serious, 0.25) == pytest.approx(0.75 * relative + 0.25 * absolute)
    shut = replace(serious, expression=np.maximum(serious.expression, weights(serious.model, eyeBlink=0.9)))
    assert gap(shut, "mixed") == pytest.approx(gap(serious, "mixed")), "eyes leave the lips alone"
    speaking = replace(serious, expression=np.maximum(serious.expression, weights(serious.model, jawOpen=0.5)))
    assert gap(speaking, "mixed") == pytest.approx(absolute)


def test_a_range_in_which_the_driver_never_rests_is_not_taken_for_rest(motion: Motion, serious: FaceFit) -> None:
    jaw = serious.model.expression_index("jawOpen")
    expression = motion.expression.copy()
    expression[:, jaw] = 0.5
    spoken = Retargeter(replace(motion, expression=expression), [serious]).frame(motion.neutral).expression
    assert np.isclose(spoken[jaw], 0.5)


def test_a_driver_s_blink_shuts_large_eyes(motion: Motion, serious: FaceFit) -> None:
    blink = serious.model.expression_index("eyeBlink_L")
    still = replace(serious, expression=np.zeros_like(serious.expression))
    wide = replace(still, expression=weights(serious.model, eyeWide=1.0))
    shut = [Retargeter(motion, [face]).frame(36).expression[blink] for face in (still, wide)]
    assert shut[1] > shut[0] > motion.expression[36, blink] - motion.expression[motion.neutral, blink]
