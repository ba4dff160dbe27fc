"""One small class a metric. Each is fed frame by frame with :meth:`Metric.update` and asked once for its value.

A metric states what it ``needs``: ``truth`` (the driving frame is what the output should look like, as when a clip
drives one of its own frames), ``every_frame`` (consecutive frames, without gaps). A metric that rests on a network's
weights names them, so that no stand-in is printed under another's name. To add one: write the class, list it in
:func:`all_metrics`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from engine.evaluation import signals
from engine.evaluation.pixels import at_size_of, l1, psnr, ssim

LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Sample:
    """One output frame beside the driving frame it answers.

    ``output`` and ``driving`` are RGB uint8 (H, W, 3); their points (468, 3) are pixels of their own image, None where
    no face was found. ``index`` is the source frame.
    """

    index: int
    output: np.ndarray
    driving: np.ndarray
    output_points: np.ndarray | None
    driving_points: np.ndarray | None


class Metric(ABC):
    """``better`` is LOWER or HIGHER; ``unit`` is empty for pure numbers; ``weights`` names a network's file."""

    name: str
    unit: str = ""
    better: str = LOWER
    digits: int = 3
    needs: frozenset[str] = frozenset()
    weights: str | None = None

    @abstractmethod
    def update(self, sample: Sample) -> None:
        """Take one more frame into account; frames come in order."""

    @abstractmethod
    def value(self) -> float | None:
        """The figure over all frames so far, None when nothing could be measured."""


class MeanMetric(Metric):
    """A figure a frame, averaged over the frames that have one."""

    def __init__(self) -> None:
        self._values: list[float] = []

    @abstractmethod
    def measure(self, sample: Sample) -> float | None:
        """The figure of one frame, None where it cannot be had."""

    def update(self, sample: Sample) -> None:
        figure = self.measure(sample)
        if figure is not None:
            self._values.append(figure)

    def value(self) -> float | None:
        return float(np.mean(self._values)) if self._values else None


class L1(MeanMetric):
    """Mean absolute difference of the whole frame, data range 1."""

    name, digits, needs = "L1", 4, frozenset({"truth"})

    def measure(self, sample: Sample) -> float:
        return l1(at_size_of(sample.driving, sample.output), sample.driving)


class PSNR(MeanMetric):
    """10 log₁₀(1 / MSE) of the whole frame, data range 1, mean of the frames; equal frames count as 90 dB."""

    name, unit, better, digits, needs = "PSNR", "dB", HIGHER, 2, frozenset({"truth"})

    def measure(self, sample: Sample) -> float:
        return psnr(at_size_of(sample.driving, sample.output), sample.driving)


class SSIM(MeanMetric):
    """Structural similarity (Wang et al. 2004), Gaussian 11×11 window, mean over RGB and all whole windows."""

    name, better, needs = "SSIM", HIGHER, frozenset({"truth"})

    def measure(self, sample: Sample) -> float:
        return ssim(at_size_of(sample.driving, sample.output), sample.driving)


class Landmarks(MeanMetric):
    """Mean absolute coordinate difference of the 468 points, x and y, in percent of the driver's face diagonal."""

    name, unit, digits, needs = "lmk468_pct", "%", 2, frozenset({"truth"})

    def measure(self, sample: Sample) -> float | None:
        if sample.output_points is None or sample.driving_points is None:
            return None
        scale = np.divide(sample.driving.shape[1::-1], sample.output.shape[1::-1])
        difference = sample.output_points[: signals.POINTS, :2] * scale - sample.driving_points[: signals.POINTS, :2]
        return float(np.abs(difference).mean() / signals.diagonal(sample.driving_points) * 100)


class PoseError(MeanMetric):
    """Mean absolute difference of yaw, pitch and roll."""

    name, unit, digits = "pose", "°", 2

    def measure(self, sample: Sample) -> float | None:
        if sample.output_points is None or sample.driving_points is None:
            return None
        return float(np.abs(signals.pose(sample.output_points) - signals.pose(sample.driving_points)).mean())


class ExpressionError(MeanMetric):
    """Mean absolute difference of the four expression signals, in units of the outer eye distance."""

    name = "expression"

    def measure(self, sample: Sample) -> float | None:
        if sample.output_points is None or sample.driving_points is None:
            return None
        output, driving = signals.expression(sample.output_points), signals.expression(sample.driving_points)
        return float(np.abs(output - driving).mean())


class Correlation(Metric):
    """Pearson correlation over the clip of one signal in the output with the same in the driver.

    None below four frames or when either does not move at all, as in a static copy.
    """

    better, digits = HIGHER, 2

    def __init__(self, signal: str) -> None:
        self.name = signal
        self._group = signals.expression if signal in signals.EXPRESSION else signals.pose
        self._column = (signals.EXPRESSION if signal in signals.EXPRESSION else signals.ANGLES).index(signal)
        self._pairs: list[tuple[float, float]] = []

    def update(self, sample: Sample) -> None:
        if sample.output_points is not None and sample.driving_points is not None:
            output, driving = self._group(np.stack([sample.output_points, sample.driving_points]))[:, self._column]
            self._pairs.append((float(output), float(driving)))

    def value(self) -> float | None:
        if len(self._pairs) < 4 or np.std(self._pairs, axis=0).min() < 1e-6:
            return None
        return float(np.corrcoef(np.transpose(self._pairs))[0, 1])


class Missing(Metric):
    """Frames in which the driver has a face and the output has none."""

    name, unit, digits = "missing", "frames", 0

    def __init__(self) -> None:
        self._count: int | None = None

    def update(self, sample: Sample) -> None:
        lost = sample.output_points is None and sample.driving_points is not None
        self._count = (self._count or 0) + lost

    def value(self) -> float | None:
        return self._count


class Jitter(Metric):
    """Acceleration that the driver does not have, in percent of the face diagonal per frame².

    Points are divided by their own image's face diagonal; over three consecutive frames the second difference of the
    driver's 468 points is taken from that of the output's; mean length over points and frames. A static copy scores
    the driver's own acceleration (its motion and its detector noise together), so a value below the copy's is steady.
    """

    name, unit, digits, needs = "jitter", "%/frame²", 2, frozenset({"every_frame"})

    def __init__(self) -> None:
        self._run: list[np.ndarray] = []  # normalised output minus driving points of the frames in a row so far
        self._last: int | None = None
        self._values: list[float] = []

    def update(self, sample: Sample) -> None:
        if self._last is None or sample.index != self._last + 1:
            self._run.clear()
        self._last = sample.index
        if sample.output_points is None or sample.driving_points is None:
            self._run.clear()
            return
        self._run = [*self._run[-2:], _normalised(sample.output_points) - _normalised(sample.driving_points)]
        if len(self._run) == 3:
            before, now, after = self._run
            self._values.append(float(np.linalg.norm(before - 2 * now + after, axis=-1).mean() * 100))

    def value(self) -> float | None:
        return float(np.mean(self._values)) if self._values else None


def all_metrics() -> list[Metric]:
    """Fresh ones, in the order in which tables print them."""
    correlations = [Correlation(signal) for signal in (*signals.EXPRESSION, *signals.ANGLES)]
    return [L1(), PSNR(), SSIM(), Landmarks(), PoseError(), ExpressionError(), *correlations, Missing(), Jitter()]


def _normalised(points: np.ndarray) -> np.ndarray:
    return points[: signals.POINTS, :2] / signals.diagonal(points)
