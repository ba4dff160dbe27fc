"""Metrics over a head's motion: distances by head angle, and the steadiness of consecutive outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from engine.evaluation.features import layer_distance
from engine.evaluation.landmarkers import Fitting
from engine.evaluation.pictures import Eye, Moment, Picture, same_size
from engine.evaluation.pixels import at_size_of
from engine.evaluation.scores import MeanScore, Score, angles
from engine.evaluation.signals import ANGLES

BIN, REACH = 2, 60  # degrees


@dataclass
class _Sum:
    """Layer features added up over the pictures of one bin."""

    layers: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(self, layers: list[np.ndarray]) -> None:
        self.layers = [a + b for a, b in zip(self.layers, layers, strict=True)] if self.layers else list(layers)
        self.count += 1

    def mean(self) -> list[np.ndarray]:
        return [layer / self.count for layer in self.layers]


class BinDistance(Score):
    """Bin-based LPIPS along one axis (Sony, arXiv 2202.10758): the distance between mean features by head angle.

    An output inherits its driver's angle: exact where known, else that of the face model fitted to the driver. Bins
    are 2° wide over ±60°; in each, the layer features of the true and of the generated pictures of one identity are
    averaged and LPIPS' formula is taken between the two averages. Mean over bins, then over identities.

    The moments of one identity must come together, so that only one identity's features are held (megabytes a
    picture); asking for the value in between changes nothing.
    """

    needs_weights = True

    def __init__(
        self, name: str, axis: str, layers: Eye, fitting: Fitting, heads: list[np.ndarray] | None = None
    ) -> None:
        self.name = f"{name} {axis}"
        self.stand_in_for = f"bin-LPIPS {axis}" if heads is None else None
        self._axis = ANGLES.index(axis)
        self._layers, self._fitting, self._heads = layers, fitting, heads
        self._identity = ""
        self._bins: dict[int, tuple[_Sum, _Sum]] = {}  # of this identity: what is generated, what is true
        self._distances: dict[str, list[float]] = {}  # bin by bin, of every identity whose distances are known
        self._count = 0

    def update(self, output: Picture, moment: Moment) -> None:
        """Raises ValueError for an identity that comes back after another, whose bins would be torn apart."""
        if moment.identity != self._identity:
            self._measure()
            if moment.identity in self._distances:
                raise ValueError(f"the moments of {moment.identity} do not come together")
            self._identity, self._bins = moment.identity, {}
        place = self._bin(moment)
        if place is None or moment.truth is None:
            return
        generated, true = self._bins.setdefault(place, (_Sum(), _Sum()))
        generated.add(same_size(output, moment.truth).seen(self._layers))
        true.add(moment.truth.seen(self._layers))
        self._distances.pop(self._identity, None)
        self._count += 1

    def count(self) -> int:
        return self._count

    def value(self) -> float | None:
        self._measure()
        return float(np.mean([np.mean(bins) for bins in self._distances.values()])) if self._distances else None

    def note(self) -> str:
        self._measure()
        bins = sum(len(distances) for distances in self._distances.values())
        return f"{self.name}: {bins} bins of {len(self._distances)} identities" if bins else ""

    def _bin(self, moment: Moment) -> int | None:
        rotation = moment.rotation
        if rotation is None:
            fit = moment.driver.seen(self._fitting)
            if fit is None:
                return None
            rotation = fit.pose.rotation
        return bin_of(float(angles(rotation)[self._axis]))

    def _measure(self) -> None:
        """The distances of this identity so far, where they are not known yet."""
        if self._bins and self._identity not in self._distances:
            self._distances[self._identity] = [
                layer_distance(generated.mean(), true.mean(), self._heads) for generated, true in self._bins.values()
            ]


class TemporalWarp(MeanScore):
    """L1 between an output and the output before it, moved along the truth's flow, where that is visible.

    ``twarp`` rests on exact flow. Without it, ``twarp-dis`` estimates the flow between the two truths (DIS, Kroeger et
    al. 2016) and counts only where forward and backward flow agree to a pixel. The truth's own figure, the ceiling's,
    is what the flow cannot explain.
    """

    digits = 4

    def __init__(self, exact: bool) -> None:
        super().__init__()
        self.name = "twarp" if exact else "twarp-dis"
        self.stand_in_for = None if exact else "twarp"
        self._exact = exact
        self._before: tuple[Picture, Moment] | None = None

    def measure(self, output: Picture, moment: Moment) -> float | None:
        before, self._before = self._before, (output, moment)
        if before is None or moment.truth is None or before[1].truth is None:
            return None
        if before[1].shot != moment.shot or before[1].index != moment.index - 1:
            return None
        if self._exact:
            flow, visible = moment.flow, moment.flow_visible
            if flow is None or visible is None:
                return None
        else:
            flow, visible = moment.truth.seen(_flow_from(before[1].truth))
        now = at_size_of(moment.truth.rgb, output.rgb).astype(np.float32)
        last = at_size_of(moment.truth.rgb, before[0].rgb)
        difference = np.abs(now - _warp(last.astype(np.float32), flow)).mean(axis=2)[visible]
        return float(difference.mean() / 255) if len(difference) else None


class _FlowFrom(Eye):
    """DIS flow from a picture to the one ``before`` it, and where going there and back ends within a pixel."""

    def __init__(self, before: Picture) -> None:
        self._before = before

    def __call__(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        now, last = (cv2.cvtColor(p.rgb, cv2.COLOR_RGB2GRAY) for p in (picture, self._before))
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        there = dis.calc(now, last, np.zeros((*now.shape, 2), np.float32))
        back = dis.calc(last, now, np.zeros((*now.shape, 2), np.float32))
        return there, np.linalg.norm(there + _warp(back, there), axis=2) < 1


@lru_cache(maxsize=2)
def _flow_from(before: Picture) -> _FlowFrom:
    """One eye a picture, so that the contestants share what it sees."""
    return _FlowFrom(before)


def bin_of(angle: float) -> int | None:
    """The number of the bin of an angle in degrees, counted from −60; None outside ±60 (60 itself is in the last)."""
    if abs(angle) > REACH:
        return None
    return min(int((angle + REACH) // BIN), 2 * REACH // BIN - 1)


def _warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """``image`` seen from where ``flow`` (H, W, 2) points."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    flow = flow.astype(np.float32)
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
