"""A photograph driven by a clip of itself comes back: nothing in the path knows that the two are equal."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from engine.face.camera import Pose
from engine.geometry.flow import FlowBuilder
from engine.geometry.source_geometry import SourceGeometry
from engine.media.image import encode_png, read_image
from engine.motion.motion import MotionFrame
from engine.pipeline import render
from engine.protocol import Driving, Job
from engine.systems import create
from engine.systems.base import Portrait, Subject
from engine.tracking.person_matte import PersonMatte
from tests.engine.faces import fitted, portrait_face, portrait_rgb, turn, weights

COUNT = 8
PHOTOGRAPH = np.ascontiguousarray(data.astronaut())  # by NASA, in the public domain
_AT_ALL = 1 / 255  # px: a smaller displacement cannot be seen in eight bits


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("rest")
    names = tuple(f"still.{i}.png" for i in range(COUNT))
    for name in names:
        (folder / name).write_bytes(encode_png(PHOTOGRAPH))
    job = Job(
        system="mesh_warp",
        portraits=(str(folder / names[0]),),
        driving=Driving("sequence", str(folder), names),
        frames=tuple((1001 + i, i) for i in range(COUNT)),
        fps=(25, 1),
        output=str(folder / "out"),
        shot="still",
    )
    messages: list[dict] = []
    assert render(job, messages.append, lambda: False)
    out = next(Path(m["folder"]) for m in messages if m["type"] == "take")
    return np.stack([read_image(out / f"{out.name}.{1001 + i}.png") for i in range(COUNT)])


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    """The moving field, (H, W) bool: every pixel that the system's own flow can look up elsewhere than in its place."""
    face = fitted(PHOTOGRAPH)
    with closing(PersonMatte()) as segment:
        source = SourceGeometry(face, segment(PHOTOGRAPH))
    build = FlowBuilder(source)
    height, width = PHOTOGRAPH.shape[:2]
    own_place = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    speech = face.expression + weights(face.model, jawOpen=0.8)
    speaking = source.place(face.neutral, speech, np.zeros((2, 2)))
    moving = np.zeros((height, width), bool)
    for rotation, shift in (
        *((turn(angle), (0, 0, 0)) for angle in (20, -20)),
        *((turn(0, pitch=angle), (0, 0, 0)) for angle in (15, -15)),
        *((turn(0, roll=angle), (0, 0, 0)) for angle in (15, -15)),
        (turn(0), (3, 3, 8)),
    ):
        flow = build(speaking, Pose(face.pose.rotation @ rotation, face.pose.translation + np.array(shift, float)))
        moving |= np.linalg.norm(flow.source - own_place, axis=2) > _AT_ALL
    return moving


def test_the_still_comes_back(take: np.ndarray, field: np.ndarray) -> None:
    """Within 1/255 wherever the flow moves nothing, on average under 2/255 where it may, in each frame."""
    assert 0.2 < field.mean() < 0.6  # else one of the two says little
    difference = np.abs(take.astype(int) - PHOTOGRAPH)
    assert difference[:, ~field].max() <= 1
    assert difference[:, field].mean(axis=(1, 2)).max() < 2


def test_a_little_motion_changes_a_little() -> None:
    """No branch notices rest: twice one per cent of motion differs about twice as much, and never nothing."""
    subject = create("mesh_warp", {}).prepare([Portrait(Path("astronaut"), portrait_rgb(), portrait_face())])
    rest = _draw(subject, 0.0)
    changes = [np.abs(_draw(subject, amount).astype(int) - rest).mean() for amount in (0.01, 0.02, 0.04)]
    assert 0 < changes[0] < changes[1] < changes[2] < 1
    assert changes[1] < 4 * changes[0] and changes[2] < 4 * changes[1]


def _draw(subject: Subject, amount: float) -> np.ndarray:
    face = portrait_face()
    motion = MotionFrame(
        face.expression, face.pose.rotation, face.pose.translation, face.gaze, np.zeros_like(face.offsets), "ok"
    )
    acted = weights(face.model, jawOpen=amount, mouthSmile_L=amount, browInnerUp=amount)
    return subject.draw(subject.inputs(dataclasses.replace(motion, expression=face.expression + acted)))
