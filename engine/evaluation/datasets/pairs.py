"""Pairs: two frames of one person, the same motion on another person, and their labels. Rendered by the studio, or read
from a folder of shards."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import EngineError
from engine.evaluation.datasets.base import Dataset, Shot
from engine.evaluation.datasets.motion import fitted_motion, labelled, saved, true_motion
from engine.evaluation.picture import Picture, ShotFrame
from engine.face.subject import fit_portraits
from engine.media.image import encode_png, write_atomic
from engine.tracking.detector import Detector
from engine.training.sample import Frame, Pair, Samples

if TYPE_CHECKING:
    from engine.training.studio.dataset import StudioSamples

SEED = 404  # of all rendered test material; no training draws from it


class Pairs(Dataset):
    """The first ``count`` pairs of ``samples``, each a shot of one frame.

    ``self``: the source is the portrait, the driving frame the truth. ``cross``: ``cross_source`` is the portrait,
    ``cross`` the truth. Drivers are fitted frame by frame, without smoothing. Motion is relative to the portrait's own
    state. All pairs are drawn before the first is yielded, since only then is it known which show the same person. In
    ``cross`` the two people stand before cameras of their own, so where the head stands is taken from the labels.
    """

    truth, takes = True, False

    def __init__(self, name: str, samples: Samples, count: int, size: int, direction: str) -> None:
        self.name, self.direction = name, direction
        self._samples, self._count, self._size = samples, count, size
        self._faceless: list[int] = []
        self._without_cross: list[int] = []
        self.exact = labelled(samples.pair(0, size).driving)

    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        by_person: dict[int, list[Shot]] = {}
        for number in range(self._count):
            print(f"{self.name}, {self.direction}: pair {number}", file=sys.stderr, flush=True)
            pair = self._samples.pair(number, self._size)
            answer = _portrait_and_truth(pair, self.direction)
            if answer is None:
                self._without_cross.append(number)
                continue
            shot = self._shot(number, pair, *answer, folder, detector)
            if shot is None:
                self._faceless.append(number)
            else:
                by_person.setdefault(answer[1].person, []).append(shot)
        yield from itertools.chain.from_iterable(by_person.values())

    def remarks(self) -> list[str]:
        remarks = ["Drivers are fitted frame by frame, without smoothing; the motion is relative to the portrait."]
        if self._faceless:
            remarks.append(
                f"{len(self._faceless)} of {self._count} pairs are left out for every system, because the detector "
                f"that drives found no face in portrait or driver: {', '.join(map(str, self._faceless))}."
            )
        if self._without_cross:
            remarks.append(f"{len(self._without_cross)} of {self._count} pairs have no second person.")
        return remarks

    def _shot(
        self, number: int, pair: Pair, source: Frame, truth: Frame, folder: Path, detector: Detector
    ) -> Shot | None:
        label = f"{self.direction}_{number:04d}"
        portrait = folder / f"{label}_portrait.png"
        write_atomic(portrait, encode_png(source.image))
        try:
            driver = fit_portraits([(portrait, frame.image) for frame in (pair.source, pair.driving)], detector)
            own = driver[0] if self.direction == "self" else fit_portraits([(portrait, source.image)], detector)[0]
        except EngineError as fault:
            if fault.code != "no_face":
                raise
            return None
        places = (source, truth) if self.direction == "cross" else None
        fitted = fitted_motion(own, driver, places, detector.name, self._size)
        true_driving = None
        if labelled(source) and labelled(truth):
            exact = true_motion([source, truth], detector.name, own.offsets.shape[0], neutral=0)
            true_driving = saved(exact, folder / f"{label}_true")
        frame = ShotFrame(
            shot=label,
            identity=f"person {truth.person}",
            index=1,
            source=Picture(source.image),
            driver=Picture(pair.driving.image),
            truth=Picture(truth.image),
            rotation=truth.rotation,
            landmarks68=truth.landmarks68,
            visible68=truth.visible68,
        )
        return Shot(
            label=label,
            portrait=portrait,
            driving=saved(fitted, folder / f"{label}_fitted"),
            true_driving=true_driving,
            frames=(1,),
            motion="relative",
            neutral=0,
            load=lambda: iter([frame]),
        )


def _portrait_and_truth(pair: Pair, direction: str) -> tuple[Frame, Frame] | None:
    """None where the pair does not have them."""
    if direction == "self":
        return pair.source, pair.driving
    if pair.cross is None or pair.cross_source is None or not (labelled(pair.cross) and labelled(pair.cross_source)):
        return None
    return pair.cross_source, pair.cross


class OnePairEach(Samples):
    """One pair of every person in a studio's endless pairs; never one whose driving frame is the source itself."""

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
        """The number of the first pair of person ``number``."""
        people = {self._studio.person(known) for known in self._numbers}
        start = self._numbers[-1] + 1 if self._numbers else 0
        for candidate in itertools.count(start):
            if len(self._numbers) > number:
                break
            if self._studio.person(candidate) not in people:
                people.add(self._studio.person(candidate))
                self._numbers.append(candidate)
        return self._numbers[number]


def rendered_pairs(assets: Path | None, cross: bool) -> Samples:
    """The studio's pairs of held-out people, skins, hair and surroundings, fully lit."""
    from engine.training.studio.dataset import Options, StudioSamples

    return OnePairEach(StudioSamples(assets, SEED, "held-out", Options(cross=cross, profile="full")))
