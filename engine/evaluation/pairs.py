"""Test sets of pairs: two frames of one person, the same motion on another, and whatever labels their maker knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.errors import EngineError
from engine.evaluation.pictures import Moment, Picture
from engine.evaluation.testsets import Shot, TestSet
from engine.face.camera import FOCAL_PER_SIDE
from engine.face.detector import Detector
from engine.face.subject import FaceFit, fit_portraits
from engine.media.image import encode_png, write_atomic
from engine.motion.performance import Performance
from engine.protocol import Driving
from engine.training.sample import Frame, Pair, Samples

_RATE = Fraction(25)  # a performance must have one


@dataclass(frozen=True)
class PairShot(Shot):
    """``moment`` is the one thing to answer."""

    moment: Moment | None = None

    def moments(self) -> Iterator[Moment]:
        assert self.moment is not None
        yield self.moment


class Pairs(TestSet):
    """The first ``count`` pairs of ``samples``, each one shot of one frame.

    ``self``: the source portrait answers the driving frame, motion relative to the source, which is known to the
    driver. ``cross``: ``cross_source`` answers the same driving frame, motion absolute; ``cross`` is the truth.
    Drivers are fitted frame by frame, without smoothing, since nothing moves from source to driver.
    """

    truth = True

    def __init__(self, name: str, samples: Samples, count: int, size: int, mode: str) -> None:
        self.name, self.mode = name, mode
        self._samples, self._count, self._size = samples, count, size
        self._unseen: list[int] = []
        self._unpaired: list[int] = []
        self.exact = self._answer(samples.pair(0, size))[1].landmarks68 is not None

    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        for number in range(self._count):
            pair = self._samples.pair(number, self._size)
            source, truth = self._answer(pair)
            if source is truth:
                self._unpaired.append(number)
                continue
            shot = self._shot(number, pair, source, truth, folder, detector)
            if shot is None:
                self._unseen.append(number)
            else:
                yield shot

    def remarks(self) -> list[str]:
        relative = "relative to the portrait, the driver's other frame" if self.mode == "self" else "absolute"
        remarks = [f"Motion {relative}. Drivers are fitted frame by frame."]
        if self._unseen:
            remarks.append(
                f"{len(self._unseen)} of {self._count} pairs are left out for every system, because the detector that "
                f"drives found no face in the portrait or in the driver: {', '.join(map(str, self._unseen))}."
            )
        if self._unpaired:
            remarks.append(f"{len(self._unpaired)} of {self._count} pairs know no other identity.")
        return remarks

    def _answer(self, pair: Pair) -> tuple[Frame, Frame]:
        """The portrait and the truth; the same frame twice where there is none."""
        if self.mode == "self":
            return pair.source, pair.driving
        if pair.cross is None or pair.cross_source is None:
            return pair.driving, pair.driving
        return pair.cross_source, pair.cross

    def _shot(
        self, number: int, pair: Pair, source: Frame, truth: Frame, folder: Path, detector: Detector
    ) -> Shot | None:
        label = f"{self.mode}_{number:04d}"
        portrait = folder / f"{label}_portrait.png"
        write_atomic(portrait, encode_png(source.image))
        try:
            fits = fit_portraits([(portrait, frame.image) for frame in (pair.source, pair.driving)], detector)
            if source is not pair.source:
                fit_portraits([(portrait, source.image)], detector)  # as the pipeline will
        except EngineError as fault:
            if fault.code != "no_face":
                raise
            return None
        fitted = _performance(fits, detector.name, (self._size, self._size))
        exact = _exact(fitted, pair)
        moment = Moment(
            shot=label,
            identity=label,
            index=1,
            source=Picture(source.image),
            driver=Picture(pair.driving.image),
            truth=Picture(truth.image),
            rotation=truth.rotation,
            landmarks68=truth.landmarks68,
            visible68=truth.visible68,
        )
        return PairShot(
            label=label,
            portrait=portrait,
            driving=_kept(fitted, folder / f"{label}_fitted.performance"),
            frames=(1,),
            motion="relative" if self.mode == "self" else "absolute",
            neutral=0,
            exact_driving=None if exact is None else _kept(exact, folder / f"{label}_exact.performance"),
            moment=moment,
        )


def _performance(fits: list[FaceFit], detector: str, size: tuple[int, int]) -> Performance:
    """Unrelated frames of one person as a performance, each as it was fitted."""
    model = fits[0].model
    return Performance(
        expression_names=model.expression_names,
        expression=np.stack([fit.expression for fit in fits]),
        rotation=np.stack([fit.pose.rotation for fit in fits]),
        translation=np.stack([fit.pose.translation for fit in fits]),
        gaze=np.stack([fit.gaze for fit in fits]),
        offsets=np.stack([fit.offsets for fit in fits]),
        confidence=np.array([fit.observation.confidence for fit in fits]),
        residual=np.array([fit.residual for fit in fits]),
        valid=np.ones(len(fits), bool),
        identity=fits[0].identity,
        start=0,
        fps=_RATE,
        size=size,
        neutral=0,
        detector=detector,
        model=model.sha256,
    )


def _exact(fitted: Performance, pair: Pair) -> Performance | None:
    """``fitted`` with the studio's coefficients in place of what was measured; None where they are not known."""
    frames = (pair.source, pair.driving)
    names = ("identity", "expression", "gaze", "rotation", "translation", "focal")
    if any(getattr(frame, name) is None for frame in frames for name in names):
        return None
    expression = np.stack([np.asarray(frame.expression, np.float64) for frame in frames])
    if expression.shape != fitted.expression.shape:  # another face model's
        return None
    # The engine's camera has one focal length: the same picture, to first order, with the head at another depth.
    stretch = [np.array([1, 1, FOCAL_PER_SIDE / float(frame.focal or 1)]) for frame in frames]
    return replace(
        fitted,
        expression=expression,
        rotation=np.stack([np.asarray(frame.rotation, np.float64) for frame in frames]),
        translation=np.stack([np.asarray(f.translation, np.float64) * s for f, s in zip(frames, stretch)]),
        gaze=np.stack([np.asarray(frame.gaze, np.float64) for frame in frames]),
        offsets=np.zeros_like(fitted.offsets),
        identity=np.asarray(pair.driving.identity, np.float64),
        confidence=np.ones(len(frames)),
        residual=np.zeros(len(frames)),
    )


def _kept(performance: Performance, path: Path) -> Driving:
    performance.save(path)
    return Driving("performance", str(path))


def held_out(assets: Path | None) -> Samples:
    """The studio's pairs of people, hairs and surroundings that no training has seen; see its dataset."""
    from engine.training.studio.dataset import Studio

    return Studio(assets, split="test")
