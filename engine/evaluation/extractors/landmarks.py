"""Extractors of faces: landmarks, the face model fitted to them, and what both say of a face's motion. Each picture is
looked at on its own, without smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import weights
from engine.evaluation.picture import SIDE, Extractor, Picture
from engine.face import model
from engine.face.camera import Camera, Pose
from engine.face.fitting import Fitter
from engine.geometry.framing import framed
from engine.tracking import registry as detectors
from engine.tracking.detector import Detector, Observation
from engine.tracking.regressor.inference import Regressor
from engine.tracking.regressor_detector import RegressorDetector

ANGLES = ("yaw", "pitch", "roll")
REGRESSOR = weights.FOLDER / weights.JUDGE / "face_regressor.onnx"  # independent of the default detector, which drives
_SUFFIX = {"builtin": "mp", "face-alignment": "fan", "understudy": "syn"}  # in the names of metrics
_LARGEST = 8.0  # sides of the picture: the most that a head's square may measure
# Of the 68 landmarks. Heights are measured in lengths of the nose, the mouth's width in distances of the outer eye
# corners, so that turning the head changes neither much.
_NOSE, _EYE_CORNERS = (27, 33), (36, 45)
_HEIGHTS = (
    ((61, 67), (62, 66), (63, 65)),  # mouth open
    ((37, 41), (38, 40), (43, 47), (44, 46)),  # eyes open
    ((19, 37), (24, 44)),  # brows raised
)
_WIDTH = (48, 54)


class Landmarker(Extractor):
    """A detector as an extractor: an Observation, or None without a face."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.name, self.suffix = detector.name, _SUFFIX[detector.name]

    def __call__(self, picture: Picture) -> Observation | None:
        return self._detector.detect(np.ascontiguousarray(picture.rgb))

    def close(self) -> None:
        self._detector.close()


def create_landmarker(wanted: str, driver: str, regressor: Path | None = None) -> Landmarker:
    """The landmarker called ``wanted``. ``auto`` is our own face regressor, and MediaPipe where the regressor drove,
    since a landmarker flatters what it drove. ``regressor``: another ONNX file of it.

    Raises EngineError as ``tracking.registry.create`` and :func:`engine.runtime.open` do.
    """
    if wanted == "auto":
        wanted = "builtin" if driver == "understudy" and regressor is None else "understudy"
    if wanted == "understudy":
        return Landmarker(RegressorDetector(Regressor(regressor or REGRESSOR)))
    return Landmarker(detectors.create(wanted))


def create_witness(landmarker: Landmarker, regressor: Path | None = None) -> Landmarker:
    """A second landmarker: MediaPipe beside our face regressor, the regressor beside all others."""
    wanted = "builtin" if landmarker.name == "understudy" else "understudy"
    return create_landmarker(wanted, landmarker.name, regressor)


def landmarker_remark(scorer: str, driver: str) -> str:
    """One sentence to print under a table."""
    if scorer != driver:
        return f"Landmarks by {scorer}; the systems were driven by {driver}."
    return (
        f"Landmarks by {scorer}, which also drove the systems: figures that rest on landmarks flatter them. "
        "`--landmarker` names another."
    )


@dataclass(frozen=True)
class Fit:
    """The face model in one picture: ``identity`` (K,), ``expression`` (E,), ``pose`` in cm before the camera."""

    identity: np.ndarray
    expression: np.ndarray
    pose: Pose


class Fitting(Extractor):
    """Identity, expression and pose fitted to the landmarks of one picture alone; None without a face."""

    def __init__(self, landmarker: Landmarker) -> None:
        self.landmarker, self.suffix = landmarker, landmarker.suffix
        self._fitters: dict[tuple[int, int, bool], Fitter] = {}

    def __call__(self, picture: Picture) -> Fit | None:
        seen: Observation | None = picture.extract(self.landmarker)
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


class HeadCrop(Extractor):
    """The head alone, framed as the studio frames it, (256, 256, 3) uint8. None without a face, or where the fit puts
    the head behind or too close to the camera.

    A head that moves, or stands elsewhere in a photograph, is framed alike, as CSIM aligns faces.
    """

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting

    def __call__(self, picture: Picture) -> np.ndarray | None:
        fit: Fit | None = picture.extract(self._fitting)
        if fit is None:
            return None
        height, width = picture.rgb.shape[:2]
        square = framed(Camera(width, height), fit.pose)
        return square.cut(picture.rgb, SIDE) if 0 < square.side < _LARGEST * max(width, height) else None


class Signals(Extractor):
    """(4,) expression signals of one picture's landmarks, None without a face."""

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker

    def __call__(self, picture: Picture) -> np.ndarray | None:
        seen = picture.extract(self._landmarker)
        return None if seen is None else expression_signals(seen.landmarks68)


class Angles(Extractor):
    """Yaw, pitch and roll (3,) in degrees of the head fitted to one picture, None without a face."""

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting

    def __call__(self, picture: Picture) -> np.ndarray | None:
        fit = picture.extract(self._fitting)
        return None if fit is None else angles(fit.pose.rotation)


def expression_signals(landmarks68: np.ndarray) -> np.ndarray:
    """(4,) mouth open, eyes open, brows raised and mouth wide, of (68, 2) landmarks."""

    def distance(a: int, b: int) -> float:
        return float(np.linalg.norm(landmarks68[a] - landmarks68[b]))

    heights = [np.mean([distance(*pair) for pair in pairs]) / distance(*_NOSE) for pairs in _HEIGHTS]
    return np.array([*heights, distance(*_WIDTH) / distance(*_EYE_CORNERS)])


def angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll (3,) in degrees of a head's rotation (3, 3) to the camera; positive: turned to image right,
    chin up, tilted clockwise."""
    x, z = rotation[:, 0] * (1, -1, -1), -rotation[:, 2] * (1, -1, -1)  # in image axes; z away from the camera
    yaw, roll = np.arctan2(x[2], np.hypot(x[0], x[1])), np.arctan2(x[1], x[0])
    return np.degrees([yaw, np.arctan2(z[1], z[2]), roll])


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The (2, 3) similarity transform that takes ``points`` (P, 2) closest to ``target`` (Umeyama 1991)."""
    a, b = points - points.mean(axis=0), target - target.mean(axis=0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt * (singular @ sign) / (a**2).sum()
    return np.hstack([turn, (target.mean(axis=0) - turn @ points.mean(axis=0))[:, None]])
