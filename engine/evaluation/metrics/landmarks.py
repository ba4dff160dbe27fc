"""Metrics of landmarks in the output, and of the face model fitted to them."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from engine.evaluation.extractors.landmarks import Fit, Fitting, Landmarker, angles
from engine.evaluation.metrics.base import MeanMetric, MetricInfo
from engine.evaluation.picture import SIDE, Picture, ShotFrame


class FitDistance(MeanMetric):
    """A distance between two fits of the face model, each to the landmarks of one picture alone."""

    def __init__(self, kind: str, fitting: Fitting, replaces: str, digits: int = 4) -> None:
        """``kind`` is the name without its suffix, which says whose landmarks the model is fitted to."""
        super().__init__(MetricInfo(f"{kind}-{fitting.suffix}", digits=digits, by_landmarks=True, replaces=replaces))
        self._fitting = fitting

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        other = self._other(frame)
        a, b = output.extract(self._fitting), None if other is None else other.extract(self._fitting)
        return None if a is None or b is None else self._distance(a, b)

    @abstractmethod
    def _other(self, frame: ShotFrame) -> Picture | None:
        """What the output is compared with."""

    @abstractmethod
    def _distance(self, a: Fit, b: Fit) -> float: ...


class ShapeDistance(FitDistance):
    """``shape-id``: Euclidean distance of the identity coefficients (each ~ N(0, 1)) from the source's."""

    def __init__(self, fitting: Fitting) -> None:
        super().__init__("shape-id", fitting, "CSIM", digits=2)

    def _other(self, frame: ShotFrame) -> Picture:
        return frame.source

    def _distance(self, a: Fit, b: Fit) -> float:
        return float(np.linalg.norm(a.identity - b.identity))


class ExpressionDistance(FitDistance):
    """``aed_exp``: mean absolute difference of the expression weights from the driver's, as PIRender's AED."""

    def __init__(self, fitting: Fitting) -> None:
        super().__init__("aed_exp", fitting, "AED (expression)")

    def _other(self, frame: ShotFrame) -> Picture:
        return frame.driver

    def _distance(self, a: Fit, b: Fit) -> float:
        return float(np.abs(a.expression - b.expression).mean())


class PoseDistance(FitDistance):
    """``apd``: mean absolute difference of three angles (radians) and three shifts (decimetres) from the truth's, as
    PIRender's APD."""

    def __init__(self, fitting: Fitting) -> None:
        super().__init__("apd", fitting, "APD")

    def _other(self, frame: ShotFrame) -> Picture | None:
        return frame.truth

    def _distance(self, a: Fit, b: Fit) -> float:
        # The fit's camera has one focal length in image widths, so poses from images of two sizes are comparable.
        return float(np.concatenate([_turns(a, b), np.abs(a.pose.translation - b.pose.translation) / 10]).mean())


class RotationDistance(FitDistance):
    """``apd_turn``: the angles of ``apd`` alone, from the driver's, for takes whose head stands elsewhere."""

    def __init__(self, fitting: Fitting) -> None:
        super().__init__("apd_turn", fitting, "APD")

    def _other(self, frame: ShotFrame) -> Picture:
        return frame.driver

    def _distance(self, a: Fit, b: Fit) -> float:
        return float(_turns(a, b).mean())


class KeypointDistance(MeanMetric):
    """AKD: mean |difference| of the x and y of 68 landmarks, in pixels of a frame whose shorter side is 256.

    The truth's landmarks are exact where the dataset has them, and then only visible ones count; else they are the
    landmarker's. With face-alignment on both sides this is the papers' AKD.
    """

    def __init__(self, landmarker: Landmarker, exact: bool) -> None:
        """``exact``: the dataset has exact landmarks."""
        as_published = landmarker.name == "face-alignment" and not exact
        name, replaces = ("AKD", None) if as_published else (f"akd-{landmarker.suffix}", "AKD")
        super().__init__(MetricInfo(name, "px", digits=2, key=True, by_landmarks=True, replaces=replaces))
        self._landmarker = landmarker

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        seen = output.extract(self._landmarker)
        if frame.truth is None or seen is None:
            return None
        height, width = frame.truth.rgb.shape[:2]
        points = seen.landmarks68 * np.divide((width, height), output.rgb.shape[1::-1])
        true = frame.landmarks68
        if true is None:
            found = frame.truth.extract(self._landmarker)
            if found is None:
                return None
            true = found.landmarks68
        difference = np.abs(points - true)
        if frame.visible68 is not None:
            difference = difference[frame.visible68]
        return float(difference.mean() * SIDE / min(width, height)) if len(difference) else None


class MissingKeypoints(MeanMetric):
    """MKR: share of frames with a face in the truth (in the driver, without a truth) but none in the output."""

    def __init__(self, landmarker: Landmarker) -> None:
        super().__init__(MetricInfo(f"mkr-{landmarker.suffix}", "%", digits=1, by_landmarks=True, replaces="MKR"))
        self._landmarker = landmarker

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        if (frame.truth or frame.driver).extract(self._landmarker) is None:
            return None
        return 100.0 * (output.extract(self._landmarker) is None)


def _turns(a: Fit, b: Fit) -> np.ndarray:
    """(3,) absolute differences of yaw, pitch and roll, radians."""
    return np.radians(np.abs(angles(a.pose.rotation) - angles(b.pose.rotation)))
