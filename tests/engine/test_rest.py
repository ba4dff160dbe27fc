"""A photograph driven by a clip of itself comes back: nothing in the path knows that the two are equal."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from engine.face.detector import create as create_detector
from engine.face.matting import PersonMatte
from engine.media.image import encode_png, read_image
from engine.motion.performance import MotionFrame
from engine.pipeline import render
from engine.protocol import Driving, Job
from engine.systems import create
from engine.systems.base import Portrait, Subject
from tests.engine.faces import portrait_face, portrait_rgb, weights

COUNT = 8
PHOTOGRAPH = np.ascontiguousarray(data.astronaut())  # by NASA, in the public domain


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
    out = Path(messages[0]["folder"])
    return np.stack([read_image(out / f"{out.name}.{1001 + i}.png") for i in range(COUNT)])


def test_the_still_comes_back(take: np.ndarray) -> None:
    """Within 1/255 where nothing moves, and on average under 2/255 in the face and hair, where everything may."""
    difference = np.abs(take.astype(int) - PHOTOGRAPH)
    with closing(create_detector("mediapipe")) as detector:
        seen = detector.detect(PHOTOGRAPH)
    assert seen is not None
    moving = _reach_of_the_head(seen.landmarks68)
    assert 0.2 < moving.mean() < 0.8
    assert difference[:, ~moving].max() <= 1
    assert difference[:, _head(seen.landmarks68)].mean() < 2


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
    return subject.draw(dataclasses.replace(motion, expression=face.expression + acted))


def _head(landmarks: np.ndarray) -> np.ndarray:
    """The person's pixels within the face's box grown by half: face, hair and ears."""
    with closing(PersonMatte()) as matte:
        person = matte(PHOTOGRAPH) > 0.5
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    grow = (high - low) * 0.5
    box = np.zeros(person.shape, bool)
    (left, top), (right, bottom) = (np.maximum(low - grow, 0)).astype(int), (high + grow).astype(int)
    box[top:bottom, left:right] = True
    return person & box


def _reach_of_the_head(landmarks: np.ndarray) -> np.ndarray:
    """Where turning the head can move anything: an ellipse of two and a half face widths to each side."""
    centre, size = landmarks.mean(axis=0), np.ptp(landmarks, axis=0)
    mask = np.zeros(PHOTOGRAPH.shape[:2], np.uint8)
    cv2.ellipse(mask, (tuple(centre.tolist()), tuple((size * 5).tolist()), 0.0), 1, -1)
    return mask > 0
