"""Places in a face where systems differ most: mouth, eyes, and the cheek that the head turns away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.evaluation.landmarkers import Landmarker
from engine.evaluation.pictures import Moment, Picture, same_size
from engine.evaluation.pixels import l1
from engine.evaluation.scores import MeanScore

REGIONS = ("mouth", "eyes", "far cheek")
_LEAST = 4  # pixels of a side: smaller regions show nothing
# Of the 68 landmarks: what each region spans. A cheek lies between the jaw, the nose, an eye and a corner of the mouth.
_MOUTH, _EYES = tuple(range(48, 68)), tuple(range(36, 48))
_CHEEKS = ((1, 2, 3, 4, 5, 31, 36, 48), (15, 14, 13, 12, 11, 35, 45, 54))  # image left, image right
_TIP = 30  # of the nose
_MARGIN = {
    "mouth": 0.2,
    "eyes": 0.25,
    "far cheek": 0.05,
}  # on every side, of the distance between the outer eye corners


@dataclass(frozen=True)
class Box:
    """Of a picture's pixels: rows ``top`` to ``bottom`` and columns ``left`` to ``right``, both ends exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, rgb: np.ndarray) -> np.ndarray:
        return rgb[self.top : self.bottom, self.left : self.right]


def box(region: str, landmarks68: np.ndarray, shape: tuple[int, ...]) -> Box | None:
    """Where a region lies in a picture of that shape; None where too little of it is inside.

    The far cheek is the one that is narrower from the tip of the nose to the jaw, along the line of the eyes.
    """
    points = landmarks68[list(_MOUTH if region == "mouth" else _EYES if region == "eyes" else _far(landmarks68))]
    margin = _MARGIN[region] * float(np.linalg.norm(landmarks68[45] - landmarks68[36]))
    left, top = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(axis=0) + margin), shape[1::-1]).astype(int)
    if right - left < _LEAST or bottom - top < _LEAST:
        return None
    return Box(int(left), int(top), int(right), int(bottom))


def landmarks_of_truth(moment: Moment, landmarker: Landmarker) -> np.ndarray | None:
    """(68, 2) pixels of the truth: exact ones where they are known; None without a truth or a face in it."""
    if moment.truth is None or moment.landmarks68 is not None:
        return moment.landmarks68
    seen = moment.truth.seen(landmarker)
    return None if seen is None else seen.landmarks68


class RegionScore(MeanScore):
    """``L1D`` within one region, which is sought in the truth and never in the output: no landmark moves it."""

    digits = 4

    def __init__(self, region: str, landmarker: Landmarker) -> None:
        super().__init__()
        self.name = f"L1D {region}"
        self._region, self._landmarker = region, landmarker

    def measure(self, output: Picture, moment: Moment) -> float | None:
        landmarks = landmarks_of_truth(moment, self._landmarker)
        if landmarks is None or moment.truth is None:
            return None
        place = box(self._region, landmarks, moment.truth.rgb.shape)
        if place is None:
            return None
        return l1(place.of(same_size(output, moment.truth).rgb).copy(), place.of(moment.truth.rgb).copy())


def crops(picture: Picture, landmarks68: np.ndarray | None) -> list[np.ndarray | None]:
    """Every region of a picture in turn, None where it is not to be seen."""
    if landmarks68 is None:
        return [None for _ in REGIONS]
    places = [box(region, landmarks68, picture.rgb.shape) for region in REGIONS]
    return [None if place is None else place.of(picture.rgb) for place in places]


def _far(landmarks68: np.ndarray) -> tuple[int, ...]:
    across = landmarks68[45] - landmarks68[36]
    widths = [abs(float((landmarks68[list(cheek[:5])].mean(axis=0) - landmarks68[_TIP]) @ across)) for cheek in _CHEEKS]
    return _CHEEKS[int(widths[1] < widths[0])]
