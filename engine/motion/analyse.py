"""Footage → motion: detect the face in every frame, find the driver's identity, fit every frame, smooth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from engine.errors import EngineError
from engine.face import model as face_model
from engine.face.camera import Camera
from engine.face.fitting import Fitter, FrameFit
from engine.face.gaze import gaze_angles
from engine.motion.follower import Follower
from engine.motion.motion import Motion, Shot, Tracked
from engine.motion.mouth_sight import CURVES, SeenMouth, filtered
from engine.motion.smoothing import fill_gaps, interpolate, runs, smooth, smooth_pose
from engine.tracking.detector import Detector, Observation

VERSION = 4
"""Raise it whenever the same footage gives other motion: when decoding, a detector, the fitter or this file changes."""

_KEY_FRAMES = 10  # enough for an identity; more cost time and change nothing
_WORST_RESIDUAL = 3.0  # percent: beyond this the landmarks are no face
_FACES_CAMERA = 0.26  # cosine of 75°: a face turned further away hides most of what is fitted
_INVERTED = -0.5  # cosine of 120° of roll
_SHUT = 0.55  # blink weight beyond which the position of an iris is a guess

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
    follower = Follower(detector)
    observations, mouths, start, camera = _observe(frames, follower, on_frame)
    seen = [o for o in observations if o is not None]
    if camera is None or not seen:
        raise EngineError(
            "no_face",
            f"No face was found in any frame of {name}.",
            "Choose footage or a frame range in which one face is large, lit and not covered.",
        )
    fitter = Fitter(face_model.load(), camera, seen[0].dense is not None)
    count = len(observations)
    shots = _shots(observations, follower.cuts)
    identities: list[np.ndarray] = []
    fits: list[FittedFrame | None] = []
    for shot in shots:
        own = [o for o in observations[shot] if o is not None]
        keys = np.unique(np.linspace(0, len(own) - 1, min(_KEY_FRAMES, len(own))).astype(int))
        identities.append(fitter.subject([own[k] for k in keys]))
        before = (count + len(fits)) / 2
        fits += fit_frames(
            fitter, identities[-1], observations[shot], lambda done, before=before: on_frame(before + done / 2)
        )
    if not any(fits):
        raise EngineError(
            "no_face",
            f"What the detector found in {name} does not fit a face in any frame.",
            "Choose footage in which one face is large, lit and not covered.",
        )
    motion = _smoothed(fitter, shots, identities, fits, mouths, start, rate, detector.name)
    if not follower.others:
        return motion
    assert motion.tracked
    others = np.isin(np.arange(count), follower.others) & ~motion.valid
    return replace(motion, tracked=replace(motion.tracked, others=others))


def _shots(observations: Sequence[Observation | None], cuts: Sequence[int]) -> list[slice]:
    """The frames between cuts; a shot without a face belongs to the one before, or to the first that has one."""
    edges = [0, *cuts, len(observations)]
    shots: list[slice] = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        joins = shots and (not any(observations[start:stop]) or not any(observations[shots[-1]]))
        shots[-1:] = [slice(shots[-1].start, stop)] if joins else [*shots[-1:], slice(start, stop)]
    return shots


def _observe(
    frames: Iterable[tuple[int, np.ndarray]], follower: Follower, on_frame: OnFrame
) -> tuple[list[Observation | None], list[np.ndarray | None], int, Camera | None]:
    """The person's face in every frame and what its mouth shows (:meth:`SeenMouth.curves`), the number of the first
    frame, and the camera of its picture."""
    observations: list[Observation | None] = []
    mouths: list[np.ndarray | None] = []
    start, camera = 0, None
    for index, rgb in frames:
        if camera is None:
            start, camera = index, Camera(rgb.shape[1], rgb.shape[0])
        seen = follower.look(rgb)
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
        previous = fit if fit and _is_face(fit) else None
        if observation is None or previous is None:
            fits.append(None)
            continue
        offsets = fitter.offsets(observation, points, previous)
        gaze = gaze_angles(fitter, observation, neutral, previous, offsets)
        fits.append(FittedFrame(previous, offsets, gaze, observation.confidence))
    return fits


def _is_face(fit: FrameFit) -> bool:
    """Whether a fit is good, and of a head that stands upright enough and shows its face."""
    rotation = fit.pose.rotation
    return fit.residual <= _WORST_RESIDUAL and rotation[2, 2] >= _FACES_CAMERA and rotation[1, 1] >= _INVERTED


def stacked(fits: Sequence[FittedFrame | None], read: Callable[[FittedFrame], np.ndarray | float]) -> np.ndarray:
    """A value of every frame, (T, …) float64; zero where the frame was not fitted. At least one frame was."""
    zero = np.zeros_like(read(next(fit for fit in fits if fit)), np.float64)
    return np.stack([read(fit) if fit else zero for fit in fits]).astype(np.float64, copy=False)


def _smoothed(
    fitter: Fitter,
    shots: Sequence[slice],
    identities: Sequence[np.ndarray],
    fits: Sequence[FittedFrame | None],
    mouths: Sequence[np.ndarray | None],
    start: int,
    rate: Fraction,
    detector: str,
) -> Motion:
    """Smoothed between cuts and gaps, never across; gaps hold the frame before."""
    valid = np.array([fit is not None for fit in fits])
    expression = stacked(fits, lambda f: f.fit.expression)
    rotation = stacked(fits, lambda f: f.fit.pose.rotation)
    translation = stacked(fits, lambda f: f.fit.pose.translation)
    gaze = stacked(fits, lambda f: f.gaze)
    offsets = stacked(fits, lambda f: f.offsets)
    residual = stacked(fits, lambda f: f.fit.residual)
    measured = all(mouth is not None for mouth, found in zip(mouths, valid, strict=True) if found)
    mouth = np.stack([np.zeros(len(CURVES)) if curves is None else curves for curves in mouths])
    names = fitter.model.expression_names
    shut = eyes_shut(names, expression)
    for shot in shots:
        for run in runs(valid[shot]):
            run = slice(shot.start + run.start, shot.start + run.stop)
            rotation[run], translation[run] = smooth_pose(rotation[run], translation[run])
            expression[run] = smooth(expression[run], 0.5)
            gaze[run] = smooth(interpolate(gaze[run], shut[run] < _SHUT), 0.7)
            offsets[run] = smooth(offsets[run], 0.5)
            mouth[run] = filtered(mouth[run])
    for values in (expression, rotation, translation, gaze, offsets, mouth):
        _hold(values, valid, shots)
    judged = (expression, rotation, residual, valid, shut)
    found = []
    for shot, identity in zip(shots, identities, strict=True):
        if valid[shot].any():
            first = start + shot.start
            found.append(Shot(first, first + neutral_frame(*(values[shot] for values in judged)), identity))
    return Motion(
        expression_names=names,
        expression=expression,
        rotation=rotation,
        translation=translation,
        gaze=gaze,
        valid=valid,
        start=start,
        rate=rate,
        neutral=found[0].neutral,
        shots=(replace(found[0], start=start), *found[1:]) if len(found) > 1 else (),
        mouth=dict(zip(CURVES, mouth.T, strict=True)) if measured else {},
        tracked=Tracked(
            offsets=offsets,
            residual=residual,
            confidence=stacked(fits, lambda f: f.confidence),
            identity=next(i for shot, i in zip(shots, identities, strict=True) if valid[shot].any()),
            detector=detector,
            model=fitter.model.sha256,
            size=(fitter.camera.width, fitter.camera.height),
        ),
    )


def _hold(values: np.ndarray, valid: np.ndarray, shots: Sequence[slice]) -> None:
    """Fill the gaps of (T, …) in place, each from its own shot."""
    filled = np.zeros(len(valid), bool)
    for shot in shots:
        if valid[shot].any():
            values[shot] = fill_gaps(values[shot], valid[shot])
            filled[shot] = True
    values[:] = fill_gaps(values, filled)


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
