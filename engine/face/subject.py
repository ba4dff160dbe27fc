"""A fitted face: the face model fitted to each portrait of a subject."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.camera import Camera, Pose
from engine.face.fitting import Fitter
from engine.face.gaze import gaze_angles
from engine.face.model import FaceModel
from engine.tracking.detector import Detector, Observation


@dataclass(frozen=True)
class FaceFit:
    """The face model fitted to one portrait.

    ``neutral`` (N, 3) is the subject's expressionless head, ``expression`` (E,), ``gaze`` (2, 2) pitch and yaw in
    radians of the left and right eye in the head's frame, ``offsets`` (P, 3) cm are the fit's residual at
    the landmarks, ``residual`` the mean landmark error in percent of the face's diagonal.
    """

    model: FaceModel
    camera: Camera
    observation: Observation
    identity: np.ndarray
    neutral: np.ndarray
    expression: np.ndarray
    pose: Pose
    gaze: np.ndarray
    offsets: np.ndarray
    residual: float

    def weight(self, name: str) -> float:
        """The weight of a named expression, 0 where the model lacks it."""
        names = self.model.expression_names
        return float(self.expression[names.index(name)]) if name in names else 0.0


def fit_portraits(images: list[tuple[Path, np.ndarray]], detector: Detector) -> list[FaceFit]:
    """Fit all portraits of one person together; raises EngineError ``no_face`` naming the portrait without one."""
    model = face_model.load()
    observations = [_observe(path, rgb, detector) for path, rgb in images]
    fitters = [
        Fitter(model, Camera(rgb.shape[1], rgb.shape[0]), o.dense is not None)
        for (_, rgb), o in zip(images, observations, strict=True)
    ]
    identity = shared_identity(fitters, observations)
    return [fit_face(fitter, o, identity) for fitter, o in zip(fitters, observations, strict=True)]


def shared_identity(fitters: list[Fitter], observations: list[Observation]) -> np.ndarray:
    """One identity (K,): images of one size are solved together, different sizes are averaged by their number."""
    groups: dict[tuple[Camera, bool], list[int]] = {}
    for k, fitter in enumerate(fitters):
        groups.setdefault((fitter.camera, fitter.is_dense), []).append(k)
    votes = [fitters[ids[0]].subject([observations[k] for k in ids]) for ids in groups.values()]
    return np.average(votes, axis=0, weights=[len(ids) for ids in groups.values()])


def fit_face(fitter: Fitter, observation: Observation, identity: np.ndarray) -> FaceFit:
    points = fitter.neutral_points(identity)
    fit = fitter.frame(observation, points, None)
    offsets = fitter.offsets(observation, points, fit)
    neutral = fitter.model.neutral(identity)
    return FaceFit(
        model=fitter.model,
        camera=fitter.camera,
        observation=observation,
        identity=identity,
        neutral=neutral,
        expression=fit.expression,
        pose=fit.pose,
        gaze=gaze_angles(fitter, observation, neutral, fit, offsets),
        offsets=offsets,
        residual=fit.residual,
    )


def _observe(path: Path, rgb: np.ndarray, detector: Detector) -> Observation:
    observation = detector.detect_still(rgb)
    if observation is None:
        raise EngineError(
            "no_face",
            f"No face was found in the portrait {path}.",
            "Choose a picture in which one face is large, lit and not covered.",
        )
    return observation
