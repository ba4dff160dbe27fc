"""MediaPipe's face mesh with iris refinement. Models (Apache-2.0) come inside the 0.10.21 wheel; nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.tracking.detector import Detector, Observation, average
from engine.tracking.face_mesh import DENSE, ibug_from_dense

_NETWORKS = (
    "face_landmark/face_landmark.tflite",
    "face_landmark/face_landmark_with_attention.tflite",
    "face_detection/face_detection_short_range.tflite",
)
_SETTLING, _AVERAGED = 2, 5  # looks at a still: the crop follows its landmarks, as in a clip; then noise is averaged
_SAME_FACE = 0.1  # of the face's diagonal: two crops further apart show two people


class MediaPipeDetector(Detector):
    """Graphs are built on first use: a still and a clip need different ones."""

    name = "mediapipe"

    def __init__(self) -> None:
        try:
            import mediapipe
        except ImportError as fault:
            raise EngineError(
                "missing_package",
                f"The face detector mediapipe cannot be imported ({fault}).",
                "Install the engine's locked requirements again.",
            ) from fault
        self._modules = Path(mediapipe.__path__[0]) / "modules"
        self._solutions: Any = getattr(mediapipe, "solutions")
        self._still: Any = None
        self._clip: Any = None
        self._boxes: Any = None

    @property
    def weights(self) -> tuple[Path, ...]:
        return tuple(self._modules / name for name in _NETWORKS)

    def detect(self, rgb: np.ndarray) -> Observation | None:
        return self._observe(self._stills(), rgb)

    def track(self, rgb: np.ndarray) -> Observation | None:
        """Mean of the mesh in the crop that follows the face and in one found anew: their errors differ."""
        if self._clip is None:
            self._clip = self._mesh(static=False)
        followed = self._observe(self._clip, rgb)
        found = self.detect(rgb) if followed is None else self._observe(self._stills(), rgb, followed.confidence)
        if followed is None or found is None:
            return followed or found
        apart = np.linalg.norm(followed.landmarks68.mean(axis=0) - found.landmarks68.mean(axis=0))
        return followed if apart > _SAME_FACE * followed.diagonal else average([followed, found])

    def detect_still(self, rgb: np.ndarray) -> Observation | None:
        """Tracked as a clip that stands still."""
        self.restart()
        seen = [self.track(rgb) for _ in range(_SETTLING + _AVERAGED)][_SETTLING:]
        return average([o for o in seen if o is not None])

    def restart(self) -> None:
        if self._clip is not None:
            self._clip.reset()

    def close(self) -> None:
        for graph in (self._still, self._clip, self._boxes):
            if graph is not None:
                graph.close()
        self._still = self._clip = self._boxes = None

    def _stills(self) -> Any:
        if self._still is None:
            self._still = self._mesh(static=True)
        return self._still

    def _mesh(self, static: bool) -> Any:
        return self._solutions.face_mesh.FaceMesh(
            static_image_mode=static, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.3
        )

    def _observe(self, graph: Any, rgb: np.ndarray, confidence: float | None = None) -> Observation | None:
        height, width = rgb.shape[:2]
        rgb = np.ascontiguousarray(rgb)
        faces = graph.process(rgb).multi_face_landmarks
        if not faces:
            return None
        scale = np.array([width, height, width], np.float64)
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark]) * scale
        dense, iris = points[:DENSE], points[DENSE:, :2].reshape(2, 5, 2)[::-1]  # its right eye comes first
        confidence = self._confidence(rgb, dense) if confidence is None else confidence
        return Observation(ibug_from_dense(dense)[:, :2], dense, iris, confidence)

    def _confidence(self, rgb: np.ndarray, dense: np.ndarray) -> float:
        """Score of the independent box detector where it agrees with the mesh, 0 where it sees no face there."""
        if self._boxes is None:
            self._boxes = self._solutions.face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.1)
        centre = dense[:, :2].mean(axis=0) / (rgb.shape[1], rgb.shape[0])
        best = 0.0
        for detection in self._boxes.process(rgb).detections or ():
            box = detection.location_data.relative_bounding_box
            inside = box.xmin < centre[0] < box.xmin + box.width and box.ymin < centre[1] < box.ymin + box.height
            if inside:
                best = max(best, float(detection.score[0]))
        return best
