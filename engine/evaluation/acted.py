"""Test sets of the studio's own footage: held-out people who act, or who turn their heads through every angle.

Frame after frame, with the exact flow between them: what pairs cannot show, steadiness and distances by head angle, is
measured here. Systems are driven as by a user's clip, whose frames are analysed in order and smoothed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.evaluation.exact import exact_performance, kept
from engine.evaluation.motion_scores import BIN, REACH
from engine.evaluation.pictures import Moment, Picture
from engine.evaluation.testsets import Shot, TestSet
from engine.media.image import encode_png, write_atomic
from engine.protocol import Driving
from engine.tracking.detector import Detector
from engine.tracking.mediapipe_detector import DENSE
from engine.training.sample import Frame
from engine.training.studio.assembly import build
from engine.training.studio.library.items import Split
from engine.training.studio.library.library import load
from engine.training.studio.people import acting
from engine.training.studio.people.sitter import sample_sitter
from engine.training.studio.randomness import draws
from engine.training.studio.renderer import labels
from engine.training.studio.renderer.render import FULL, render
from engine.training.studio.stage.stage import sample_stage

_SEED = 404  # as that of the pairs
_FRAMES = 50  # of acting, two seconds


@dataclass(frozen=True)
class TakeShot(Shot):
    """``answers`` are the moments, held in memory."""

    answers: tuple[Moment, ...]

    def moments(self) -> Iterator[Moment]:
        yield from self.answers


class Takes(TestSet):
    """``count`` shots, each of another held-out person. ``acting``: two seconds of speech and emotion at 25 frames a
    second; the first frame is the portrait. ``turning``: the head turns from −60° to 60° of yaw, 2° a frame, while the
    face acts; the frontal frame in the middle is the portrait. ``cross``: the same moments on the next person, on a
    stage of their own. Motion is relative to the portrait, which shows the moment from which the driver moves away.
    """

    truth = exact = takes = True

    def __init__(self, kind: str, assets: Path | None, count: int, size: int, mode: str) -> None:
        self.name, self.mode = kind, mode
        self._library, self._count, self._size = load(assets), count, size
        self._faceless: list[str] = []

    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        for number in range(self._count):
            moments, rest = self._moments(number)
            driver = self._film(number, moments, rest)
            truth = driver if self.mode == "self" else self._film(number + self._count, moments, rest)
            label = f"{self.name}_{self.mode}_{number:04d}"
            seen = [detector.detect(film.frames[rest].image) for film in (driver, truth)]
            if any(observation is None for observation in seen):
                self._faceless.append(label)
                continue
            points = 68 if seen[0] is None or seen[0].dense is None else DENSE
            yield self._shot(label, driver, truth, rest, points, folder, detector.name)

    def remarks(self) -> list[str]:
        remarks = ["Drivers are analysed as clips are, with smoothing; the motion is relative to the portrait."]
        if self._faceless:
            remarks.append(
                "Left out for every system, because the detector that drives found no face where it starts: "
                f"{', '.join(self._faceless)}."
            )
        return remarks

    def _moments(self, number: int) -> tuple[list[acting.Moment], int]:
        """What the driver does, and which of it is the portrait."""
        draw = draws(_SEED, "judge", self.name, number)
        if self.name == "acting":
            return acting.act(draw, _FRAMES + 1), 0
        yaws = np.radians(np.arange(-REACH, REACH + 1, BIN))
        return [_turned(moment, yaw) for moment, yaw in zip(acting.act(draw, len(yaws)), yaws)], len(yaws) // 2

    def _film(self, person: int, moments: list[acting.Moment], rest: int) -> _Film:
        draw = draws(_SEED, "judge", self.name, "stage", person)
        sitter = sample_sitter(self._library, Split.HELD_OUT, _SEED, person)
        stage = sample_stage(self._library.choices(Split.HELD_OUT).environments, draw)
        frames, flows, before = [], [], None
        for k, moment in enumerate(moments):
            noise = replace(stage.lens, seed=stage.lens.seed + k)
            picture = render(build(sitter, moment, replace(stage, lens=noise), moments[rest]), self._size, FULL)
            frames.append(labels.frame(picture, person))
            flows.append((None, None) if before is None else labels.flow(picture, before))
            before = picture
        return _Film(frames, flows)

    def _shot(
        self, label: str, driver: _Film, truth: _Film, rest: int, points: int, folder: Path, detector: str
    ) -> Shot:
        place = folder / label
        place.mkdir(exist_ok=True)
        names = tuple(f"{k:04d}.png" for k in range(len(driver.frames)))
        for name, frame in zip(names, driver.frames):
            write_atomic(place / name, encode_png(frame.image))
        portrait = folder / f"{label}_portrait.png"
        write_atomic(portrait, encode_png(truth.frames[rest].image))
        source = Picture(truth.frames[rest].image)
        exact = exact_performance(truth.frames, detector, points, rest)
        answers = []
        for k, (frame, seen, flow) in enumerate(zip(truth.frames, driver.frames, truth.flows)):
            if k != rest:
                picture = Picture(frame.image)
                answers.append(
                    Moment(
                        shot=label,
                        identity=label,
                        index=k,
                        source=source,
                        driver=picture if seen is frame else Picture(seen.image),
                        truth=picture,
                        rotation=frame.rotation,
                        landmarks68=frame.landmarks68,
                        visible68=frame.visible68,
                        flow=flow[0],
                        flow_visible=flow[1],
                    )
                )
        return TakeShot(
            label=label,
            portrait=portrait,
            driving=Driving("sequence", str(place), names),
            exact_driving=kept(exact, folder / f"{label}_exact.performance"),
            frames=tuple(answer.index for answer in answers),
            motion="relative",
            neutral=rest,
            answers=tuple(answers),
        )


@dataclass(frozen=True)
class _Film:
    """Frames with their labels, and from each the flow to the frame before and where it is known."""

    frames: list[Frame]
    flows: list[tuple[np.ndarray | None, np.ndarray | None]]


def _turned(moment: acting.Moment, yaw: float) -> acting.Moment:
    """``moment`` with its head turned to ``yaw`` on the neck, the shoulders at rest."""
    turn = acting.rotation(yaw, 0.0, 0.0)
    return replace(
        moment,
        rotation=turn,
        translation=acting.PIVOT - turn @ acting.PIVOT,
        body_rotation=np.eye(3),
        body_translation=np.zeros(3),
    )
