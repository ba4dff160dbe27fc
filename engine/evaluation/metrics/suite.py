"""Which metrics a dataset gets, and for each that is not available, why not and what would provide it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import EngineError
from engine.evaluation.extractors.landmarks import ANGLES, Fitting, HeadCrop, Landmarker
from engine.evaluation.extractors.networks import ArcFace, Inception, Lpips, MetricNet
from engine.evaluation.metrics.base import Metric
from engine.evaluation.metrics.correlation import Correlation
from engine.evaluation.metrics.frame_difference import REGIONS, WHOLE, FrameDifference, RegionDifference
from engine.evaluation.metrics.identity import IdentityDistance, IdentitySimilarity
from engine.evaluation.metrics.landmarks import (
    ExpressionDistance,
    KeypointDistance,
    MissingKeypoints,
    PoseDistance,
    RotationDistance,
    ShapeDistance,
)
from engine.evaluation.metrics.perceptual import BinDistance, FrechetDistance, PerceptualDistance
from engine.evaluation.metrics.temporal import Jitter, TemporalWarp

_FID_LEAST = 2048  # below the width of its features FID depends more on n than on the pictures
_FD_LEAST = 10


@dataclass(frozen=True)
class WeightPaths:
    """Networks that a user may give. Metrics named after papers need theirs."""

    metric: Path | None = None  # instead of the shipped one
    lpips: Path | None = None
    inception: Path | None = None
    arcface: Path | None = None


class MetricSuite:
    """Holds the extractors, which all columns share, and creates fresh metrics that use them.

    ``missing`` says why each unavailable metric is. Weights given by path must load: raises EngineError
    ``metric_weights`` or ``missing_package``.
    """

    def __init__(self, landmarker: Landmarker, witness: Landmarker, paths: WeightPaths, driver: str) -> None:
        """``witness``: a second landmarker, which tells motion of the drivers from noise of the first. ``driver``: the
        detector that drives the systems; figures that rest on its own landmarks are flattered."""
        self.landmarker, self._flatters = landmarker, landmarker.name == driver
        self._fitting, self._witness = Fitting(landmarker), Fitting(witness)
        self.missing: dict[str, str] = {}
        self._net: MetricNet | None = None
        try:
            self._net = MetricNet(HeadCrop(self._fitting), paths.metric)
        except EngineError as fault:  # printed under the table, unless the user asked for this file
            if paths.metric is not None:
                raise
            for name in ("pdist-syn", "bin-pdist-syn", "fd-syn", "idsim-syn", "aed_id-syn"):
                self.missing[name] = f"{fault.text} {fault.remedy}"
        self._lpips = Lpips(paths.lpips) if paths.lpips else None
        self._inception = Inception(paths.inception) if paths.inception else None
        self._arcface = ArcFace(paths.arcface, landmarker) if paths.arcface else None
        for option, name, given in (
            ("--lpips", "LPIPS", paths.lpips),
            ("--inception", "FID", paths.inception),
            ("--arcface", "CSIM", paths.arcface),
        ):
            if given is None:
                self.missing[name] = f"Its network does not come with the engine. Give it by {option} FILE."

    def metrics(self, exact: bool, truth: bool, takes: bool) -> list[Metric]:
        """Fresh metrics in the order of the table. ``exact``: the dataset has exact labels; ``truth``: it has the
        pictures that outputs should look like; ``takes``: its shots have many frames."""
        fitting = self._fitting
        metrics = [*(self._against_truth(exact) if truth else []), *self._identity(truth)]
        metrics += [ShapeDistance(fitting), ExpressionDistance(fitting)]
        metrics += [PoseDistance(fitting), KeypointDistance(self.landmarker, exact)] if truth else []
        metrics += [] if truth else [RotationDistance(fitting)]
        if takes:
            metrics += [Correlation(kind, fitting, self._witness) for kind in ("exp", "pose")]
            metrics.append(Jitter(self.landmarker))
        metrics.append(MissingKeypoints(self.landmarker))
        for metric in metrics:
            metric.info = replace(metric.info, flattered=self._flatters and metric.info.by_landmarks)
        return metrics

    def _against_truth(self, exact: bool) -> list[Metric]:
        metrics: list[Metric] = [FrameDifference(name) for name in WHOLE]
        metrics += [RegionDifference(region, self.landmarker) for region in REGIONS]
        if self._net is not None:
            metrics.append(PerceptualDistance("pdist-syn", self._net.layers))
            metrics += [BinDistance("bin-pdist-syn", axis, self._net.layers, self._fitting) for axis in ANGLES]
            metrics.append(FrechetDistance("fd-syn", self._net.pooled, _FD_LEAST))
        if self._lpips is not None:
            lpips, heads = self._lpips, self._lpips.heads
            found: list[Metric] = [PerceptualDistance(lpips.name, lpips, heads)]
            found += [BinDistance(f"bin-{lpips.name}", axis, lpips, self._fitting, heads) for axis in ANGLES]
            metrics += _from_file(found, lpips.path)
        if self._inception is not None:
            metrics += _from_file([FrechetDistance("FID", self._inception, _FID_LEAST)], self._inception.path)
        return [*metrics, TemporalWarp(exact)]

    def _identity(self, truth: bool) -> list[Metric]:
        metrics: list[Metric] = []
        if self._arcface is not None:
            found = [IdentitySimilarity("CSIM", self._arcface), IdentityDistance("arcface", self._arcface, truth)]
            metrics += _from_file([*found], self._arcface.path)
        if self._net is not None and self._net.embedding is not None:
            embedding = self._net.embedding
            metrics += [IdentitySimilarity("idsim-syn", embedding), IdentityDistance("syn", embedding, truth)]
        return metrics


def _from_file(metrics: list[Metric], path: Path) -> list[Metric]:
    for metric in metrics:
        metric.info = replace(metric.info, weights=str(path))
    return metrics
