"""Distances of deep features: layer by layer (LPIPS), by head angle (bin-LPIPS), between distributions (Fréchet).

The networks are in :mod:`engine.evaluation.extractors.networks`. Layer features are lists of (C, h, w) float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.evaluation.extractors.landmarks import ANGLES, Fitting, angles
from engine.evaluation.metrics.base import MeanMetric, Metric, MetricInfo
from engine.evaluation.picture import Extractor, Picture, ShotFrame, same_size

BIN, LARGEST_ANGLE = 2, 60  # degrees

Layers = Sequence[np.ndarray]


class PerceptualDistance(MeanMetric):
    """LPIPS' formula between output and truth, at the truth's size with the shorter side at most 256 pixels.

    ``layers`` extracts layer features; ``heads`` are their weights, None for 1.
    """

    def __init__(self, name: str, layers: Extractor, heads: list[np.ndarray] | None = None) -> None:
        super().__init__(MetricInfo(name, key=True, replaces="LPIPS" if heads is None else None))
        self._layers, self._heads = layers, heads

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        if frame.truth is None:
            return None
        output = same_size(output, frame.truth)
        return layer_distance(output.extract(self._layers), frame.truth.extract(self._layers), self._heads)


@dataclass
class _MeanFeatures:
    layers: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(self, layers: Layers) -> None:
        self.layers = [a + b for a, b in zip(self.layers, layers, strict=True)] if self.layers else list(layers)
        self.count += 1

    def mean(self) -> list[np.ndarray]:
        return [layer / self.count for layer in self.layers]


class BinDistance(Metric):
    """Bin-based LPIPS along one axis (Sony, arXiv 2202.10758): the distance between mean features by head angle.

    An output counts at its driver's angle: exact where known, else that of the face model fitted to the driver. Bins
    are 2° wide over ±60°. In each bin the layer features of the true and of the generated pictures of one person are
    averaged, and LPIPS' formula is taken between the two averages. Mean over bins, then over people.

    Frames of one person must come together, so that only one person's features are held (megabytes a picture).
    Reading the value in between changes nothing.
    """

    def __init__(
        self, name: str, axis: str, layers: Extractor, fitting: Fitting, heads: list[np.ndarray] | None = None
    ) -> None:
        super().__init__(MetricInfo(f"{name} {axis}", replaces=f"bin-LPIPS {axis}" if heads is None else None))
        self._axis = ANGLES.index(axis)
        self._layers, self._fitting, self._heads = layers, fitting, heads
        self._identity = ""
        self._bins: dict[int, tuple[_MeanFeatures, _MeanFeatures]] = {}  # of this person: generated, true
        self._distances: dict[str, list[float]] = {}  # by bin, of every person who is done
        self._count = 0

    def update(self, output: Picture, frame: ShotFrame) -> None:
        """Raises ValueError for a person who comes back after another, since the bins would be split."""
        if frame.identity != self._identity:
            self._measure()
            if frame.identity in self._distances:
                raise ValueError(f"the frames of {frame.identity} do not come together")
            self._identity, self._bins = frame.identity, {}
        number = self._bin(frame)
        if number is None or frame.truth is None:
            return
        generated, true = self._bins.setdefault(number, (_MeanFeatures(), _MeanFeatures()))
        generated.add(same_size(output, frame.truth).extract(self._layers))
        true.add(frame.truth.extract(self._layers))
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
        return f"{self.info.name}: {bins} bins of {len(self._distances)} people" if bins else ""

    def _bin(self, frame: ShotFrame) -> int | None:
        rotation = frame.rotation
        if rotation is None:
            fit = frame.driver.extract(self._fitting)
            if fit is None:
                return None
            rotation = fit.pose.rotation
        return bin_of(float(angles(rotation)[self._axis]))

    def _measure(self) -> None:
        if self._bins and self._identity not in self._distances:
            self._distances[self._identity] = [
                layer_distance(generated.mean(), true.mean(), self._heads) for generated, true in self._bins.values()
            ]


class FrechetDistance(Metric):
    """Squared Fréchet distance between the features of all outputs and those of all truths.

    With features of D numbers and fewer than D pictures it is biased upwards: compare at equal n only. There is no
    figure below ``least`` pictures.
    """

    def __init__(self, name: str, features: Extractor, least: int) -> None:
        super().__init__(MetricInfo(name, digits=2, replaces=None if name == "FID" else "FID"))
        self._features, self._least = features, least
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def update(self, output: Picture, frame: ShotFrame) -> None:
        if frame.truth is not None:
            self._pairs.append((output.extract(self._features), frame.truth.extract(self._features)))

    def count(self) -> int:
        return len(self._pairs)

    def value(self) -> float | None:
        if len(self._pairs) < self._least:
            return None
        outputs, truths = zip(*self._pairs)
        return frechet(np.stack(outputs), np.stack(truths))

    def note(self) -> str:
        name = self.info.name
        if len(self._pairs) < self._least:
            return f"no {name} below {self._least} pictures" if self._pairs else ""
        floor = split_floor(np.stack([truth for _, truth in self._pairs]))
        return "" if floor is None else f"{name} between the two halves of the truth: {floor:.{self.info.digits}f}"


def layer_distance(a: Layers, b: Layers, heads: Layers | None = None) -> float:
    """LPIPS (Zhang et al. 2018, eq. 1): Σ over layers of the mean over places of Σ over channels w (â − b̂)².

    Features are first scaled to unit length over their channels. ``heads`` are the weights w (C,) of every layer, None
    is 1 everywhere.
    """
    total = 0.0
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        squares = (_unit(x) - _unit(y)) ** 2
        if heads is not None:
            squares = squares * heads[k][:, None, None]
        total += float(squares.sum(axis=0).mean())
    return total


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of the normal distributions fitted to features (N, D) and (M, D), N and M at least 2.

    |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) (Heusel et al. 2017, eq. 6), with unbiased covariances.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    first, second = (x - x.mean(axis=0) for x in (a, b))
    # With Σ = XᵀX/(n−1), the trace of (Σ₁Σ₂)^½ is the sum of the singular values of X₁X₂ᵀ: no square root of a singular
    # matrix, and never larger than the number of pictures.
    cross = first @ second.T / np.sqrt((len(a) - 1) * (len(b) - 1))
    spread = (first**2).sum() / (len(a) - 1) + (second**2).sum() / (len(b) - 1)
    mean = a.mean(axis=0) - b.mean(axis=0)
    return max(float(mean @ mean + spread - 2 * np.linalg.svd(cross, compute_uv=False).sum()), 0.0)


def split_floor(features: np.ndarray) -> float | None:
    """The Fréchet distance between every other of ``features`` (N, D) and the rest; None below four."""
    return frechet(features[::2], features[1::2]) if len(features) >= 4 else None


def bin_of(angle: float) -> int | None:
    """The bin of an angle in degrees, counted from −60; None outside ±60 (60 itself is in the last bin)."""
    if abs(angle) > LARGEST_ANGLE:
        return None
    return min(int((angle + LARGEST_ANGLE) // BIN), 2 * LARGEST_ANGLE // BIN - 1)


def _unit(features: np.ndarray) -> np.ndarray:
    return features / (np.sqrt((features**2).sum(axis=0, keepdims=True)) + 1e-10)
