"""Steadiness of consecutive outputs."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from engine.evaluation.extractors.landmarks import Landmarker
from engine.evaluation.metrics.base import MeanMetric, MetricInfo
from engine.evaluation.metrics.pixels import resized_to
from engine.evaluation.picture import Extractor, Picture, ShotFrame


class TemporalWarp(MeanMetric):
    """L1 between an output and the previous output warped along the truth's flow, where that is visible.

    ``twarp`` uses exact flow. Without it ``twarp-dis`` estimates the flow between the two truths (DIS, Kroeger et al.
    2016) and counts only where forward and backward flow agree to a pixel. The ceiling's figure is what flow cannot
    explain in the truth itself.
    """

    def __init__(self, exact: bool) -> None:
        super().__init__(MetricInfo("twarp" if exact else "twarp-dis", digits=4, replaces=None if exact else "twarp"))
        self._exact = exact
        self._previous: tuple[Picture, ShotFrame] | None = None

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        previous, self._previous = self._previous, (output, frame)
        if previous is None or frame.truth is None or previous[1].truth is None:
            return None
        if previous[1].shot != frame.shot or previous[1].index != frame.index - 1:
            return None
        if self._exact:
            flow, visible = frame.flow, frame.flow_visible
            if flow is None or visible is None:
                return None
        else:
            flow, visible = frame.truth.extract(_flow_to(previous[1].truth))
        now = resized_to(frame.truth.rgb.shape, output.rgb).astype(np.float32)
        last = resized_to(frame.truth.rgb.shape, previous[0].rgb)
        difference = np.abs(now - _warp(last.astype(np.float32), flow)).mean(axis=2)[visible]
        return float(difference.mean() / 255) if len(difference) else None


class Jitter(MeanMetric):
    """Acceleration of the 68 landmarks that the driver does not have, in percent of the face's diagonal per frame².

    Points are divided by the diagonal of their own bounding box. Over three consecutive frames the driver's second
    difference is subtracted from the output's; mean length over the points. A static copy scores the driver's own
    acceleration, so an output below the copy is steady.
    """

    def __init__(self, landmarker: Landmarker) -> None:
        super().__init__(MetricInfo(f"jitter-{landmarker.suffix}", "%", digits=2, by_landmarks=True))
        self._landmarker = landmarker
        self._run: list[tuple[ShotFrame, np.ndarray]] = []  # output minus driver, of consecutive frames

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        seen, driver = output.extract(self._landmarker), frame.driver.extract(self._landmarker)
        if self._run and (self._run[-1][0].shot, self._run[-1][0].index) != (frame.shot, frame.index - 1):
            self._run.clear()
        if seen is None or driver is None:
            self._run.clear()
            return None
        self._run = [*self._run[-2:], (frame, _normalised(seen.landmarks68) - _normalised(driver.landmarks68))]
        if len(self._run) < 3:
            return None
        before, now, after = (points for _, points in self._run)
        return float(np.linalg.norm(before - 2 * now + after, axis=1).mean() * 100)


class _FlowTo(Extractor):
    """DIS flow from a picture to the ``previous`` one, and where going there and back ends within a pixel."""

    def __init__(self, previous: Picture) -> None:
        self._previous = previous

    def __call__(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        now, last = (cv2.cvtColor(p.rgb, cv2.COLOR_RGB2GRAY) for p in (picture, self._previous))
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        there = dis.calc(now, last, np.zeros((*now.shape, 2), np.float32))
        back = dis.calc(last, now, np.zeros((*now.shape, 2), np.float32))
        return there, np.linalg.norm(there + _warp(back, there), axis=2) < 1


@lru_cache(maxsize=2)
def _flow_to(previous: Picture) -> _FlowTo:
    """One extractor per picture, so that all columns share its result."""
    return _FlowTo(previous)


def _warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """``image`` sampled where ``flow`` (H, W, 2) points."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    flow = flow.astype(np.float32)
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _normalised(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(np.ptp(points, axis=0))
