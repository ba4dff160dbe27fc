"""The studio's labels as motion, so that a system can be driven by what is true instead of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.face import model as face_model
from engine.motion.motion import Motion, Tracked
from engine.protocol import Driving
from engine.training.sample import Frame
from engine.training.warped import placed

RATE = Fraction(25)
NEEDED = ("identity", "expression", "gaze", "rotation", "translation", "focal", "landmarks68")


def labelled(frame: Frame) -> bool:
    """Whether all is known of ``frame`` that drives a system, in terms of the engine's face model."""
    if any(getattr(frame, name) is None for name in NEEDED):
        return False
    return len(np.asarray(frame.expression)) == len(face_model.load().expression_names)


def exact_motion(frames: Sequence[Frame], detector: str, points: int, neutral: int) -> Motion:
    """The true motion of labelled ``frames``; ``points`` of ``detector`` have nothing left to explain."""

    def stacked(name: str) -> np.ndarray:
        return np.stack([np.asarray(getattr(frame, name), np.float64) for frame in frames])

    model, count, side = face_model.load(), len(frames), frames[0].image.shape[0]
    return Motion(
        expression_names=model.expression_names,
        expression=stacked("expression"),
        rotation=stacked("rotation"),
        translation=np.stack([placed(frame) for frame in frames]),
        gaze=stacked("gaze"),
        valid=np.ones(count, bool),
        start=0,
        rate=RATE,
        neutral=neutral,
        tracked=Tracked(
            offsets=np.zeros((count, points, 3)),
            residual=np.zeros(count),
            confidence=np.ones(count),
            identity=np.asarray(frames[neutral].identity, np.float64),
            detector=detector,
            model=model.sha256,
            size=(side, side),
        ),
    )


def kept(motion: Motion, path: Path) -> Driving:
    """``motion`` in a file, as a job is driven by one."""
    motion.save(path)
    return Driving("motion", str(path))
