"""The studio's labels as a performance, so that a system can be driven by what is true instead of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.face import model as face_model
from engine.motion.performance import Performance
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


def exact_performance(frames: Sequence[Frame], detector: str, points: int, neutral: int) -> Performance:
    """The true motion of labelled ``frames``; ``points`` of ``detector`` have nothing left to explain."""

    def stacked(name: str) -> np.ndarray:
        return np.stack([np.asarray(getattr(frame, name), np.float64) for frame in frames])

    model, count, side = face_model.load(), len(frames), frames[0].image.shape[0]
    return Performance(
        expression_names=model.expression_names,
        expression=stacked("expression"),
        rotation=stacked("rotation"),
        translation=np.stack([placed(frame) for frame in frames]),
        gaze=stacked("gaze"),
        offsets=np.zeros((count, points, 3)),
        confidence=np.ones(count),
        residual=np.zeros(count),
        valid=np.ones(count, bool),
        identity=np.asarray(frames[neutral].identity, np.float64),
        start=0,
        fps=RATE,
        size=(side, side),
        neutral=neutral,
        detector=detector,
        model=model.sha256,
    )


def kept(performance: Performance, path: Path) -> Driving:
    """``performance`` in a file, as a job is driven by one."""
    performance.save(path)
    return Driving("performance", str(path))
