"""Eyes that close on a real portrait: a line of lashes in the place of a jagged seam, and nothing anywhere else."""

from __future__ import annotations

import functools
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import systems
from engine.compositing.shut_lids import ShutLids
from engine.geometry.frame_inputs import FrameInputs, PortraitInputs
from engine.motion.motion import MotionFrame
from engine.systems.base import Portrait
from tests.engine.faces import fitted, portrait_rgb, turn, weights

UPPER, LOWER = (36, 37, 38, 39, 42, 43, 44, 45), (36, 41, 40, 39, 42, 47, 46, 45)  # rims of both eyes, left to right
SHUT = {"eyeBlink": 1.0}


@functools.cache
def portrait() -> Portrait:
    """Larger than the flow, as photographs are."""
    rgb = cv2.resize(portrait_rgb(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return Portrait(Path("portrait.png"), rgb, fitted(rgb))


@functools.cache
def own() -> PortraitInputs:
    return PortraitInputs(portrait(), ("frame", "mesh", "landmarks68", "lids"))


@functools.cache
def shut_lids() -> ShutLids:
    return ShutLids(portrait().rgb, own().geometry, own().square)


def moved(yaw: float = 0.0, pitch: float = 0.0, **expression: float) -> MotionFrame:
    fit = portrait().face
    assert fit is not None
    made = np.clip(fit.expression + weights(fit.model, **expression), 0, 1)
    rotation = turn(yaw, pitch) @ fit.pose.rotation
    return MotionFrame(made, rotation, fit.pose.translation, fit.gaze, np.zeros_like(fit.offsets), "ok")


def mended(motion: MotionFrame, lids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, FrameInputs]:
    """The frame without and with its lids drawn, float, and its inputs; ``lids`` in place of those in view."""
    inputs = FrameInputs(own(), motion)
    plain = without_lids(own(), inputs)
    frame = plain.copy()
    shut_lids().mend(frame, inputs["mesh"], inputs.pose, lambda: inputs["lids"] if lids is None else lids)
    return plain.astype(float), frame.astype(float), inputs


def without_lids(portrait: PortraitInputs, inputs: FrameInputs) -> np.ndarray:
    """The portrait moved, and nothing drawn over it but its eyes."""
    motion = inputs.motion
    turned = motion.gaze - portrait.face.gaze
    vertices = portrait.geometry.place(portrait.face.neutral, motion.expression, turned, motion.offsets)
    return portrait.drawing.draw(portrait.build.posed(vertices, inputs.pose), inputs.geometry, turned)


def marks(inputs: FrameInputs) -> np.ndarray:
    """(68, 2) pixels of the frame."""
    square = own().square
    return inputs["landmarks68"] * (square.side / own().side) + [square.left, square.top]


def along_seams(frame: np.ndarray, inputs: FrameInputs) -> np.ndarray:
    """Brightness (2, 80) along the middle of what is between both eyes' corners."""
    seams = ((marks(inputs)[list(UPPER)] + marks(inputs)[list(LOWER)]) / 2).reshape(2, 4, 2)
    steps = np.linspace(0.8, 2.2, 80)
    x, y = (np.stack([np.interp(steps, range(4), seam[:, k]) for seam in seams]) - 0.5 for k in range(2))
    return cv2.remap(
        frame.mean(axis=2).astype(np.float32), x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR
    )


def test_shut_eyes_have_a_dark_even_line_between_their_lids() -> None:
    plain, frame, inputs = mended(moved(**SHUT))
    assert own().build.scale < 1
    before, after = (along_seams(picture, inputs) for picture in (plain, frame))
    assert (after.mean(axis=1) < 0.85 * before.mean(axis=1)).all()
    assert (np.abs(np.diff(after)).sum(axis=1) < 0.7 * np.abs(np.diff(before)).sum(axis=1)).all()


@pytest.mark.parametrize("system", ["mesh_warp", "identity_matched"])
def test_every_system_draws_them(system: str) -> None:
    plain, _, inputs = mended(moved(**SHUT))
    with closing(systems.create(system, {}).prepare([portrait()])) as ours:
        seams = along_seams(ours.draw(ours.inputs(moved(**SHUT))).astype(float), inputs)
    assert (seams.mean(axis=1) < 0.85 * along_seams(plain, inputs).mean(axis=1)).all()


def test_nothing_else_is_touched() -> None:
    plain, frame, inputs = mended(moved(**SHUT))
    changed, around = np.abs(frame - plain).max(axis=2) > 0, np.zeros(plain.shape[:2], np.uint8)
    for eye in np.split(marks(inputs)[36:48], 2):
        width = np.linalg.norm(eye[3] - eye[0])
        cv2.polylines(around, [np.round(eye).astype(np.int32)], True, 1, round(0.3 * width))
    assert changed.any() and not changed[around == 0].any()


@pytest.mark.parametrize(
    "motion",
    [{}, {"eyeBlink": 0.3}, {"jawOpen": 1.0}, {"eyeWide": 0.8}, {"yaw": 78}, {"yaw": -78}, {"pitch": 45}],
    ids=str,
)
def test_open_eyes_are_left_as_they_are(motion: dict[str, float]) -> None:
    plain, frame, _ = mended(moved(**motion))
    np.testing.assert_array_equal(frame, plain)


def test_eyes_that_the_portrait_has_shut_are_left_as_they_are() -> None:
    """The photograph has a line there."""
    awake, motion = portrait(), moved(**SHUT)
    assert awake.face is not None
    shut = replace(awake, face=replace(awake.face, expression=motion.expression))
    asleep = PortraitInputs(shut, ("frame", "mesh"))
    inputs = FrameInputs(asleep, motion)
    plain = without_lids(asleep, inputs)
    frame = plain.copy()
    lids = ShutLids(awake.rgb, asleep.geometry, asleep.square)
    lids.mend(frame, inputs["mesh"], inputs.pose, lambda: np.ones((256, 256), bool))
    np.testing.assert_array_equal(frame, plain)


def test_one_eye_winks_alone() -> None:
    plain, frame, inputs = mended(moved(eyeBlink_L=1.0))
    columns = np.flatnonzero(np.abs(frame - plain).max(axis=2).any(axis=0))
    assert len(columns) and columns.min() > marks(inputs)[27, 0]


def test_it_comes_without_a_jump_as_the_lids_close() -> None:
    changes = []
    for blink in np.linspace(0.3, 1, 36):
        plain, frame, _ = mended(moved(eyeBlink=float(blink)))
        changes.append(np.abs(frame - plain).sum())
    assert changes[0] == 0 and max(np.diff(changes)) < 0.5 * changes[-1]


@pytest.mark.parametrize("yaw", [-60, 60])
def test_only_lids_in_view_are_drawn(yaw: float) -> None:
    plain, frame, inputs = mended(moved(yaw, **SHUT))
    assert (np.abs(frame - plain) > 10).any(), "the near eye"
    np.testing.assert_array_equal(mended(moved(yaw, **SHUT), np.zeros((256, 256), bool))[1], plain)
    everywhere = mended(moved(yaw, **SHUT), np.ones((256, 256), bool))[1]
    seen = own().square.cut(np.abs(everywhere - frame).max(axis=2).astype(np.float32), 256)
    assert seen[cv2.erode(inputs["lids"].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0].max() == 0
