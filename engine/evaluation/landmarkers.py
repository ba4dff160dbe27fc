"""The eyes that see faces: a landmark detector, and the face model fitted to its points, each picture on its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import weights
from engine.evaluation.pictures import SIDE, Eye, Picture
from engine.face import model
from engine.face.camera import Camera, Pose
from engine.face.fitting import Fitter
from engine.geometry.framing import framed
from engine.tracking import registry as detectors
from engine.tracking.detector import Detector, Observation
from engine.tracking.regressor.inference import Regressor
from engine.tracking.regressor_detector import RegressorDetector

SUFFIX = {
    "mediapipe": "mp",
    "face-alignment": "fan",
    "understudy": "syn",
}  # in the names of metrics that rest on a detector's points
_LARGEST = 8.0  # sides of the picture: what a head's square measures at most
REGRESSOR = weights.FOLDER / weights.JUDGE / "face_regressor.onnx"  # our own, which drives nothing as it comes


class Landmarker(Eye):
    """A detector as an eye: an Observation, or None without a face."""

    def __init__(self, seer: Detector) -> None:
        self._detector = seer
        self.name, self.suffix = seer.name, SUFFIX[seer.name]

    def __call__(self, picture: Picture) -> Observation | None:
        return self._detector.detect(np.ascontiguousarray(picture.rgb))

    def close(self) -> None:
        self._detector.close()


def choose(wanted: str, driver: str, regressor: Path | None = None) -> Detector:
    """The landmarker called ``wanted``; ``auto`` is our own face regressor, and MediaPipe where the regressor drove,
    since a landmarker that drove flatters what it drove. ``regressor``: another ONNX file of it.

    Whoever prints a table says who scored it: :func:`remark`. Raises EngineError as ``tracking.registry.create`` and
    :func:`engine.runtime.open` do.
    """
    if wanted == "auto":
        wanted = "mediapipe" if driver == "understudy" and regressor is None else "understudy"
    if wanted == "understudy":
        return RegressorDetector(Regressor(regressor or REGRESSOR))
    return detectors.create(wanted)


def witness(judge: Landmarker, regressor: Path | None = None) -> Detector:
    """Another than the judge: MediaPipe beside our face regressor, and that beside all others (``regressor``: another
    ONNX file of it)."""
    return choose("mediapipe" if judge.name == "understudy" else "understudy", judge.name, regressor)


def remark(scorer: str, driver: str) -> str:
    """One sentence for under a table."""
    if scorer != driver:
        return f"Landmarks by {scorer}; the systems were driven by {driver}."
    return (
        f"Landmarks by {scorer}, which also drove the systems: figures that rest on landmarks flatter them. "
        "`--landmarker` names another."
    )


@dataclass(frozen=True)
class Fit:
    """The face model in one picture: ``identity`` (K,), ``expression`` (E,), ``pose`` in cm before the one camera."""

    identity: np.ndarray
    expression: np.ndarray
    pose: Pose


class Fitting(Eye):
    """Identity, expression and pose fitted to the landmarks of one picture alone; None without a face."""

    def __init__(self, landmarker: Landmarker) -> None:
        self.landmarker, self.suffix = landmarker, landmarker.suffix
        self._fitters: dict[tuple[int, int, bool], Fitter] = {}

    def __call__(self, picture: Picture) -> Fit | None:
        seen: Observation | None = picture.seen(self.landmarker)
        if seen is None:
            return None
        height, width = picture.rgb.shape[:2]
        key = (width, height, seen.dense is not None)
        if key not in self._fitters:
            self._fitters[key] = Fitter(model.load(), Camera(width, height), key[2])
        fitter = self._fitters[key]
        identity = fitter.subject([seen])
        fit = fitter.frame(seen, fitter.neutral_points(identity), None)
        return Fit(identity, fit.expression, fit.pose)


class HeadCut(Eye):
    """The head alone, as the studio frames it, (256, 256, 3) uint8; None without a face, or where a fit puts it behind
    the camera or in its lens.

    So a head that moves, or stands elsewhere in a photograph, is framed alike, as CSIM aligns faces.
    """

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting

    def __call__(self, picture: Picture) -> np.ndarray | None:
        fit: Fit | None = picture.seen(self._fitting)
        if fit is None:
            return None
        height, width = picture.rgb.shape[:2]
        square = framed(Camera(width, height), fit.pose)
        return square.cut(picture.rgb, SIDE) if 0 < square.side < _LARGEST * max(width, height) else None
