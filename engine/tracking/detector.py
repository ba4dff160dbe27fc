"""What every face landmark detector gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import catalog
from engine.weights import FOLDER


@dataclass(frozen=True)
class Observation:
    """One face in one image, in pixels with centres at +.5.

    ``landmarks68`` (68, 2) in iBUG order, ``dense`` (468, 3) in MediaPipe's order with z negative towards the camera
    (None if the detector has none), ``iris`` (2, 5, 2): the subject's left eye first, centre then four points of the
    rim (None likewise), ``confidence`` 0…1.
    """

    landmarks68: np.ndarray
    dense: np.ndarray | None
    iris: np.ndarray | None
    confidence: float

    @property
    def diagonal(self) -> float:
        """Diagonal of the landmarks' bounding box, pixels."""
        points = self.landmarks68 if self.dense is None else self.dense[:, :2]
        return float(np.linalg.norm(np.ptp(points, axis=0)))

    @property
    def lip_gap(self) -> float | None:
        """Distance between the middle of the inner lips, a share of the diagonal; None without dense landmarks."""
        if self.dense is None:
            return None
        return float(np.linalg.norm(self.dense[13, :2] - self.dense[14, :2])) / self.diagonal


@dataclass(frozen=True)
class Face:
    """One of several faces in a picture. ``index`` stays with a person through a clip; ``box`` (4,) left, top, right,
    bottom, pixels. Its score is the observation's confidence."""

    index: int
    box: np.ndarray
    observation: Observation


def average(observations: list[Observation]) -> Observation | None:
    """The mean of several observations of one still, None of none."""
    if not observations:
        return None

    def mean(name: str) -> np.ndarray | None:
        values = [getattr(o, name) for o in observations]
        return None if any(value is None for value in values) else np.mean(values, axis=0)

    landmarks = np.mean([o.landmarks68 for o in observations], axis=0)
    confidence = float(np.mean([o.confidence for o in observations]))
    return Observation(landmarks, mean("dense"), mean("iris"), confidence)


class Detector(ABC):
    """Finds the most prominent face. Not safe to share between threads."""

    name: str

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files of its networks; another content gives other landmarks."""
        return tuple(FOLDER / file for file in catalog.DETECTORS_BY_NAME[self.name].weights)

    @abstractmethod
    def detect(self, rgb: np.ndarray) -> Observation | None:
        """The face in a still, (H, W, 3) uint8; None when there is none."""

    @abstractmethod
    def track(self, rgb: np.ndarray) -> Observation | None:
        """The face in the next frame of a clip; frames must come in order, after :meth:`restart`."""

    def detect_still(self, rgb: np.ndarray) -> Observation | None:
        """The face in a portrait, looked at once, or more often where a detector gains by it; a clip is forgotten."""
        self.restart()
        return self.detect(rgb)

    def restart(self) -> None:
        """Forget the clip tracked so far."""

    def close(self) -> None:
        """Release memory; the detector is unusable afterwards."""


class MultiFaceDetector(Detector):
    """Finds several faces too."""

    @abstractmethod
    def faces(self, rgb: np.ndarray) -> list[Face]:
        """Every face in a still, (H, W, 3) uint8, by index: the most prominent first."""

    @abstractmethod
    def track_faces(self, rgb: np.ndarray) -> list[Face]:
        """Every face in the next frame of a clip, by index; a face that is lost keeps its index until it is seen
        again. Frames must come in order, after :meth:`restart`."""
