"""How closely an output's face follows the driver's over a take: correlation, which no constant offset disturbs."""

from __future__ import annotations

import numpy as np

from engine.evaluation.landmarkers import Fitting, Landmarker
from engine.evaluation.metrics import HIGHER
from engine.evaluation.pictures import Eye, Moment, Picture
from engine.evaluation.scores import Score, angles

_LEAST = 4  # frames
_FROZEN = 1e-6  # standard deviation of an output that does not move at all
# Standard deviation below which a driver's signal is its landmarker's noise for the most part: degrees, and lengths as
# the signals measure them.
_STILL = {"pose": 0.5, "exp": 0.01}
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
    """Pearson correlation with the driver over each shot, of each signal alone, then their mean; a signal that the
    driver hardly moves is left out, one that moves in the driver alone counts 0. Mean over shots.

    ``corr_exp``: of four signals of the landmarks (mouth open, mouth wide, eyes open, brows raised); ``corr_pose``: of
    yaw, pitch and roll of the face model fitted to the landmarks. No figure for shots of fewer than four frames.
    """

    better, digits, by_landmarks, telling = HIGHER, 3, True, True

    def __init__(self, kind: str, landmarker: Landmarker, fitting: Fitting) -> None:
        """``kind``: ``exp`` or ``pose``."""
        self.name = f"corr_{kind}-{landmarker.suffix}"
        self._still = _STILL[kind]
        self._signals: Eye = Signals(landmarker) if kind == "exp" else Angles(fitting)
        self._pairs: dict[str, list[np.ndarray]] = {}

    def update(self, output: Picture, moment: Moment) -> None:
        pair = output.seen(self._signals), moment.driver.seen(self._signals)
        if pair[0] is not None and pair[1] is not None:
            self._pairs.setdefault(moment.shot, []).append(np.stack(pair))

    def by_shot(self) -> dict[str, float]:
        taken = {shot: np.stack(pairs) for shot, pairs in self._pairs.items() if len(pairs) >= _LEAST}
        found = {shot: follows(pairs, self._still) for shot, pairs in taken.items()}
        return {shot: figure for shot, figure in found.items() if figure is not None}

    def value(self) -> float | None:
        shots = self.by_shot()
        return float(np.mean(list(shots.values()))) if shots else None

    def count(self) -> int:
        return sum(len(self._pairs[shot]) for shot in self.by_shot())


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


def follows(pairs: np.ndarray, still: float) -> float | None:
    """Mean correlation over signals of (frames, 2, signals): the output's, the driver's; None when nothing drives.
    ``still``: the standard deviation up to which a driver's signal is left out."""
    found = []
    for output, driver in pairs.transpose(2, 1, 0):
        if driver.std() > still:
            found.append(np.corrcoef(output, driver)[0, 1] if output.std() > _FROZEN else 0.0)
    return float(np.mean(found)) if found else None
