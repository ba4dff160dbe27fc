"""Takes rendered by the studio: held-out people who act, or who turn their heads through every angle.

Consecutive frames with the exact flow between them, for what pairs cannot show: steadiness and distances by head angle.
Systems are driven as by a user's clip, whose frames are analysed in order and smoothed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.evaluation.datasets.base import Dataset, Shot
from engine.evaluation.datasets.motion import saved, true_motion
from engine.evaluation.datasets.pairs import SEED
from engine.evaluation.metrics.perceptual import BIN, LARGEST_ANGLE
from engine.evaluation.picture import Picture, ShotFrame
from engine.media.image import encode_png, write_atomic
from engine.protocol import Driving
from engine.tracking.detector import Detector
from engine.tracking.face_mesh import DENSE
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

_FRAMES = 50  # of acting, two seconds


class RenderedTakes(Dataset):
    """``count`` shots, each of another held-out person. ``acting``: two seconds of speech and emotion at 25 frames a
    second; the first frame is the portrait. ``turning``: the head turns from −60° to 60° of yaw, 2° a frame, while the
    face acts; the frontal frame in the middle is the portrait. ``cross``: the same performance by the next person, on a
    stage of their own. Motion is relative to the portrait.
    """

    truth = exact = takes = True

    def __init__(self, kind: str, assets: Path | None, count: int, size: int, direction: str) -> None:
        self.name, self.direction = kind, direction
        self._library, self._count, self._size = load(assets), count, size
        self._faceless: list[str] = []

    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        for number in range(self._count):
            moments, rest = self._moments(number)
            driver = self._film(number, moments, rest)
            truth = driver if self.direction == "self" else self._film(number + self._count, moments, rest)
            label = f"{self.name}_{self.direction}_{number:04d}"
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
                "Left out for every system, because the detector that drives found no face in the portrait's frame: "
                f"{', '.join(self._faceless)}."
            )
        return remarks

    def _moments(self, number: int) -> tuple[list[acting.Moment], int]:
        """The driver's performance, and the index in it of the portrait."""
        draw = draws(SEED, "judge", self.name, number)
        if self.name == "acting":
            return acting.act(draw, _FRAMES + 1), 0
        yaws = np.radians(np.arange(-LARGEST_ANGLE, LARGEST_ANGLE + 1, BIN))
        return [_turned(moment, yaw) for moment, yaw in zip(acting.act(draw, len(yaws)), yaws)], len(yaws) // 2

    def _film(self, person: int, moments: list[acting.Moment], rest: int) -> _Film:
        draw = draws(SEED, "judge", self.name, "stage", person)
        sitter = sample_sitter(self._library, Split.HELD_OUT, SEED, person)
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
        exact = true_motion(truth.frames, detector, points, rest)
        held = []
        for k, (frame, seen, flow) in enumerate(zip(truth.frames, driver.frames, truth.flows)):
            if k != rest:
                picture = Picture(frame.image)
                held.append(
                    ShotFrame(
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
        return Shot(
            label=label,
            portrait=portrait,
            driving=Driving("sequence", str(place), names),
            true_driving=saved(exact, folder / f"{label}_true"),
            frames=tuple(frame.index for frame in held),
            motion="relative",
            neutral=rest,
            load=lambda: iter(held),
        )


@dataclass(frozen=True)
class _Film:
    """Frames with their labels, and from each the flow to the previous frame and where it is defined."""

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
