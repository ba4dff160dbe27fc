"""Output against truth, pixel by pixel: whole frames, and the regions of a face where systems differ most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.evaluation.extractors.landmarks import Landmarker
from engine.evaluation.metrics import pixels
from engine.evaluation.metrics.base import HIGHER, MeanMetric, MetricInfo
from engine.evaluation.picture import Picture, ShotFrame, same_size

REGIONS = ("mouth", "eyes", "far cheek")
_SMALLEST = 4  # pixels of a side
# Indices into the 68 landmarks. A cheek lies between the jaw, the nose, an eye and a corner of the mouth.
_MOUTH, _EYES = tuple(range(48, 68)), tuple(range(36, 48))
_CHEEKS = ((1, 2, 3, 4, 5, 31, 36, 48), (15, 14, 13, 12, 11, 35, 45, 54))  # image left, image right
_NOSE_TIP = 30
_MARGIN = {"mouth": 0.2, "eyes": 0.25, "far cheek": 0.05}  # on every side, of the distance of the outer eye corners
_WHOLE: dict[str, tuple[MetricInfo, Callable[[np.ndarray, np.ndarray], float | None]]] = {
    info.name: (info, measure)
    for info, measure in (
        (MetricInfo("L1D", digits=4), pixels.l1),
        (MetricInfo("PSNR", "dB", HIGHER, 2, key=True), pixels.psnr),
        (MetricInfo("SSIM", better=HIGHER), pixels.ssim),
        (MetricInfo("MS-SSIM", better=HIGHER), pixels.ms_ssim),
    )
}
WHOLE = tuple(_WHOLE)


class FrameDifference(MeanMetric):
    """L1D, PSNR, SSIM or MS-SSIM against the truth, at the truth's size."""

    def __init__(self, name: str) -> None:
        info, self._measure = _WHOLE[name]
        super().__init__(info)

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        if frame.truth is None:
            return None
        return self._measure(same_size(output, frame.truth).rgb, frame.truth.rgb)


class RegionDifference(MeanMetric):
    """``L1D`` within one region. The region is located in the truth, so no landmark of the output moves it."""

    def __init__(self, region: str, landmarker: Landmarker) -> None:
        super().__init__(MetricInfo(f"L1D {region}", digits=4))
        self._region, self._landmarker = region, landmarker

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        landmarks = landmarks_of_truth(frame, self._landmarker)
        if landmarks is None or frame.truth is None:
            return None
        box = region_box(self._region, landmarks, frame.truth.rgb.shape)
        if box is None:
            return None
        return pixels.l1(box.of(same_size(output, frame.truth).rgb).copy(), box.of(frame.truth.rgb).copy())


@dataclass(frozen=True)
class Box:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a picture, ends exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, rgb: np.ndarray) -> np.ndarray:
        return rgb[self.top : self.bottom, self.left : self.right]


def region_box(region: str, landmarks68: np.ndarray, shape: tuple[int, ...]) -> Box | None:
    """Where a region lies in a picture of that shape; None where too little of it is inside.

    The far cheek is the one that is narrower from the tip of the nose to the jaw, along the line of the eyes.
    """
    indices = {"mouth": _MOUTH, "eyes": _EYES}.get(region) or _far_cheek(landmarks68)
    points = landmarks68[list(indices)]
    margin = _MARGIN[region] * float(np.linalg.norm(landmarks68[45] - landmarks68[36]))
    left, top = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(axis=0) + margin), shape[1::-1]).astype(int)
    if right - left < _SMALLEST or bottom - top < _SMALLEST:
        return None
    return Box(int(left), int(top), int(right), int(bottom))


def landmarks_of_truth(frame: ShotFrame, landmarker: Landmarker) -> np.ndarray | None:
    """(68, 2) pixels of the truth, exact where they are known; None without a truth or a face in it."""
    if frame.truth is None or frame.landmarks68 is not None:
        return frame.landmarks68
    seen = frame.truth.extract(landmarker)
    return None if seen is None else seen.landmarks68


def region_crops(picture: Picture, landmarks68: np.ndarray | None) -> list[np.ndarray | None]:
    """Every region of a picture, None where it is not visible."""
    if landmarks68 is None:
        return [None for _ in REGIONS]
    boxes = [region_box(region, landmarks68, picture.rgb.shape) for region in REGIONS]
    return [None if box is None else box.of(picture.rgb) for box in boxes]


def _far_cheek(landmarks68: np.ndarray) -> tuple[int, ...]:
    across, tip = landmarks68[45] - landmarks68[36], landmarks68[_NOSE_TIP]
    widths = [abs(float((landmarks68[list(cheek[:5])].mean(axis=0) - tip) @ across)) for cheek in _CHEEKS]
    return _CHEEKS[int(widths[1] < widths[0])]
