"""Animated curves and landmarks as motion: at rest the portrait is itself, what is animated moves as it says."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from engine.errors import EngineError
from engine.face.camera import Pose
from engine.face.subject import FaceFit
from engine.media.image import encode_png, read_image, write_atomic
from engine.motion.format import CURVES, MOTION, pack
from engine.motion.motion import Motion, MotionFrame
from engine.motion.registry import open_motion
from engine.motion.retarget import Retargeter
from engine.pipeline import render
from engine.protocol import Driving, Job
from engine.tracking.builtin_detector import BuiltinDetector
from tests.engine.faces import degrees_between, portrait_face, turn, weights

REST = {"frames": 3, "start": 10, "rate": [24, 1], "neutral_frame": 10}
Save = Callable[..., Path]


@pytest.fixture
def face() -> FaceFit:
    return portrait_face()


@pytest.fixture
def save(folder: Path) -> Save:
    """A curves file of ``channels`` (three samples each) or of any arrays, with header fields as given."""

    def write(channels: dict[str, list[float]] | None = None, arrays: dict[str, Any] | None = None, **fields) -> Path:
        path = folder / "rig.curves.npz"
        if channels is not None:
            fields = {"channels": list(channels), **fields}
            arrays = {"samples": np.stack([np.array(values) for values in channels.values()], axis=1)}
        write_atomic(path, pack(CURVES, REST | fields, arrays or {}))
        return path

    return write


def read(path: Path, face: FaceFit) -> Motion:
    source = open_motion(Driving("curves", str(path)), Fraction(24))
    motion = source.motion([face], BuiltinDetector(), path.parent, lambda message: None, lambda: None)
    assert (motion.start, motion.stop, motion.rate) == (source.start, source.stop, source.rate) == (10, 13, 24)
    return motion


@pytest.mark.parametrize("modes", ["absolute", "relative", "mixed"])
def test_curves_at_zero_leave_head_and_eyes_as_they_are(save: Save, face: FaceFit, modes: str) -> None:
    frame = Retargeter(read(save({"jawOpen": [0, 0, 0]}), face), [face], modes).frame(11)
    assert np.allclose(frame.rotation, face.pose.rotation) and np.allclose(frame.translation, face.pose.translation)
    assert np.allclose(frame.gaze, face.gaze) and not frame.offsets.any()
    if modes == "relative":
        assert np.allclose(frame.expression, face.expression)


def test_every_channel_moves_what_it_names(save: Save, face: FaceFit) -> None:
    def moved(**channels: float) -> MotionFrame:
        names = {name.replace("head_", "head."): [0.0, value, 0.0] for name, value in channels.items()}
        return Retargeter(read(save(names), face), [face], "relative").frame(11)

    jaw = face.model.expression_index("jawOpen")
    assert moved(jawOpen=0.4).expression[jaw] - face.expression[jaw] == pytest.approx(0.4)
    turned = moved(head_yaw=20, head_pitch=10).rotation @ face.pose.rotation.T
    assert degrees_between(turned, turn(20, 10)) < 1e-3
    nose = turned @ [0, 0, 1.0]
    assert nose[0] > 0.3 and nose[1] < -0.1, "towards image right, chin down"
    assert (moved(head_roll=20).rotation @ face.pose.rotation.T @ [0, 1.0, 0])[0] < -0.3, "to its right shoulder"
    assert np.allclose(moved(head_x=2, head_y=1).translation - face.pose.translation, [2, 1, 0], atol=1e-4)
    assert moved(head_z=5).translation[2] > face.pose.translation[2], "towards the camera"
    left, right = moved(eyeLookOut_L=0.5, eyeLookIn_R=0.5).gaze - face.gaze
    assert np.degrees([*left, *right]) == pytest.approx([0, 15, 0, 15]), "both eyes to image right"
    assert (moved(eyeLookUp_L=0.5, eyeLookUp_R=0.5).gaze - face.gaze)[:, 0] == pytest.approx(np.radians([15, 15]))


def test_without_a_stated_rest_the_least_expressive_frame_is_neutral(save: Save, face: FaceFit) -> None:
    assert read(save({"jawOpen": [0.5, 0.4, 0.1]}, neutral_frame=None), face).neutral == 12
    assert read(save({"jawOpen": [0.5, 0.4, 0.1]}, neutral_frame=11), face).neutral == 11


def test_landmarks_on_the_portrait_are_fitted(save: Save, face: FaceFit) -> None:
    """Landmarks drawn by the face model itself: at rest, with an open mouth, turned."""

    def drawn(expression: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        points = face.model.landmarks68.at(face.model.deform(face.neutral, expression))
        return face.camera.project(Pose(rotation, face.pose.translation).apply(points))[0]

    own, still = face.pose.rotation, np.zeros(len(face.expression))
    landmarks = [drawn(still, own), drawn(weights(face.model, jawOpen=0.7), own), drawn(still, turn(12) @ own)]
    size = [face.camera.width, face.camera.height]
    motion = read(save(arrays={"landmarks68": np.stack(landmarks)}, size=size), face)
    assert motion.tracked is None and motion.valid.all()
    opened = motion.expression[:, face.model.expression_index("jawOpen")]
    assert opened[1] - opened[0] > 0.4 and abs(opened[2] - opened[0]) < 0.1
    assert degrees_between(motion.rotation[2] @ motion.rotation[0].T, turn(12)) < 3
    assert degrees_between(motion.rotation[1], motion.rotation[0]) < 3
    with pytest.raises(EngineError, match="640×480") as fault:
        read(save(arrays={"landmarks68": np.stack(landmarks)}, size=[640, 480]), face)
    assert fault.value.code == "motion"
    with pytest.raises(EngineError, match="do not fit a face") as fault:
        noise = np.random.default_rng(0).uniform(0, 300, (3, 68, 2))
        read(save(arrays={"landmarks68": noise}, size=size), face)
    assert fault.value.code == "motion"


REFUSED: dict[str, dict[str, Any]] = {
    "nothing in it": {},
    "an unknown channel of the head": {"channels": {"head.spin": [0, 1, 2]}},
    "an unknown channel of the eyes": {"channels": {"eyeLookUp": [0, 1, 2]}},
    "samples for another number of frames": {"channels": {"jawOpen": [0, 1]}},
    "no size": {"arrays": {"landmarks68": np.zeros((3, 68, 2))}},
    "a size of three numbers": {"arrays": {"landmarks68": np.zeros((3, 68, 2))}, "size": [64, 64, 3]},
    "endless landmarks": {"arrays": {"landmarks68": np.full((3, 68, 2), 1e30)}, "size": [256, 256]},
    "five landmarks": {"arrays": {"landmarks68": np.zeros((3, 5, 2))}, "size": [64, 64]},
    "a neutral frame outside": {"channels": {"jawOpen": [0, 1, 2]}, "neutral_frame": 0},
    "a head behind the camera": {"channels": {"head.z": [0, 0, 1e4]}},
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_curves_that_make_no_motion_are_refused(save: Save, face: FaceFit, content: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="rig.curves.npz") as fault:
        read(save(**content), face)
    assert fault.value.code == "motion" and fault.value.remedy


def test_a_motion_file_is_no_curves_file(face: FaceFit, folder: Path) -> None:
    write_atomic(folder / "a.curves.npz", pack(MOTION, {"frames": 3}, {}))
    with pytest.raises(EngineError, match=CURVES):
        read(folder / "a.curves.npz", face)


def test_a_take_is_driven_by_curves(save: Save, folder: Path) -> None:
    portrait = folder / "astronaut.png"
    portrait.write_bytes(encode_png(data.astronaut()[:256, 96:352]))
    curves = save({"head.yaw": [0, 15, 0], "earWiggle": [0, 1, 0]})
    job = Job(
        system="mesh_warp",
        portraits=(str(portrait),),
        driving=Driving("curves", str(curves)),
        frames=((1, 10), (2, 11), (3, 12)),
        fps=(24, 1),
        output=str(folder / "out"),
        shot="rig",
    )
    messages: list[dict[str, Any]] = []
    assert render(job, messages.append, lambda: False)
    assert [m["code"] for m in messages if m["type"] == "warning"] == ["unknown_expressions"]
    take = Path(messages[-1]["folder"])
    first, turned, last = (read_image(take / f"{take.name}.{frame:04d}.png").astype(int) for frame in (1, 2, 3))
    assert np.array_equal(first, last) and np.abs(turned - first).mean() > 1
    assert Motion.load(take / f"{take.name}.motion.npz").tracked is None
