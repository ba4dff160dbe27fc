"""One person's face through cuts, gaps, inverted pictures and other people's faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.errors import EngineError
from engine.motion.motion import Motion
from tests.engine.faces import analysed, degrees_between, sample_frames, tracked_of

CUT, COVERED = 8, slice(6, 12)
WIDTH = 320


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.concatenate([left, right], axis=1))


def smaller(frame: np.ndarray) -> np.ndarray:
    """Less prominent than the frame as it is."""
    picture = np.full_like(frame, 90)
    picture[32:288, 32:288] = cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA)
    return picture


@pytest.fixture(scope="module")
def cut() -> tuple[Motion, Motion]:
    """Eight frames before a cut to the mirrored head at another place, and these eight alone."""
    frames, empty = sample_frames(), np.full((320, WIDTH, 3), 90, np.uint8)
    before = [beside(frame, empty) for frame in frames[:CUT]]
    after = [beside(empty, frame[:, ::-1]) for frame in frames[24 : 24 + CUT]]
    return analysed([*before, *after], start=100), analysed(before, start=100)


def test_a_cut_begins_everything_anew(cut: tuple[Motion, Motion]) -> None:
    whole, alone = cut
    assert [shot.start for shot in whole.shots] == [100, 100 + CUT]
    assert whole.valid.all()
    for part in ("expression", "rotation", "translation", "gaze"):
        assert np.array_equal(getattr(whole, part)[:CUT], getattr(alone, part)), part
    assert whole.mouth and all(np.array_equal(whole.mouth[name][:CUT], curve) for name, curve in alone.mouth.items())
    assert whole.neutral == alone.neutral
    first, second = whole.shots
    assert 100 + CUT <= second.neutral < 100 + 2 * CUT
    assert first.identity is not None and second.identity is not None
    assert not np.array_equal(first.identity, second.identity)
    step = np.abs(np.diff(whole.translation[CUT:], axis=0)).max()
    assert step < 1, "the first frame after the cut is as good as the next"


def test_cuts_are_kept_in_the_file(cut: tuple[Motion, Motion], tmp_path) -> None:
    whole, _ = cut
    whole.save(tmp_path / "cut.motion.npz")
    read = Motion.load(tmp_path / "cut.motion.npz")
    assert [(shot.start, shot.neutral) for shot in read.shots] == [(shot.start, shot.neutral) for shot in whole.shots]
    for ours, theirs in zip(read.shots, whole.shots, strict=True):
        assert ours.identity is not None and theirs.identity is not None
        assert np.allclose(ours.identity, theirs.identity, atol=1e-5)
    assert read.span(103) == (100, 107) and read.span(109) == (108, 115)


def test_no_one_else_takes_over() -> None:
    frames = sample_frames()[:18]
    both = [beside(frame, smaller(frame[:, ::-1])) for frame in frames]
    for frame in both[COVERED]:
        frame[:, :WIDTH] = 90
    motion = analysed(both, start=0)
    assert np.flatnonzero(~motion.valid).tolist() == list(range(18))[COVERED]
    others = tracked_of(motion).others
    assert others is not None and np.flatnonzero(others).tolist() == list(range(18))[COVERED]
    assert not motion.shots
    assert (motion.translation[:, 0] < -5).all(), "the face on the left, before and after"
    assert np.allclose(motion.translation[COVERED], motion.translation[COVERED.start - 1]), "held"


def test_gaps_are_not_smoothed_over() -> None:
    frames = list(sample_frames()[:18])
    frames[COVERED] = [np.full_like(frames[0], 128)] * 6
    gapped, before = analysed(frames), analysed(frames[: COVERED.start])
    whole = analysed(sample_frames()[:18])
    assert np.flatnonzero(~gapped.valid).tolist() == list(range(18))[COVERED]
    assert len(before) == COVERED.start
    for name, curve in before.mouth.items():
        assert np.array_equal(gapped.mouth[name][: COVERED.start], curve), name
        assert (gapped.mouth[name][COVERED] == curve[-1]).all(), "held"
    for i in range(COVERED.stop, 18):
        assert degrees_between(gapped.rotation[i], whole.rotation[i]) < 2


def test_an_inverted_face_is_not_fitted_upright() -> None:
    inverted = [np.ascontiguousarray(frame[::-1, ::-1]) for frame in sample_frames()[:6]]
    with pytest.raises(EngineError) as fault:
        analysed(inverted)
    assert fault.value.code == "no_face"
    motion = analysed([*sample_frames()[:4], *inverted[:4]])
    assert motion.valid.tolist() == [True] * 4 + [False] * 4
