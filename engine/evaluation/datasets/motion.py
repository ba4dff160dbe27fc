"""Motion files for shots of one pair or of labelled frames: measured by fits, or taken from exact labels.

The only place of evaluation that builds motion files.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from engine.face import model as face_model
from engine.face.subject import FaceFit
from engine.motion.motion import SUFFIX, Motion, Tracked
from engine.protocol import Driving
from engine.training.sample import Frame
from engine.training.warped import placed

RATE = Fraction(25)
NEEDED = ("identity", "expression", "gaze", "rotation", "translation", "focal", "landmarks68")


def labelled(frame: Frame) -> bool:
    """Whether ``frame`` has every label that drives a system, for the engine's face model."""
    if any(getattr(frame, name) is None for name in NEEDED):
        return False
    return len(np.asarray(frame.expression)) == len(face_model.load().expression_names)


def true_motion(frames: Sequence[Frame], detector: str, points: int, neutral: int) -> Motion:
    """The exact motion of labelled ``frames``; the offsets at the ``points`` of ``detector`` are 0."""

    def stacked(name: str) -> np.ndarray:
        return np.stack([np.asarray(getattr(frame, name), np.float64) for frame in frames])

    return _motion(
        expression=stacked("expression"),
        rotation=stacked("rotation"),
        translation=np.stack([placed(frame) for frame in frames]),
        gaze=stacked("gaze"),
        offsets=np.zeros((len(frames), points, 3)),
        confidence=np.ones(len(frames)),
        residual=np.zeros(len(frames)),
        identity=np.asarray(frames[neutral].identity, np.float64),
        side=frames[0].image.shape[0],
        neutral=neutral,
        detector=detector,
    )


def fitted_motion(
    portrait: FaceFit, driver: Sequence[FaceFit], places: Sequence[Frame] | None, detector: str, side: int
) -> Motion:
    """Two frames: the portrait's own state, then that of the last of ``driver``, the fits of both frames of its pair.
    ``places``: labelled frames that say where the head stands, instead of the fits."""
    fits = [portrait, driver[-1]]
    translations = [fit.pose.translation for fit in fits] if places is None else [placed(frame) for frame in places]
    return _motion(
        expression=np.stack([fit.expression for fit in fits]),
        rotation=np.stack([fit.pose.rotation for fit in fits]),
        translation=np.stack(translations),
        gaze=np.stack([fit.gaze for fit in fits]),
        offsets=np.stack([fit.offsets for fit in driver]),  # both of the driver: those of two people do not compare
        confidence=np.array([fit.observation.confidence for fit in fits]),
        residual=np.array([fit.residual for fit in fits]),
        identity=driver[-1].identity,
        side=side,
        neutral=0,
        detector=detector,
    )


def saved(motion: Motion, path: Path) -> Driving:
    """``motion`` in a file with the right suffix, as what drives a job."""
    path = path.with_name(f"{path.name}{SUFFIX}")
    motion.save(path)
    return Driving("motion", str(path))


def _motion(
    *, side: int, detector: str, neutral: int, offsets: Any, residual: Any, confidence: Any, identity: Any, **parts: Any
) -> Motion:
    model = face_model.load()
    return Motion(
        expression_names=model.expression_names,
        valid=np.ones(len(parts["expression"]), bool),
        start=0,
        rate=RATE,
        neutral=neutral,
        tracked=Tracked(
            offsets=offsets,
            residual=residual,
            confidence=confidence,
            identity=identity,
            detector=detector,
            model=model.sha256,
            size=(side, side),
        ),
        **parts,
    )
