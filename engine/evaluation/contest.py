"""All entrants over all shots of one set: rendered by the pipeline of a user's takes, looked at, scored."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engine import protocol
from engine.errors import EngineError
from engine.evaluation.cabinet import Cabinet
from engine.evaluation.contestant import FLOOR, Contestant
from engine.evaluation.entrants import Entrant
from engine.evaluation.pictures import CEILING, Moment, Picture, encoded_again
from engine.evaluation.regions import REGIONS, crops, landmarks_of_truth
from engine.evaluation.scores import angles
from engine.evaluation.sheets import Sheet, Tile
from engine.evaluation.testsets import Shot, TestSet
from engine.media.image import read_image
from engine.pipeline import render
from engine.protocol import Job
from engine.tracking.detector import Detector


class Contest:
    """``contestants`` and ``shots`` are what was scored, ``frames`` and ``regions`` pictures of every shot's middle
    frame, whole and its regions close by. ``truly`` are the labels of those that exact sets drive by true motion too,
    None for all; ``keep`` leaves the takes in ``folder``."""

    def __init__(
        self,
        test: TestSet,
        entrants: list[Entrant],
        cabinet: Cabinet,
        folder: Path,
        driver: Detector,
        keep: bool,
        truly: list[str] | None = None,
    ) -> None:
        if truly and not test.exact:
            raise EngineError(
                "no_labels", f"Nobody knows the true motion of {test.name}.", "Leave --true-motion out for this set."
            )
        self._test, self._folder, self._driver, self._keep = test, folder, driver, keep
        self._landmarker = cabinet.landmarker

        def contestant(label: str, entrant: Entrant | None = None, exact: bool = False) -> Contestant:
            return Contestant(label, entrant, exact, cabinet.scores(test.exact, test.truth, test.takes))

        self._floor, self._ceiling = contestant(FLOOR), contestant(CEILING)
        self._systems = [
            contestant(f"{entrant.label}, true motion" if exact else entrant.label, entrant, exact)
            for entrant in entrants
            for exact in (False, True)
            if not exact or (test.exact and entrant.driven and (truly is None or entrant.label in truly))
        ]
        self.contestants = [self._floor, *self._systems, *([self._ceiling] if test.truth else [])]
        self.shots: dict[str, str] = {}  # whose face each shows
        self.lengths: dict[str, int] = {}  # of shots, in frames
        self.frames, self.regions = Sheet(), Sheet()
        self.yaws: dict[str, float] = {}  # of shots of one frame, degrees, where they are known

    def run(self) -> Iterator[int]:
        """Go through all shots; gives how many are done after each. Raises EngineError ``no_shots``."""
        for shot in self._test.shots(self._folder, self._driver):
            print(f"{self._test.name}, {self._test.mode}: {shot.label}", file=sys.stderr, flush=True)
            takes = {contestant.label: self._render(contestant, shot) for contestant in self._systems}
            self._score(shot, takes)
            self.lengths[shot.label] = len(shot.frames)
            if not self._keep:
                for take in takes.values():
                    shutil.rmtree(next(iter(take.values())).parent)
            yield len(self.shots)
        if not self.shots:
            raise EngineError(
                "no_shots",
                f"Nothing in {self._test.name} can be compared.",
                " ".join(self._test.remarks()) or "Add more.",
            )

    def _render(self, contestant: Contestant, shot: Shot) -> dict[int, Path]:
        """The file of each driver's frame."""
        assert contestant.entrant is not None
        driving = shot.exact_driving if contestant.exact else shot.driving
        if driving is None:
            raise EngineError("no_labels", f"{shot.label} lacks its true coefficients.", "Compare on another set.")
        job = Job(
            system=contestant.entrant.system,
            portraits=(str(shot.portrait),),
            driving=driving,
            frames=tuple((protocol.FIRST_FRAME + k, frame) for k, frame in enumerate(shot.frames)),
            fps=(25, 1),
            output=str(self._folder),
            shot=protocol.clean_shot(f"{shot.label}_{contestant.label}"),
            motion=shot.motion,
            neutral_frame=shot.neutral,
            detector=self._driver.name,
            identity=contestant.entrant.identity,
            options=contestant.entrant.options,
        )
        job.check()
        listener = _Listener()
        render(job, listener, lambda: False)
        return {source: listener.folder / protocol.frame_name(listener.folder.name, n) for n, source in job.frames}

    def _score(self, shot: Shot, takes: dict[str, dict[int, Path]]) -> None:
        middle = shot.frames[len(shot.frames) // 2]
        for moment in shot.moments():
            shown = [(contestant, self._output(contestant, moment, takes)) for contestant in self.contestants]
            self.shots[shot.label] = moment.identity
            for contestant, output in shown:
                for score in contestant.scores:
                    score.update(output, moment)
            if moment.rotation is not None and len(shot.frames) == 1:
                self.yaws[shot.label] = float(angles(moment.rotation)[0])
            if moment.index == middle:
                self._show(moment, [(c.label, output) for c, output in shown if c in self._systems])

    def _output(self, contestant: Contestant, moment: Moment, takes: dict[str, dict[int, Path]]) -> Picture:
        if contestant is self._floor:
            return moment.source
        if contestant is self._ceiling:
            assert moment.truth is not None
            return Picture(encoded_again(moment.truth.rgb))
        return Picture(read_image(takes[contestant.label][moment.index]))

    def _show(self, moment: Moment, outputs: list[tuple[str, Picture]]) -> None:
        given = [("reference", moment.source), ("driver", moment.driver)]
        truth = [("truth", moment.truth)] if moment.truth else []
        self.frames.add([[Tile(label, picture.small) for label, picture in [*given, *outputs, *truth]]])
        true = landmarks_of_truth(moment, self._landmarker)
        columns = [(label, crops(picture, self._landmarks(picture))) for label, picture in given]
        # What should stand where the truth does is cut out there; the rest, where its own face is.
        for label, picture in [*outputs, *truth]:
            at_truth = moment.truth is not None and picture.rgb.shape == moment.truth.rgb.shape
            columns.append((label, crops(picture, true if at_truth else self._landmarks(picture))))
        self.regions.add([[Tile(label, cut[k]) for label, cut in columns] for k in range(len(REGIONS))])

    def _landmarks(self, picture: Picture) -> np.ndarray | None:
        seen = picture.seen(self._landmarker)
        return None if seen is None else seen.landmarks68


class _Listener:
    """Hears of a take's folder, and tells a person only what went wrong."""

    def __init__(self) -> None:
        self.folder = Path()

    def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "take":
            self.folder = Path(message["folder"])
        elif message["type"] == "warning":
            print(f"warning: {message['text']} {message['remedy']}", file=sys.stderr, flush=True)
