"""The built-in detector beside the mediapipe package, whose networks it runs. Differences in pixels of the crop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import mediapipe
import numpy as np
import pytest

from benchmarks.mediapipe_detector import MediaPipeDetector
from benchmarks.tracker import CROP, difference
from engine.tracking.builtin_detector import BuiltinDetector
from engine.tracking.detector import Observation
from engine.tracking.selfie_segmentation import SelfieSegmentation
from tests.engine.faces import portrait_rgb, sample_frames

SOLUTIONS: Any = getattr(mediapipe, "solutions")
STILL, TRACKED = (0.005, 0.05), (0.05, 0.5)  # mean and largest; a clip feeds its rounding back


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[MediaPipeDetector, BuiltinDetector]]:
    with closing(MediaPipeDetector()) as package, closing(BuiltinDetector()) as ours:
        yield package, ours


def assert_alike(package: Observation | None, ours: Observation | None, limits: tuple[float, float]) -> None:
    assert package is not None and ours is not None
    found = difference(package, ours)
    for kind in ("mesh", "iris", "depth"):
        assert found[kind][0] < limits[0] and found[kind][1] < limits[1], (kind, found)
    assert found["confidence"][1] < 0.001
    assert np.abs(package.landmarks68 - ours.landmarks68).max() < 2 * limits[1]


def test_stills(both: tuple[MediaPipeDetector, BuiltinDetector]):
    for rgb in (portrait_rgb(), *sample_frames()[::16]):
        package, ours = (detector.detect(rgb) for detector in both)
        assert_alike(package, ours, STILL)


def test_a_clip(both: tuple[MediaPipeDetector, BuiltinDetector]):
    for detector in both:
        detector.restart()
    for rgb in sample_frames()[:24]:
        package, ours = (detector.track(rgb) for detector in both)
        assert_alike(package, ours, TRACKED)


def test_a_portrait_looked_at_several_times(both: tuple[MediaPipeDetector, BuiltinDetector]):
    package, ours = (detector.detect_still(portrait_rgb()) for detector in both)
    assert_alike(package, ours, TRACKED)


def test_several_faces(both: tuple[MediaPipeDetector, BuiltinDetector]):
    first, second = sample_frames()[0], sample_frames()[24]
    rgb = np.ascontiguousarray(np.vstack([np.hstack([first, second]), np.hstack([second[:, ::-1], first])]))
    with SOLUTIONS.face_mesh.FaceMesh(True, 4, True, 0.3) as graph:
        faces = graph.process(rgb).multi_face_landmarks
    ours = [face.observation.dense for face in both[1].faces(rgb)]
    assert len(faces) == len(ours) == 4
    for face in faces:
        points = np.array([(p.x, p.y) for p in face.landmark])[:468] * rgb.shape[1::-1]
        scale = CROP / (1.5 * np.ptp(points, axis=0).max())
        nearest = min(np.linalg.norm(dense[:, :2] - points, axis=1).max() for dense in ours if dense is not None)
        assert nearest * scale < STILL[1]


def test_the_person_matte():
    with closing(SelfieSegmentation()) as segment, SOLUTIONS.selfie_segmentation.SelfieSegmentation(0) as graph:
        for rgb in (portrait_rgb(), sample_frames()[0]):
            package, ours = np.asarray(graph.process(rgb).segmentation_mask), segment(rgb)
            assert ours.shape == rgb.shape[:2] and ours.dtype == np.float32
            a, b = package > 0.5, ours > 0.5
            assert np.count_nonzero(a & b) > 0.999 * np.count_nonzero(a | b)
            assert np.abs(package - ours).mean() < 1e-4
