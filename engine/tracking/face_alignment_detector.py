"""face-alignment's 2D-FAN (Bulat and Tzimiropoulos, ICCV 2017) behind S3FD: the 68 points only, no dense mesh, no iris.

Optional: the package and torch come by engine/requirements-face-alignment.lock, the two networks are fetched on first
use. Their terms are in :mod:`engine.catalog`.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from engine import catalog
from engine.download import fetch
from engine.errors import EngineError
from engine.tracking.detector import Detector, Observation

PUBLISHER = "https://www.adrianbulat.com/downloads/python-fan"
# File → SHA-256; its first ten digits are in the published name.
FAN = ("2DFAN4-11f355bf06.pth.tar", "11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa")
S3FD = ("s3fd-619a316812.pth", "619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543")

log = logging.getLogger("understudy")


class FaceAlignmentDetector(Detector):
    """The networks go where torch keeps such files (TORCH_HOME), and face-alignment finds them there."""

    name = "face-alignment"

    def __init__(self, publisher: str = PUBLISHER, files: tuple[tuple[str, str], ...] = (FAN, S3FD)) -> None:
        """Raises EngineError ``missing_package``, or what :func:`engine.download.fetch` raises."""
        try:
            import face_alignment  # pyright: ignore[reportMissingImports]
            import torch  # pyright: ignore[reportMissingImports]
        except ImportError as fault:
            raise EngineError(
                "missing_package",
                f"The face detector face-alignment cannot be imported ({fault}).",
                "Install it into the engine's environment: pip install --no-deps --require-hashes with "
                "engine/requirements-face-alignment.lock and engine/requirements-torch-cpu.lock, or choose the "
                "detector builtin.",
            ) from fault
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        if not all((folder / name).is_file() for name, _ in files):
            log.warning(
                "the networks of face-alignment are fetched now: %s", catalog.DETECTORS_BY_NAME[self.name].description
            )
        self._weights = tuple(fetch(f"{publisher}/{name}", folder / name, sha256) for name, sha256 in files)
        self._network: Any = face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device="cuda" if torch.cuda.is_available() else "cpu",
            face_detector_kwargs={"path_to_detector": str(self._weights[1])},  # given a path, it unpickles tensors only
            compile=False,  # users have no compiler
        )
        self._box: np.ndarray | None = None

    @property
    def weights(self) -> tuple[Path, ...]:
        return self._weights

    def detect(self, rgb: np.ndarray) -> Observation | None:
        boxes = self._boxes(rgb)
        return self._observe(rgb, max(boxes, key=_area)) if boxes else None

    def track(self, rgb: np.ndarray) -> Observation | None:
        boxes = self._boxes(rgb)
        if not boxes:
            return None
        last = self._box
        self._box = max(boxes, key=_area) if last is None else max(boxes, key=lambda box: _overlap(box, last))
        return self._observe(rgb, self._box)

    def restart(self) -> None:
        self._box = None

    def close(self) -> None:
        self._network = None

    def _boxes(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Every face as (left, top, right, bottom, score)."""
        return [np.asarray(box, np.float64) for box in self._network.face_detector.detect_from_image(rgb)]

    def _observe(self, rgb: np.ndarray, box: np.ndarray) -> Observation | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numba's about its own defaults
            faces = self._network.get_landmarks_from_image(rgb, detected_faces=[box])
        if not faces or not np.isfinite(faces[0]).all():
            return None
        return Observation(np.asarray(faces[0], np.float64), None, None, float(np.clip(box[4], 0, 1)))


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    sides = np.minimum(a[2:4], b[2:4]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / max(_area(a) + _area(b) - shared, 1e-9)
