"""The frame inputs of a labelled pair: its source portrait, driven by its driving frame.

The engine's own code draws them. Driven by the labels, through a FaceFit made of labels and a camera of the picture's
true focal length, they lie on the driving frame, and only what geometry cannot know is wrong. Driven by a detector and
the fitter, as in use, they have the errors of takes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.camera import FOCAL_PER_SIDE, Camera, Pose
from engine.face.fitting import Fitter
from engine.face.gaze import EYES, eyeball
from engine.face.maths import look
from engine.face.model import FaceModel
from engine.face.portrait import Portrait
from engine.face.subject import FaceFit, fit_face
from engine.geometry.frame_inputs import FIELDS, FrameInputs, PortraitInputs
from engine.geometry.framing import Square
from engine.motion.motion import MotionFrame
from engine.tracking.detector import Detector, Observation
from engine.training.sample import Frame, Pair, Samples

VERSION = 8  # raised whenever the same pair gives other arrays
USUAL = ("warped", "pncc", "source_pncc", "flow", "hidden", "stretch", "parts")  # those of ``identity_matched``
NEEDED = ("matte", "landmarks68", "dense", "identity", "expression", "gaze", "rotation", "translation", "focal")
_IRIS = 0.5  # radians from an eyeball's axis to the rim of its iris


class Warped(Samples):
    """Pairs of another source with their frame inputs ``names``; every one must show a face.

    With a ``detector`` they are driven by what it sees. The labels drive where it misses a face, and the lids in
    blinks, most of which it misses."""

    def __init__(self, samples: Samples, names: Collection[str] = USUAL, detector: Detector | None = None) -> None:
        self._samples, self._names, self._detector = samples, tuple(names), detector

    def pair(self, number: int, size: int) -> Pair:
        pair = self._samples.pair(number, size)
        return replace(pair, inputs=inputs_of(pair, self._names, self._detector))

    def describe(self) -> dict[str, object]:
        tracked = {} if self._detector is None else {"tracked": self._detector.name}
        return {**self._samples.describe(), "warp": VERSION, **tracked}


def inputs_of(pair: Pair, names: Collection[str] = USUAL, detector: Detector | None = None) -> dict[str, np.ndarray]:
    """The frame inputs ``names`` of a pair, as stored. Raises EngineError ``missing_label`` where a frame lacks labels
    or shows no face."""
    source, driving = pair.source, pair.driving
    for frame in (source, driving):
        _check(frame)
    measured = None if detector is None else _tracked(source, driving, detector)
    face, moved = measured or (fit(source), motion(driving, float(source.focal or 0)))
    matte, size = np.asarray(source.matte, np.float32) / 255, len(source.image)
    portrait = PortraitInputs(Portrait(Path(), source.image, face), names, size, Square(0, 0, size), matte)
    inputs = FrameInputs(portrait, moved)
    return {name: FIELDS[name].kind.stored(inputs[name]) for name in names}


def _tracked(source: Frame, driving: Frame, detector: Detector) -> tuple[FaceFit, MotionFrame] | None:
    """The portrait's fit, and the driver's state relative to it; None where a face is missed."""
    seen = [face for face in (detector.detect(frame.image) for frame in (source, driving)) if face is not None]
    if len(seen) < 2:
        return None
    size = len(source.image)
    fitter = Fitter(face_model.load(), Camera(size, size), seen[0].dense is not None)
    identity = fitter.subject(seen)
    own, driver = (fit_face(fitter, face, identity) for face in seen)
    offsets = driver.offsets - own.offsets
    return own, MotionFrame(
        _shut(driver.expression, np.asarray(driving.expression)),
        driver.pose.rotation,
        driver.pose.translation,
        driver.gaze,
        offsets,
        status="ok",
    )


def _shut(expression: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(E,) as measured, but ``eyeBlink`` no less than in truth: detectors see less of the studio's blinks than of
    people's."""
    lids = [k for k, name in enumerate(face_model.load().expression_names) if name.startswith("eyeBlink")]
    expression = expression.copy()
    expression[lids] = np.maximum(expression[lids], true[lids])
    return expression


def fit(frame: Frame) -> FaceFit:
    """A labelled frame as if it had been fitted without any error."""
    model, size = face_model.load(), len(frame.image)
    camera = Camera(size, size, float(frame.focal or 0))
    identity = np.asarray(frame.identity)
    neutral = model.neutral(identity)
    pose = Pose(np.asarray(frame.rotation, np.float64), np.asarray(frame.translation, np.float64))
    iris = np.stack([_iris(model, neutral, frame, camera, pose, k) for k in range(len(EYES))])
    seen = Observation(np.asarray(frame.landmarks68), np.asarray(frame.dense), iris, 1.0)
    expression = np.asarray(frame.expression)
    pixels, depth = camera.project(pose.apply(model.dense.at(model.deform(neutral, expression))))
    return FaceFit(
        model=model,
        camera=camera,
        observation=seen,
        identity=identity,
        neutral=neutral,
        expression=expression,
        pose=pose,
        gaze=np.asarray(frame.gaze),
        offsets=camera.lift(np.asarray(frame.dense)[:, :2] - pixels, depth) @ pose.rotation,  # unexplained
        residual=0.0,
    )


def _iris(model: FaceModel, neutral: np.ndarray, frame: Frame, camera: Camera, pose: Pose, eye: int) -> np.ndarray:
    """(5, 2) pixels: centre and rim, as an Observation has them."""
    centre, radius = eyeball(model, neutral, EYES[eye])
    rim = np.sin(_IRIS) * np.array([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])
    points = np.column_stack([rim, np.sqrt(1 - (rim**2).sum(axis=1))]) * radius
    pixels, _ = camera.project(pose.apply(points @ look(*np.asarray(frame.gaze)[eye]).T + centre))
    return pixels


def placed(frame: Frame, focal: float = FOCAL_PER_SIDE) -> np.ndarray:
    """Where the head stands, (3,) cm, before a camera of ``focal`` widths, the engine's by default: the same picture,
    to first order, with the head at another depth."""
    return np.asarray(frame.translation, np.float64) * [1, 1, focal / float(frame.focal or focal)]


def motion(frame: Frame, focal: float) -> MotionFrame:
    """What ``frame`` shows, before a camera of ``focal`` widths."""
    return MotionFrame(
        expression=np.asarray(frame.expression),
        rotation=np.asarray(frame.rotation, np.float64),
        translation=placed(frame, focal),
        gaze=np.asarray(frame.gaze),
        offsets=np.zeros((len(np.asarray(frame.dense)), 3)),
        status="ok",
    )


def _check(frame: Frame) -> None:
    missing = [name for name in NEEDED if getattr(frame, name) is None]
    if missing or not frame.face:
        raise EngineError(
            "missing_label",
            f"A frame has no {', '.join(missing) or 'face'}, so it cannot be warped.",
            "Warp the studio's pairs, without negatives.",
        )
