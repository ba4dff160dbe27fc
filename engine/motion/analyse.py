"""Footage → motion: detect the face in every frame, find the driver's identity, fit every frame, smooth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.camera import Camera
from engine.face.fitting import Fitter, FrameFit
from engine.face.gaze import gaze_angles
from engine.motion.motion import Motion, Tracked
from engine.motion.mouth_sight import SeenMouth, filtered
from engine.motion.smoothing import fill_gaps, interpolate, smooth, smooth_pose
from engine.tracking.detector import Detector, Observation

VERSION = 2
"""Raise it whenever the same footage gives other motion: when decoding, a detector, the fitter or this file changes."""

_KEY_FRAMES = 10  # enough for an identity; more cost time and change nothing
_WORST_RESIDUAL = 4.0  # percent: beyond this the landmarks are no face
_SHUT = 0.55  # blink weight beyond which the position of an iris is a guess
_WARM_UP = 2  # the first frame is tracked again until its crop has settled

OnFrame = Callable[[float], None]


@dataclass(frozen=True)
class FittedFrame:
    """One frame explained by the face model, before smoothing; the terms are those of :class:`Tracked`."""

    fit: FrameFit
    offsets: np.ndarray
    gaze: np.ndarray
    confidence: float


def analyse(
    frames: Iterable[tuple[int, np.ndarray]],
    rate: Fraction,
    detector: Detector,
    name: str,
    on_frame: OnFrame = lambda done: None,
) -> Motion:
    """The motion in consecutive ``frames`` (index, (H, W, 3) uint8 sRGB), streamed.

    ``name`` is the footage's, for errors. ``on_frame`` hears how many frames are done (a detected frame counts half
    until it is fitted) and may raise to cancel. Raises EngineError ``no_face`` when no frame shows one.
    """
    observations, mouths, start, camera = _observe(frames, detector, on_frame)
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
    count = len(observations)
    fits = fit_frames(fitter, identity, observations, lambda done: on_frame((count + done) / 2))
    if not any(fits):
        raise EngineError(
            "no_face",
            f"What the detector found in {name} does not fit a face in any frame.",
            "Choose footage in which one face is large, lit and not covered.",
        )
    return _smoothed(fitter, identity, fits, mouths, start, rate, detector.name)


def _observe(
    frames: Iterable[tuple[int, np.ndarray]], detector: Detector, on_frame: OnFrame
) -> tuple[list[Observation | None], list[np.ndarray | None], int, Camera | None]:
    """What the detector sees in every frame and what the mouth shows (:meth:`SeenMouth.curves`), the number of the
    first frame, and the camera of its picture."""
    detector.restart()
    observations: list[Observation | None] = []
    mouths: list[np.ndarray | None] = []
    start, camera = 0, None
    for index, rgb in frames:
        if camera is None:
            start, camera = index, Camera(rgb.shape[1], rgb.shape[0])
            for _ in range(_WARM_UP):
                detector.track(rgb)
        seen = detector.track(rgb)
        observations.append(seen)
        mouths.append(None if seen is None or seen.dense is None else SeenMouth(rgb, seen.dense).curves())
        on_frame(len(observations) / 2)
    return observations, mouths, start, camera


def fit_frames(
    fitter: Fitter, identity: np.ndarray, observations: Sequence[Observation | None], on_frame: OnFrame
) -> list[FittedFrame | None]:
    """Fit consecutive frames of the person with ``identity`` (K,), each starting from the one before.

    None where nothing was observed or where it does not look like a face. ``on_frame`` hears how many frames are done.
    """
    points, neutral = fitter.neutral_points(identity), fitter.model.neutral(identity)
    fits: list[FittedFrame | None] = []
    previous: FrameFit | None = None
    for i, observation in enumerate(observations):
        on_frame(i)
        fit = None if observation is None else fitter.frame(observation, points, previous)
        if observation and fit and previous and fit.residual > _WORST_RESIDUAL:
            fit = fitter.frame(observation, points, None)
        previous = fit if fit and fit.residual <= _WORST_RESIDUAL else None
        if observation is None or previous is None:
            fits.append(None)
            continue
        offsets = fitter.offsets(observation, points, previous)
        gaze = gaze_angles(fitter, observation, neutral, previous, offsets)
        fits.append(FittedFrame(previous, offsets, gaze, observation.confidence))
    return fits


def stacked(fits: Sequence[FittedFrame | None], read: Callable[[FittedFrame], np.ndarray | float]) -> np.ndarray:
    """A value of every frame, (T, …) float64; zero where the frame was not fitted. At least one frame was."""
    zero = np.zeros_like(read(next(fit for fit in fits if fit)), np.float64)
    return np.stack([read(fit) if fit else zero for fit in fits]).astype(np.float64, copy=False)


def _smoothed(
    fitter: Fitter,
    identity: np.ndarray,
    fits: Sequence[FittedFrame | None],
    mouths: Sequence[np.ndarray | None],
    start: int,
    rate: Fraction,
    detector: str,
) -> Motion:
    valid = np.array([fit is not None for fit in fits])
    expression = stacked(fits, lambda f: f.fit.expression)
    residual = stacked(fits, lambda f: f.fit.residual)
    shut = eyes_shut(fitter.model.expression_names, expression)
    gaze = interpolate(stacked(fits, lambda f: f.gaze), valid & (shut < _SHUT))
    rotation, translation = smooth_pose(
        fill_gaps(stacked(fits, lambda f: f.fit.pose.rotation), valid),
        fill_gaps(stacked(fits, lambda f: f.fit.pose.translation), valid),
    )
    expression = smooth(fill_gaps(expression, valid), 0.5)
    return Motion(
        expression_names=fitter.model.expression_names,
        expression=expression,
        rotation=rotation,
        translation=translation,
        gaze=smooth(fill_gaps(gaze, valid), 0.7),
        valid=valid,
        start=start,
        rate=rate,
        neutral=start + neutral_frame(expression, rotation, residual, valid, shut),
        mouth=filtered(mouths, valid),
        tracked=Tracked(
            offsets=smooth(fill_gaps(stacked(fits, lambda f: f.offsets), valid), 0.5),
            residual=residual,
            confidence=stacked(fits, lambda f: f.confidence),
            identity=identity,
            detector=detector,
            model=fitter.model.sha256,
            size=(fitter.camera.width, fitter.camera.height),
        ),
    )


def eyes_shut(names: Sequence[str], expression: np.ndarray) -> np.ndarray:
    """Mean blink weight (T,) of the expression weights (T, E)."""
    blinks = [names.index(name) for name in ("eyeBlink_L", "eyeBlink_R") if name in names]
    return expression[:, blinks].mean(axis=1) if blinks else np.zeros(len(expression))


def neutral_frame(
    expression: np.ndarray, rotation: np.ndarray, residual: np.ndarray, valid: np.ndarray, shut: np.ndarray
) -> int:
    """The index of the least expressive good frame: well fitted, eyes open, and the more frontal one among equals.

    ``expression`` (T, E), ``rotation`` (T, 3, 3), ``residual``, ``valid`` and ``shut`` (T,).
    """
    frontal = np.arccos(np.clip(rotation[:, 2, 2], -1, 1))
    good = valid & (residual <= 1.5 * np.median(residual[valid]) + 1e-9)
    open_eyes = good & (shut <= np.percentile(shut[good], 60) + 1e-9)
    candidates = open_eyes if open_eyes.any() else good
    cost = np.linalg.norm(expression, axis=1) + 0.5 * frontal
    return int(np.flatnonzero(candidates)[np.argmin(cost[candidates])])
