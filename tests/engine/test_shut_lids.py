"""Eyes that close on a real portrait: a line of lashes in the place of a jagged seam, and nothing anywhere else."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.face.geometry_flow import GeometryFlow
from engine.motion.performance import MotionFrame
from engine.systems.base import Portrait
from engine.systems.identity_matched.conditions import Conditioner
from engine.systems.identity_matched.shut_lids import ShutLids
from engine.systems.identity_matched.system import head_square
from engine.systems.mesh_warp.system import WarpedPortrait
from tests.engine.faces import portrait_face, portrait_rgb, turn, weights

UPPER, LOWER = (36, 37, 38, 39, 42, 43, 44, 45), (36, 41, 40, 39, 42, 47, 46, 45)  # rims of both eyes, left to right


@functools.cache
def portrait() -> Portrait:
    return Portrait(Path("portrait.png"), portrait_rgb(), portrait_face())


@functools.cache
def warped() -> WarpedPortrait:
    return WarpedPortrait(portrait())


@functools.cache
def shut_lids() -> ShutLids:
    return ShutLids(portrait().rgb, warped().build.source, head_square(portrait()))


def moved(yaw: float = 0.0, **expression: float) -> MotionFrame:
    fit = portrait_face()
    made = np.clip(fit.expression + weights(fit.model, **expression), 0, 1)
    return MotionFrame(
        made, turn(yaw) @ fit.pose.rotation, fit.pose.translation, fit.gaze, np.zeros_like(fit.offsets), "ok"
    )


def mended(motion: MotionFrame) -> tuple[np.ndarray, np.ndarray, GeometryFlow]:
    """The frame without and with its lids drawn, float, and the flow."""
    plain, flow = warped().trace(motion)
    lids = Conditioner(warped().build, head_square(portrait()), 256)(flow).lids
    frame = plain.copy()
    shut_lids().mend(frame, flow, lids)
    return plain.astype(float), frame.astype(float), flow


def along_seams(frame: np.ndarray, flow: GeometryFlow) -> np.ndarray:
    """Brightness (2, 40) along the middle of what is between both eyes' corners."""
    marks = portrait_face().model.landmarks68.at(flow.vertices / flow.scale)
    seams = ((marks[list(UPPER)] + marks[list(LOWER)]) / 2).reshape(2, 4, 2)
    steps = np.linspace(0.8, 2.2, 40)
    x, y = (np.stack([np.interp(steps, range(4), seam[:, k]) for seam in seams]) - 0.5 for k in range(2))
    return cv2.remap(frame.mean(axis=2).astype(np.float32), np.float32(x), np.float32(y), cv2.INTER_LINEAR)


def test_shut_eyes_have_a_dark_even_line_between_their_lids() -> None:
    plain, frame, flow = mended(moved(eyeBlink=1))
    before, after = (along_seams(picture, flow) for picture in (plain, frame))
    assert (after.mean(axis=1) < 0.85 * before.mean(axis=1)).all()
    assert (np.abs(np.diff(after)).sum(axis=1) < 0.7 * np.abs(np.diff(before)).sum(axis=1)).all()


def test_nothing_else_is_touched() -> None:
    plain, frame, flow = mended(moved(eyeBlink=1))
    changed = np.flatnonzero(np.abs(frame - plain).max(axis=2).any(axis=1))
    marks = portrait_face().model.landmarks68.at(flow.vertices / flow.scale)
    width = np.linalg.norm(marks[39] - marks[36])
    assert marks[36:48, 1].min() - 0.3 * width < changed.min() and changed.max() < marks[36:48, 1].max() + 0.3 * width


@pytest.mark.parametrize("expression", [{}, {"eyeBlink": 0.3}, {"jawOpen": 1.0}, {"eyeWide": 0.8}])
def test_open_eyes_are_left_as_they_are(expression: dict[str, float]) -> None:
    plain, frame, _ = mended(moved(**expression))
    np.testing.assert_array_equal(frame, plain)


def test_one_eye_winks_alone() -> None:
    plain, frame, flow = mended(moved(eyeBlink_L=1))
    columns = np.flatnonzero(np.abs(frame - plain).max(axis=2).any(axis=0))
    assert len(columns) and columns.min() > portrait_face().model.landmarks68.at(flow.vertices / flow.scale)[27, 0]


def test_it_comes_without_a_jump_as_the_lids_close() -> None:
    changes = []
    for blink in np.linspace(0.3, 1, 36):
        plain, frame, _ = mended(moved(eyeBlink=float(blink)))
        changes.append(np.abs(frame - plain).sum())
    assert changes[0] == 0 and max(np.diff(changes)) < 0.5 * changes[-1]


@pytest.mark.parametrize("yaw", [-60, 60])
def test_an_eye_that_is_turned_away_is_not_drawn_on_what_hides_it(yaw: float) -> None:
    plain, frame, flow = mended(moved(yaw, eyeBlink=1))
    change = np.abs(frame - plain).max(axis=2)
    lids = Conditioner(warped().build, head_square(portrait()), 256)(flow).lids
    square = head_square(portrait())
    seen = square.cut(change.astype(np.float32), 256)
    assert seen[cv2.dilate(lids.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0].max() < 2
