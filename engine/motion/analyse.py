"""Footage → performance: detect every frame in order, learn who it is, fit every frame, smooth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.camera import Camera
from engine.face.fitting import Fitter, FrameFit
from engine.face.gaze import gaze_angles
from engine.motion.performance import Performance
from engine.motion.smoothing import fill_gaps, interpolate, smooth, smooth_pose
from engine.tracking.detector import Detector, Observation

_KEY_FRAMES = 10  # enough for an identity; more cost time and change nothing
_WORST_RESIDUAL = 4.0  # percent: beyond this the landmarks are no face
_SHUT = 0.55  # blink weight beyond which an iris is a guess
_WARM_UP = 2  # the first frame is tracked again until its crop has settled


def analyse(
    frames: Iterable[tuple[int, np.ndarray]],
    fps: Fraction,
    detector: Detector,
    name: str,
    on_frame: Callable[[float], None] = lambda done: None,
) -> Performance:
    """Analyse consecutive ``frames`` (index, rgb), streamed; ``name`` is the footage's, for messages.

    ``on_frame`` hears how many frames are done, a detected one counting half until it is fitted, and may raise to
    cancel. Raises EngineError ``no_face`` when no frame shows one.
    """
    observations, start, camera = _observe(frames, detector, on_frame)
    seen = [o for o in observations if o is not None]
    if camera is None or not seen:
        raise EngineError(
            "no_face",
            f"No face was found in any frame of {name}.",
            "Choose footage or a frame range in which one face is large, lit and not covered.",
        )
    fitter = Fitter(face_model.load(), camera, seen[0].dense is not None)
    keys = np.unique(np.linspace(0, len(seen) - 1, min(_KEY_FRAMES, len(seen))).astype(int))
    identity = fitter.subject([seen[k] for k in keys])
    return _fit_all(fitter, identity, observations, start, fps, detector.name, on_frame)


def _observe(
    frames: Iterable[tuple[int, np.ndarray]], detector: Detector, on_frame: Callable[[float], None]
) -> tuple[list[Observation | None], int, Camera | None]:
    detector.restart()
    observations: list[Observation | None] = []
    start, camera = 0, None
    for index, rgb in frames:
        if camera is None:
            start, camera = index, Camera(rgb.shape[1], rgb.shape[0])
            for _ in range(_WARM_UP):
                detector.track(rgb)
        observations.append(detector.track(rgb))
        on_frame(len(observations) / 2)
    return observations, start, camera


def _fit_all(
    fitter: Fitter,
    identity: np.ndarray,
    observations: list[Observation | None],
    start: int,
    fps: Fraction,
    detector: str,
    on_frame: Callable[[float], None],
) -> Performance:
    points, neutral = fitter.neutral_points(identity), fitter.model.neutral(identity)
    count, width = len(observations), len(fitter.upper)
    expression, rotation = np.zeros((count, width)), np.tile(np.eye(3), (count, 1, 1))
    translation, gaze = np.zeros((count, 3)), np.zeros((count, 2, 2))
    offsets, residual = np.zeros((count, len(points), 3)), np.zeros(count)
    confidence, valid = np.zeros(count), np.zeros(count, bool)
    previous: FrameFit | None = None
    for i, observation in enumerate(observations):
        on_frame((count + i) / 2)
        if observation is None:
            previous = None
            continue
        fit = fitter.frame(observation, points, previous)
        if fit.residual > _WORST_RESIDUAL and previous is not None:
            fit = fitter.frame(observation, points, None)
        previous = fit if fit.residual <= _WORST_RESIDUAL else None
        if previous is None:
            continue
        expression[i], rotation[i], translation[i] = fit.expression, fit.pose.rotation, fit.pose.translation
        offsets[i] = fitter.offsets(observation, points, fit)
        gaze[i] = gaze_angles(fitter, observation, neutral, fit, offsets[i])
        residual[i], confidence[i], valid[i] = fit.residual, observation.confidence, True
    if not valid.any():
        raise EngineError(
            "no_face",
            "What the detector found in the footage does not fit a face in any frame.",
            "Choose footage in which one face is large, lit and not covered.",
        )
    names = fitter.model.expression_names
    blinks = [names.index(n) for n in ("eyeBlink_L", "eyeBlink_R") if n in names]
    shut = expression[:, blinks].mean(axis=1) if blinks else np.zeros(count)
    gaze = interpolate(gaze, valid & (shut < _SHUT))
    expression, offsets, gaze = (fill_gaps(a, valid) for a in (expression, offsets, gaze))
    rotation, translation = smooth_pose(fill_gaps(rotation, valid), fill_gaps(translation, valid))
    expression, offsets = smooth(expression, 0.5), smooth(offsets, 0.5)
    return Performance(
        expression_names=names,
        expression=expression,
        rotation=rotation,
        translation=translation,
        gaze=smooth(gaze, 0.7),
        offsets=offsets,
        confidence=confidence,
        residual=residual,
        valid=valid,
        identity=identity,
        start=start,
        fps=fps,
        size=(fitter.camera.width, fitter.camera.height),
        neutral=start + neutral_frame(expression, rotation, residual, valid, shut),
        detector=detector,
        model=fitter.model.sha256,
    )


def neutral_frame(
    expression: np.ndarray, rotation: np.ndarray, residual: np.ndarray, valid: np.ndarray, shut: np.ndarray
) -> int:
    """The least expressive good frame: well fitted, eyes not closing, and among equals the more frontal one."""
    frontal = np.arccos(np.clip(rotation[:, 2, 2], -1, 1))
    good = valid & (residual <= 1.5 * np.median(residual[valid]) + 1e-9)
    open_eyes = good & (shut <= np.percentile(shut[good], 60) + 1e-9)
    candidates = open_eyes if open_eyes.any() else good
    cost = np.linalg.norm(expression, axis=1) + 0.5 * frontal
    return int(np.flatnonzero(candidates)[np.argmin(cost[candidates])])
