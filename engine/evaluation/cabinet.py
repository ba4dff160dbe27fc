"""The metrics that can be had here today, and for each that cannot, why not and what would bring it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.evaluation.correlation import Correlation
from engine.evaluation.landmarkers import Fitting, HeadCut, Landmarker
from engine.evaluation.motion_scores import BinDistance, TemporalWarp
from engine.evaluation.networks import ArcFace, Inception, Lpips, MetricNet
from engine.evaluation.regions import REGIONS, RegionScore
from engine.evaluation.scores import (
    FitScore,
    FrechetDistance,
    IdentityDistance,
    IdentitySimilarity,
    KeypointDistance,
    MissingKeypoints,
    PerceptualDistance,
    PixelScore,
    Score,
)
from engine.evaluation.signals import ANGLES

_FID_LEAST = 2048  # below the width of its features FID says more of n than of the pictures
_FD_LEAST = 10


@dataclass(frozen=True)
class WeightPaths:
    """Networks that a user may give; without the papers' own, their metrics are left out."""

    metric: Path | None = None  # in place of the shipped one
    lpips: Path | None = None
    inception: Path | None = None
    arcface: Path | None = None


class Cabinet:
    """Holds the eyes, which all contestants share, and hands out fresh metrics that look through them.

    ``missing`` says for each metric that there could be why there is none. Weights given by path must load: raises
    EngineError ``metric_weights`` or ``missing_package``.
    """

    def __init__(self, landmarker: Landmarker, witness: Landmarker, paths: WeightPaths, driver: str) -> None:
        """``witness``: another landmarker, which tells what ``landmarker`` sees of the drivers' motion from its noise;
        ``driver``: the detector that drives the systems; it flatters what its own landmarks are asked about."""
        self.landmarker, self._flatters = landmarker, landmarker.name == driver
        self._fitting, self._witness = Fitting(landmarker), Fitting(witness)
        self.missing: dict[str, str] = {}
        self._net: MetricNet | None = None
        try:
            self._net = MetricNet(HeadCut(self._fitting), paths.metric)
        except EngineError as fault:  # said under the table, unless it was asked for by name
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

    def scores(self, exact: bool, truth: bool, takes: bool) -> list[Score]:
        """Fresh metrics in the order of the table. ``exact``: the set's labels are; ``truth``: there is one at all;
        ``takes``: its shots are of many frames."""
        scores = [*(self._of_truth(exact) if truth else []), *self._of_person(truth), *self._of_face(exact, truth)]
        if takes:
            scores += [Correlation(kind, self._fitting, self._witness) for kind in ("exp", "pose")]
        scores.append(MissingKeypoints(self.landmarker))
        for score in scores:
            score.flattered = self._flatters and score.by_landmarks
        return scores

    def _of_truth(self, exact: bool) -> list[Score]:
        scores: list[Score] = [PixelScore(name) for name in ("L1D", "PSNR", "SSIM", "MS-SSIM")]
        scores += [RegionScore(region, self.landmarker) for region in REGIONS]
        if self._net is not None:
            scores.append(PerceptualDistance("pdist-syn", self._net.layers))
            scores += [BinDistance("bin-pdist-syn", axis, self._net.layers, self._fitting) for axis in ANGLES]
            scores.append(FrechetDistance("fd-syn", self._net.pooled, _FD_LEAST))
        if self._lpips is not None:
            lpips, heads = self._lpips, self._lpips.heads
            found: list[Score] = [PerceptualDistance(lpips.name, lpips, heads)]
            found += [BinDistance(f"bin-{lpips.name}", axis, lpips, self._fitting, heads) for axis in ANGLES]
            scores += _from_path(found, lpips.path)
        if self._inception is not None:
            fid = FrechetDistance("FID", self._inception, _FID_LEAST)
            scores += _from_path([fid], self._inception.path)
        return [*scores, TemporalWarp(exact)]

    def _of_person(self, truth: bool) -> list[Score]:
        scores: list[Score] = []
        if self._arcface is not None:
            found: list[Score] = [
                IdentitySimilarity("CSIM", self._arcface),
                IdentityDistance("arcface", self._arcface, truth),
            ]
            scores += _from_path(found, self._arcface.path)
        if self._net is not None and self._net.embedding is not None:
            scores += [
                IdentitySimilarity("idsim-syn", self._net.embedding),
                IdentityDistance("syn", self._net.embedding, truth),
            ]
        return [*scores, FitScore("shape-id", self._fitting)]

    def _of_face(self, exact: bool, truth: bool) -> list[Score]:
        pose = "apd" if truth else "apd_turn"
        scores: list[Score] = [FitScore("aed_exp", self._fitting), FitScore(pose, self._fitting)]
        if truth:
            scores.append(KeypointDistance(self.landmarker, exact))
        return scores


def _from_path(scores: list[Score], path: Path) -> list[Score]:
    for score in scores:
        score.weights_path = path
    return scores
