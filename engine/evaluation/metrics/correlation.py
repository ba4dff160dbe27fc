"""How closely the output's face follows the driver's over a shot: correlation, which ignores constant offsets."""

from __future__ import annotations

import numpy as np

from engine.evaluation.extractors.landmarks import Angles, Fitting, Signals
from engine.evaluation.metrics.base import HIGHER, Metric, MetricInfo
from engine.evaluation.picture import Picture, ShotFrame

_LEAST = 16  # frames; in shorter shots noise correlates by chance
_FROZEN = 1e-6  # standard deviation below which a signal does not move at all
_AGREEMENT = 0.5  # correlation of two landmarkers of equal noise when noise and motion have equal variance


class Correlation(Metric):
    """Pearson correlation with the driver over each shot, of each signal alone, then their mean. Mean over shots.

    ``corr_exp``: four signals of the landmarks (mouth open, eyes open, brows raised, mouth wide). ``corr_pose``: yaw,
    pitch and roll of the face model fitted to the landmarks. A signal counts only where ``witness``, a second
    landmarker, sees it move alike in the driver's frames; otherwise one of the two sees noise, for example of a head
    that hardly turns. A signal that moves in the driver alone counts 0. There is no figure for shots with fewer than
    sixteen frames with faces, or where no signal counts.
    """

    def __init__(self, kind: str, fitting: Fitting, witness: Fitting) -> None:
        """``kind``: ``exp`` or ``pose``."""
        name = f"corr_{kind}-{fitting.suffix}"
        super().__init__(MetricInfo(name, better=HIGHER, key=True, by_landmarks=True))
        both = (fitting, witness)
        self._signals = [Signals(each.landmarker) if kind == "exp" else Angles(each) for each in both]
        self._names = " and ".join(each.landmarker.name for each in both)
        self._pairs: dict[str, list[np.ndarray]] = {}  # signals of output and driver, by frame
        self._driven: dict[str, list[np.ndarray]] = {}  # the driver's signals by landmarker and by witness

    def update(self, output: Picture, frame: ShotFrame) -> None:
        here = output.extract(self._signals[0])
        driver, witness = (frame.driver.extract(signals) for signals in self._signals)
        if driver is not None and here is not None:
            self._pairs.setdefault(frame.shot, []).append(np.stack([here, driver]))
        if driver is not None and witness is not None:
            self._driven.setdefault(frame.shot, []).append(np.stack([driver, witness]))

    def by_shot(self) -> dict[str, float]:
        counted = self._counted()
        seen = {shot: pairs for shot, pairs in self._pairs.items() if shot in counted and len(pairs) >= _LEAST}
        figures = {shot: correlations(np.stack(pairs)[..., counted[shot]]) for shot, pairs in seen.items()}
        return {shot: float(np.mean(found)) for shot, found in figures.items() if len(found)}

    def value(self) -> float | None:
        shots = self.by_shot()
        return float(np.mean(list(shots.values()))) if shots else None

    def count(self) -> int:
        return sum(len(self._pairs[shot]) for shot in self.by_shot())

    def note(self) -> str:
        counted = self._counted()
        if not counted:
            return ""
        agree, total = sum(map(np.sum, counted.values())), sum(map(len, counted.values()))
        return f"{self.info.name}: {self._names} agree on {agree} of {total} signals of {len(counted)} shots"

    def _counted(self) -> dict[str, np.ndarray]:
        """Which signals of every shot count; the same for all columns."""
        driven = {shot: pairs for shot, pairs in self._driven.items() if len(pairs) >= _LEAST}
        return {shot: correlations(np.stack(pairs)) >= _AGREEMENT for shot, pairs in driven.items()}


def correlations(pairs: np.ndarray) -> np.ndarray:
    """(signals,) correlation between the two of (frames, 2, signals), 0 where one of them does not move at all."""
    centred = pairs - pairs.mean(axis=0)
    spread = centred.std(axis=0)
    moves = (spread > _FROZEN).all(axis=0)
    return np.where(moves, centred.prod(axis=1).mean(axis=0) / np.where(moves, spread.prod(axis=0), 1), 0.0)
