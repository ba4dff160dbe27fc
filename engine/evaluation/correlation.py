"""How closely an output's face follows the driver's over a take: correlation, which no constant offset disturbs."""

from __future__ import annotations

import numpy as np

from engine.evaluation.landmarkers import Fitting, Landmarker
from engine.evaluation.metrics import HIGHER
from engine.evaluation.pictures import Eye, Moment, Picture
from engine.evaluation.scores import Score, angles

_LEAST = 16  # frames; of fewer, noise looks alike too often
_FROZEN = 1e-6  # standard deviation of what does not move at all
_ALIKE = 0.5  # correlation of two landmarkers of equal noise when as much of what each sees is noise as is motion
# Of the 68 landmarks. Heights are measured in lengths of the nose and widths in distances of the eyes' outer corners,
# so that turning the head changes neither much.
_NOSE, _EYE_CORNERS = (27, 33), (36, 45)
_HEIGHTS = {
    "mouth": ((61, 67), (62, 66), (63, 65)),
    "eyes": ((37, 41), (38, 40), (43, 47), (44, 46)),
    "brow": ((19, 37), (24, 44)),
}
_WIDTH = (48, 54)


class Correlation(Score):
    """Pearson correlation with the driver over each shot, of each signal alone, then their mean. Mean over shots.

    ``corr_exp``: of four signals of the landmarks (mouth open, mouth wide, eyes open, brows raised); ``corr_pose``: of
    yaw, pitch and roll of the face model fitted to the landmarks. A signal counts only where ``witness``, another
    landmarker, sees it move alike in the driver's own frames: else one of the two shows noise, as of a head that hardly
    turns, and nobody can say who follows. What moves in the driver alone counts 0. No figure for shots in which
    fewer than sixteen frames have faces, or where no signal counts.
    """

    better, digits, by_landmarks, telling = HIGHER, 3, True, True

    def __init__(self, kind: str, fitting: Fitting, witness: Fitting) -> None:
        """``kind``: ``exp`` or ``pose``."""
        self.name = f"corr_{kind}-{fitting.suffix}"
        self._eyes = [Signals(each.landmarker) if kind == "exp" else Angles(each) for each in (fitting, witness)]
        self._judges = f"{fitting.landmarker.name} and {witness.landmarker.name}"
        self._pairs: dict[str, list[np.ndarray]] = {}  # what is seen in the output, in the driver
        self._driven: dict[str, list[np.ndarray]] = {}  # what landmarker and witness see in the driver

    def update(self, output: Picture, moment: Moment) -> None:
        here = output.seen(self._eyes[0])
        driver, witness = (moment.driver.seen(eye) for eye in self._eyes)
        if driver is not None and here is not None:
            self._pairs.setdefault(moment.shot, []).append(np.stack([here, driver]))
        if driver is not None and witness is not None:
            self._driven.setdefault(moment.shot, []).append(np.stack([driver, witness]))

    def by_shot(self) -> dict[str, float]:
        return {shot: float(np.mean(figures)) for shot, figures in self._figures().items() if len(figures)}

    def value(self) -> float | None:
        shots = self.by_shot()
        return float(np.mean(list(shots.values()))) if shots else None

    def count(self) -> int:
        return sum(len(self._pairs[shot]) for shot in self.by_shot())

    def note(self) -> str:
        counts = self._counts()
        if not counts:
            return ""
        alike, among = sum(map(np.sum, counts.values())), sum(map(len, counts.values()))
        return f"{self.name}: {alike} of {among} signals of {len(counts)} shots, which {self._judges} see alike"

    def _counts(self) -> dict[str, np.ndarray]:
        """Of every shot whether its signals count, whoever is scored."""
        driven = {shot: pairs for shot, pairs in self._driven.items() if len(pairs) >= _LEAST}
        return {shot: correlations(np.stack(pairs)) >= _ALIKE for shot, pairs in driven.items()}

    def _figures(self) -> dict[str, np.ndarray]:
        """Of every shot the correlations of the signals that count."""
        counts = self._counts()
        seen = {shot: pairs for shot, pairs in self._pairs.items() if shot in counts and len(pairs) >= _LEAST}
        return {shot: correlations(np.stack(pairs)[..., counts[shot]]) for shot, pairs in seen.items()}


class Signals(Eye):
    """(4,) of the landmarks of one picture, None without a face."""

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker

    def __call__(self, picture: Picture) -> np.ndarray | None:
        seen = picture.seen(self._landmarker)
        return None if seen is None else signals(seen.landmarks68)


class Angles(Eye):
    """Yaw, pitch and roll (3,) in degrees of the head fitted to one picture, None without a face."""

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting

    def __call__(self, picture: Picture) -> np.ndarray | None:
        fit = picture.seen(self._fitting)
        return None if fit is None else angles(fit.pose.rotation)


def signals(landmarks68: np.ndarray) -> np.ndarray:
    """(4,) mouth open, eyes open, brows raised and mouth wide, of (68, 2) landmarks."""

    def distance(a: int, b: int) -> float:
        return float(np.linalg.norm(landmarks68[a] - landmarks68[b]))

    heights = [np.mean([distance(*pair) for pair in pairs]) / distance(*_NOSE) for pairs in _HEIGHTS.values()]
    return np.array([*heights, distance(*_WIDTH) / distance(*_EYE_CORNERS)])


def correlations(pairs: np.ndarray) -> np.ndarray:
    """(signals,) correlation between the two of (frames, 2, signals), 0 where one of them does not move at all."""
    apart = pairs - pairs.mean(axis=0)
    spread = apart.std(axis=0)
    moves = (spread > _FROZEN).all(axis=0)
    return np.where(moves, apart.prod(axis=1).mean(axis=0) / np.where(moves, spread.prod(axis=0), 1), 0.0)
