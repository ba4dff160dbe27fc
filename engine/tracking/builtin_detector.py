"""The face detector that comes with the engine: MediaPipe's networks, run by :mod:`engine.runtime`."""

from __future__ import annotations

import numpy as np

from engine.tracking.detector import Face, MultiFaceDetector, Observation, average
from engine.tracking.face_boxes import FaceFinder
from engine.tracking.face_mesh import MeshNetwork
from engine.tracking.face_tracker import FaceTracker

_SETTLING, _AVERAGED = 2, 5  # looks at a still: the crop follows its landmarks, as in a clip; then noise is averaged


class BuiltinDetector(MultiFaceDetector):
    name = "builtin"

    def __init__(self) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._finder, self._mesh = FaceFinder(), MeshNetwork()
        self._one, self._several = self._tracker(several=False), self._tracker(several=True)

    def detect(self, rgb: np.ndarray) -> Observation | None:
        return _only(self._tracker(several=False).look(rgb))

    def track(self, rgb: np.ndarray) -> Observation | None:
        return _only(self._one.look(rgb))

    def detect_still(self, rgb: np.ndarray) -> Observation | None:
        """Tracked as a clip that stands still."""
        self.restart()
        seen = [self.track(rgb) for _ in range(_SETTLING + _AVERAGED)][_SETTLING:]
        self.restart()
        return average([o for o in seen if o is not None])

    def faces(self, rgb: np.ndarray) -> list[Face]:
        return self._tracker(several=True).look(rgb)

    def track_faces(self, rgb: np.ndarray) -> list[Face]:
        return self._several.look(rgb)

    def restart(self) -> None:
        self._one.restart()
        self._several.restart()

    def close(self) -> None:
        self._finder.close()
        self._mesh.close()

    def _tracker(self, several: bool) -> FaceTracker:
        return FaceTracker(self._finder, self._mesh, several)


def _only(faces: list[Face]) -> Observation | None:
    return faces[0].observation if faces else None
