"""Runs systems over all shots of one dataset: render through the pipeline of a user's takes, look, score."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import protocol
from engine.errors import EngineError
from engine.evaluation.comparison import CEILING, FLOOR, Column, Comparison, Figure, ShotInfo
from engine.evaluation.datasets.base import Dataset, Shot
from engine.evaluation.extractors.landmarks import angles, landmarker_remark
from engine.evaluation.metrics.base import Metric
from engine.evaluation.metrics.frame_difference import REGIONS, landmarks_of_truth, region_crops
from engine.evaluation.metrics.suite import MetricSuite
from engine.evaluation.picture import Picture, ShotFrame, jpeg
from engine.evaluation.system_spec import SystemSpec
from engine.evaluation.tables.contact_sheet import ContactSheet, Tile
from engine.media.image import read_image
from engine.pipeline import render
from engine.protocol import Job
from engine.tracking.detector import Detector


@dataclass(frozen=True)
class Tools:
    """What all datasets of a run share: metrics, the detector that drives, and the folder that takes are rendered to,
    where they stay if ``keep`` is set."""

    suite: MetricSuite
    driver: Detector
    folder: Path
    keep: bool = False


@dataclass(frozen=True)
class _Scored:
    """A column while it is measured; ``spec`` is None for floor and ceiling."""

    name: str
    spec: SystemSpec | None
    true_motion: bool
    metrics: list[Metric]

    @property
    def label(self) -> str:
        return f"{self.name}, true motion" if self.true_motion else self.name

    def column(self) -> Column:
        figures = {metric.info.name: Figure.of(metric) for metric in self.metrics}
        if self.spec is None:
            return Column(self.name, None, figures)
        spec = self.spec
        return Column(self.name, spec.system, figures, self.true_motion, spec.options, spec.identity)


class Runner:
    """``whole`` and ``regions`` are contact sheets of every shot's middle frame: whole frames, and face regions."""

    def __init__(
        self, dataset: Dataset, specs: list[SystemSpec], tools: Tools, true_motion: list[str] | None = None
    ) -> None:
        """``true_motion``: labels of the systems that exact datasets also drive by their labels, None for all."""
        self._dataset, self._tools = dataset, tools

        def scored(name: str, spec: SystemSpec | None = None, exact: bool = False) -> _Scored:
            return _Scored(name, spec, exact, tools.suite.metrics(dataset.exact, dataset.truth, dataset.takes))

        self._floor, self._ceiling = scored(FLOOR), scored(CEILING)
        self._systems = [
            scored(spec.label, spec, exact)
            for spec in specs
            for exact in (False, True)
            if not exact or (dataset.exact and spec.driven and (true_motion is None or spec.label in true_motion))
        ]
        self._columns = [self._floor, *self._systems, *([self._ceiling] if dataset.truth else [])]
        self._shots: dict[str, ShotInfo] = {}
        self._began = time.monotonic()
        self.whole, self.regions = ContactSheet(), ContactSheet()

    def run(self) -> Iterator[int]:
        """Go through all shots; yields how many are done after each. Raises EngineError ``no_shots``."""
        for shot in self._dataset.shots(self._tools.folder, self._tools.driver):
            print(f"{self._dataset.name}, {self._dataset.direction}: {shot.label}", file=sys.stderr, flush=True)
            takes = [self._render(system, shot) for system in self._systems]
            self._score(shot, takes)
            if not self._tools.keep:
                for take in takes:
                    shutil.rmtree(next(iter(take.values())).parent)
            yield len(self._shots)
        if not self._shots:
            remedy = " ".join(self._dataset.remarks()) or "Add more."
            raise EngineError("no_shots", f"Nothing in {self._dataset.name} can be compared.", remedy)

    def comparison(self) -> Comparison:
        """All figures so far."""
        dataset, scorer = self._dataset, self._tools.suite.landmarker.name
        return Comparison(
            dataset=dataset.name,
            direction=dataset.direction,
            takes=dataset.takes,
            shots=dict(self._shots),
            metrics=[metric.info for metric in self._floor.metrics],
            columns=[scored.column() for scored in self._columns],
            remarks=[landmarker_remark(scorer, self._tools.driver.name), *dataset.remarks()],
            missing=self._tools.suite.missing,
            seconds=round(time.monotonic() - self._began, 1),
        )

    def _render(self, system: _Scored, shot: Shot) -> dict[int, Path]:
        """The output file of each of the driver's frames."""
        spec = system.spec
        assert spec is not None
        driving = shot.true_driving if system.true_motion else shot.driving
        if driving is None:
            raise EngineError("no_labels", f"{shot.label} lacks labels of its motion.", "Choose another dataset.")
        job = Job(
            system=spec.system,
            portraits=(str(shot.portrait),),
            driving=driving,
            frames=tuple((protocol.FIRST_FRAME + k, frame) for k, frame in enumerate(shot.frames)),
            fps=(25, 1),
            output=str(self._tools.folder),
            shot=protocol.clean_shot(f"{shot.label}_{system.label}"),
            motion=shot.motion,
            neutral_frame=shot.neutral,
            detector=self._tools.driver.name,
            identity=spec.identity,
            options=spec.options,
            analysed=_analysed(shot),
        )
        job.check()
        listener = _Listener()
        render(job, listener, lambda: False)
        return {source: listener.folder / protocol.frame_name(listener.folder.name, n) for n, source in job.frames}

    def _score(self, shot: Shot, takes: list[dict[int, Path]]) -> None:
        middle = shot.frames[len(shot.frames) // 2]
        for frame in shot.load():
            drawn = [Picture(read_image(take[frame.index])) for take in takes]
            outputs = [frame.source, *drawn]
            if frame.truth is not None and self._dataset.truth:
                outputs.append(Picture(jpeg(frame.truth.rgb)))
            for scored, output in zip(self._columns, outputs, strict=True):
                for metric in scored.metrics:
                    metric.update(output, frame)
            single = len(shot.frames) == 1 and frame.rotation is not None
            yaw = float(angles(frame.rotation)[0]) if single and frame.rotation is not None else None
            self._shots[shot.label] = ShotInfo(frame.identity, len(shot.frames), yaw)
            if frame.index == middle:
                self._show(frame, drawn)

    def _show(self, frame: ShotFrame, drawn: list[Picture]) -> None:
        given = [("reference", frame.source), ("driver", frame.driver)]
        outputs = [(scored.label, picture) for scored, picture in zip(self._systems, drawn)]
        outputs += [("truth", frame.truth)] if frame.truth else []
        self.whole.add([[Tile(label, picture.small) for label, picture in [*given, *outputs]]])
        true = landmarks_of_truth(frame, self._tools.suite.landmarker)
        columns = [(label, region_crops(picture, self._landmarks(picture))) for label, picture in given]
        # Outputs are cropped where the truth's regions are; without a truth, where their own face is.
        for label, picture in outputs:
            at_truth = frame.truth is not None and picture.rgb.shape == frame.truth.rgb.shape
            columns.append((label, region_crops(picture, true if at_truth else self._landmarks(picture))))
        self.regions.add([[Tile(label, crops[k]) for label, crops in columns] for k in range(len(REGIONS))])

    def _landmarks(self, picture: Picture) -> np.ndarray | None:
        seen = picture.extract(self._tools.suite.landmarker)
        return None if seen is None else seen.landmarks68


def _analysed(shot: Shot) -> tuple[int, int]:
    """The part of the driver that is analysed for a shot."""
    frames = [*shot.frames, *([] if shot.neutral is None else [shot.neutral])]
    return min(frames), max(frames) + 1


class _Listener:
    """Remembers the take's folder and prints warnings."""

    def __init__(self) -> None:
        self.folder = Path()

    def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "take":
            self.folder = Path(message["folder"])
        elif message["type"] == "warning":
            print(f"warning: {message['text']} {message['remedy']}", file=sys.stderr, flush=True)
