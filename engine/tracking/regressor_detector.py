"""The project's own detector: finds and follows a face with the face regressor alone, no other package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.tracking.detector import Detector, Observation, average
from engine.tracking.regressor.inference import Crop, Glance, Regressor

_SIDES = (1.0, 0.45, 0.2)  # of the crops that a picture is searched with, of its longer side
_STRIDE = 0.5  # of a crop's side, from one crop to the next
_CANDIDATES = 4  # looked at more closely
_CLOSER = 2  # times
_SURE, _FOUND = 0.5, 0.9  # confidence below which a face that was followed is lost, and one that is searched not found
_STEADY = 0.15  # of a crop's side: by how much the last look may move or resize it, else it did not follow a face
_AGAIN, _SETTLED = 4, 0.02  # most further looks at the chosen face; they end when one moves it no further


class RegressorDetector(Detector):
    """Coarse to fine: the picture is searched with large squares first, smaller ones only where those find nothing."""

    name = "understudy"

    def __init__(self, regressor: Regressor | None = None) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._regressor = regressor or Regressor()
        self._last: Crop | None = None

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self._regressor.path,)

    def detect(self, rgb: np.ndarray) -> Observation | None:
        found = self._search(rgb)
        return None if found is None else _observation(found)

    def track(self, rgb: np.ndarray) -> Observation | None:
        """Mean of two looks, in the crop that followed the face so far and in the one that the first proposes: their
        errors differ."""
        first = self._regressor.look(rgb, [self._last])[0] if self._last is not None else None
        if first is None or first.confidence < _SURE:
            first = self._search(rgb)
        if first is None:
            self._last = None
            return None
        second = self._regressor.look(rgb, [first.closer()])[0]
        if second.confidence < _SURE:
            second = first
        self._last = second.closer()
        return average([_observation(first), _observation(second)])

    def restart(self) -> None:
        self._last = None

    def close(self) -> None:
        self._regressor.close()

    def _search(self, rgb: np.ndarray) -> Glance | None:
        """The most prominent face: sure and large."""
        for side in _SIDES:
            glances = self._regressor.look(rgb, squares(rgb.shape[0], rgb.shape[1], side))
            likely = sorted(glances, key=lambda glance: -glance.confidence)[:_CANDIDATES]
            likely = [glance for glance in likely if glance.confidence >= _SURE]
            for _ in range(_CLOSER if likely else 0):
                likely = self._regressor.look(rgb, [glance.closer() for glance in likely])
            sure = [glance for glance in likely if glance.confidence >= _FOUND and _moved(glance) < _STEADY]
            if sure:
                return self._settled(rgb, max(sure, key=lambda glance: glance.confidence * glance.crop.side**0.5))
        return None

    def _settled(self, rgb: np.ndarray, glance: Glance) -> Glance:
        """Looked at again until the crop stays where it is."""
        for _ in range(_AGAIN):
            if _moved(glance) < _SETTLED:
                break
            glance = self._regressor.look(rgb, [glance.closer()])[0]
        return glance


def _moved(glance: Glance) -> float:
    """How far from the crop that looked for it a face lies, and how much larger or smaller it is, of the crop's side:
    what is no face leads elsewhere."""
    crop, next_crop = glance.crop, glance.closer()
    moved = float(np.linalg.norm(next_crop.centre - crop.centre))
    return max(moved, abs(next_crop.side - crop.side)) / crop.side


def squares(height: int, width: int, share: float) -> list[Crop]:
    """Crops of ``share`` of the longer side that cover a picture, each overlapping the next."""
    side = share * max(height, width)
    centres = []
    for length in (width, height):
        count = 1 if length <= 1.2 * side else int(np.ceil((length - side) / (_STRIDE * side))) + 1
        edge = min(side, length) / 2
        centres.append(np.linspace(edge, length - edge, count) if count > 1 else np.array([length / 2]))
    return [Crop(np.array([x, y]), side) for y in centres[1] for x in centres[0]]


def _observation(glance: Glance) -> Observation:
    return Observation(glance.landmarks68, glance.dense, glance.iris, glance.confidence)
