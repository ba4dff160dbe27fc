"""Test sets of pairs: two frames of one person, the same motion on another, and whatever labels their maker knows."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import EngineError
from engine.evaluation.exact import RATE, exact_motion, kept, labelled
from engine.evaluation.pictures import Moment, Picture
from engine.evaluation.testsets import Shot, TestSet
from engine.face.subject import FaceFit, fit_portraits
from engine.media.image import encode_png, write_atomic
from engine.motion.motion import Motion, Tracked
from engine.tracking.detector import Detector
from engine.training.sample import Frame, Pair, Samples
from engine.training.warped import placed

if TYPE_CHECKING:
    from engine.training.studio.dataset import StudioSamples

_SEED = 404  # of the studio's test set, for good: no training draws from it


@dataclass(frozen=True)
class PairShot(Shot):
    """``moment`` is the one thing to answer."""

    moment: Moment

    def moments(self) -> Iterator[Moment]:
        yield self.moment


class Pairs(TestSet):
    """The first ``count`` pairs of ``samples``, each one shot of one frame.

    ``self``: the source portrait answers the driving frame. ``cross``: ``cross_source`` answers it, ``cross`` is the
    truth. Drivers are fitted frame by frame, without smoothing, since nothing moves from source to driver. Motion is
    relative to the portrait's own state, which comes to the driver's absolute state. All pairs are drawn before the
    first is shown, since only then is it known which of them show one person. Where the head stands is not the
    driver's to say in ``cross``, since both people stand before cameras of their own: it is taken from the labels.
    """

    truth, takes = True, False

    def __init__(self, name: str, samples: Samples, count: int, size: int, mode: str) -> None:
        self.name, self.mode = name, mode
        self._samples, self._count, self._size = samples, count, size
        self._unseen: list[int] = []
        self._unpaired: list[int] = []
        self.exact = labelled(samples.pair(0, size).driving)

    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        by_person: dict[str, list[PairShot]] = {}
        for number in range(self._count):
            print(f"{self.name}, {self.mode}: pair {number}", file=sys.stderr, flush=True)
            pair = self._samples.pair(number, self._size)
            answer = _answer(pair, self.mode)
            if answer is None:
                self._unpaired.append(number)
                continue
            shot = self._shot(number, pair, *answer, folder, detector)
            if shot is None:
                self._unseen.append(number)
            else:
                by_person.setdefault(shot.moment.identity, []).append(shot)
        yield from itertools.chain.from_iterable(by_person.values())

    def remarks(self) -> list[str]:
        remarks = ["Drivers are fitted frame by frame, without smoothing; the motion is relative to the portrait."]
        if self._unseen:
            remarks.append(
                f"{len(self._unseen)} of {self._count} pairs are left out for every system, because the detector that "
                f"drives found no face in the portrait or in the driver: {', '.join(map(str, self._unseen))}."
            )
        if self._unpaired:
            remarks.append(f"{len(self._unpaired)} of {self._count} pairs do not show the motion on anyone else.")
        return remarks

    def _shot(
        self, number: int, pair: Pair, source: Frame, truth: Frame, folder: Path, detector: Detector
    ) -> PairShot | None:
        label = f"{self.mode}_{number:04d}"
        portrait = folder / f"{label}_portrait.png"
        write_atomic(portrait, encode_png(source.image))
        try:
            driver = fit_portraits([(portrait, frame.image) for frame in (pair.source, pair.driving)], detector)
            own = driver[0] if self.mode == "self" else fit_portraits([(portrait, source.image)], detector)[0]
        except EngineError as fault:
            if fault.code != "no_face":
                raise
            return None
        fitted = _fitted(driver, own, detector.name, self._size)
        if self.mode == "cross":
            fitted = replace(fitted, translation=np.stack([placed(frame) for frame in (source, truth)]))
        exact = None
        if labelled(source) and labelled(truth):
            exact = exact_motion([source, truth], detector.name, own.offsets.shape[0], neutral=0)
        return PairShot(
            label=label,
            portrait=portrait,
            driving=kept(fitted, folder / f"{label}_fitted.motion.npz"),
            exact_driving=None if exact is None else kept(exact, folder / f"{label}_exact.motion.npz"),
            frames=(1,),
            motion="relative",
            neutral=0,
            moment=Moment(
                shot=label,
                identity=f"person {truth.person}",
                index=1,
                source=Picture(source.image),
                driver=Picture(pair.driving.image),
                truth=Picture(truth.image),
                rotation=truth.rotation,
                landmarks68=truth.landmarks68,
                visible68=truth.visible68,
            ),
        )


def _answer(pair: Pair, mode: str) -> tuple[Frame, Frame] | None:
    """The portrait and the truth; None where the pair does not know."""
    if mode == "self":
        return pair.source, pair.driving
    if pair.cross is None or pair.cross_source is None or not (labelled(pair.cross) and labelled(pair.cross_source)):
        return None
    return pair.cross_source, pair.cross


def _fitted(driver: list[FaceFit], own: FaceFit, detector: str, size: int) -> Motion:
    """From the portrait's own state to the driver's; ``driver`` has the fits of its two frames, as they are."""
    fits, model = [own, driver[1]], own.model
    return Motion(
        expression_names=model.expression_names,
        expression=np.stack([fit.expression for fit in fits]),
        rotation=np.stack([fit.pose.rotation for fit in fits]),
        translation=np.stack([fit.pose.translation for fit in fits]),
        gaze=np.stack([fit.gaze for fit in fits]),
        valid=np.ones(len(fits), bool),
        start=0,
        rate=RATE,
        neutral=0,
        tracked=Tracked(
            offsets=np.stack([fit.offsets for fit in driver]),  # of one person's skin: never from another's
            residual=np.array([fit.residual for fit in fits]),
            confidence=np.array([fit.observation.confidence for fit in fits]),
            identity=driver[1].identity,
            detector=detector,
            model=model.sha256,
            size=(size, size),
        ),
    )


class OnePairEach(Samples):
    """Of a studio's endless pairs one for every person, and none whose driving frame is the source itself."""

    def __init__(self, studio: StudioSamples) -> None:
        self._studio = studio
        self._numbers: list[int] = []

    def pair(self, number: int, size: int) -> Pair:
        first = self._first(number)
        for other in itertools.count(first):
            if self._studio.person(other) == self._studio.person(first):
                pair = self._studio.pair(other, size)
                if not np.array_equal(pair.source.image, pair.driving.image):
                    return pair
        raise AssertionError("numbers do not end")

    def describe(self) -> dict[str, object]:
        return {**self._studio.describe(), "pairs": "one of every person"}

    def _first(self, number: int) -> int:
        """The number of the first pair of the person of that ``number``."""
        people = {self._studio.person(known) for known in self._numbers}
        start = self._numbers[-1] + 1 if self._numbers else 0
        for candidate in itertools.count(start):
            if len(self._numbers) > number:
                break
            if self._studio.person(candidate) not in people:
                people.add(self._studio.person(candidate))
                self._numbers.append(candidate)
        return self._numbers[number]


def held_out(assets: Path | None, cross: bool) -> Samples:
    """The studio's pairs of people, skins, hair and surroundings that no training has seen, fully lit."""
    from engine.training.studio.dataset import Options, StudioSamples

    return OnePairEach(StudioSamples(assets, _SEED, "held-out", Options(cross=cross, profile="full")))
