"""The built-in detector: small and several faces, none at all, and a clip in which faces cross."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.tracker import pasted
from engine import catalog, weights
from engine.errors import EngineError
from engine.tracking import networks, registry
from engine.tracking.builtin_detector import BuiltinDetector
from engine.tracking.crop import Square
from engine.tracking.detector import MultiFaceDetector, Observation
from engine.tracking.face_boxes import FaceFinder, tiles
from tests.engine.faces import portrait_rgb, sample_frames

GREY = 110


@pytest.fixture(scope="module")
def detector() -> Iterator[BuiltinDetector]:
    with closing(BuiltinDetector()) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _afresh(detector: BuiltinDetector) -> None:
    detector.restart()


def scene(*people: tuple[np.ndarray, float]) -> np.ndarray:
    """480 × 960: pictures of 240 × 240, the later ones in front, each with its left edge at ``x``."""
    picture = np.full((480, 960, 3), GREY, np.uint8)
    for rgb, x in people:
        picture[100:340, round(x) : round(x) + 240] = cv2.resize(rgb, (240, 240), interpolation=cv2.INTER_AREA)
    return picture


def centre(face: Observation) -> np.ndarray:
    return face.landmarks68.mean(axis=0)


def error(found: Observation | None, truth: np.ndarray) -> float:
    """Mean distance, percent of the face's diagonal."""
    assert found is not None and found.dense is not None
    distance = np.linalg.norm(found.dense[:, :2] - truth, axis=1).mean()
    return 100 * float(distance / np.linalg.norm(np.ptp(truth, axis=0)))


def test_the_catalog_offers_it_and_its_files_are_those_of_the_manifest():
    info = catalog.DETECTORS_BY_NAME["builtin"]
    assert info.label == "Built-in" and "builtin" in registry.names()
    with closing(registry.create("builtin")) as made:
        assert isinstance(made, MultiFaceDetector) and made.name == "builtin"
    rows = [row for row in weights.manifest() if row.path.parent == networks.FOLDER]
    assert {row.path for row in rows} >= {weights.FOLDER / file for file in info.weights}
    assert [row.state() for row in rows] == [None] * len(rows) and not any(row.training for row in rows)
    assert sum(row.size for row in rows) <= 4.5e6


def test_what_was_made_with_the_package_is_tracked_by_its_networks():
    with closing(registry.create("mediapipe")) as made:
        assert made.name == "builtin" and "mediapipe" not in registry.names()


def test_a_missing_network_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(networks, "FOLDER", tmp_path)
    with pytest.raises(EngineError) as caught:
        BuiltinDetector()
    assert caught.value.code == "missing_network" and str(tmp_path) in caught.value.text


@pytest.mark.parametrize("size", [80, 60])
def test_a_small_face_in_full_hd_is_found_and_followed(detector: BuiltinDetector, size: int):
    portrait = portrait_rgb()
    face = detector.detect_still(portrait)
    assert face is not None
    picture, truth = pasted(portrait, face, size, np.random.default_rng(size))
    with closing(FaceFinder()) as finder:
        assert not finder.large(picture), "the picture is one in which the short range finds nothing"
    assert error(detector.detect(picture), truth) < 3
    assert error(detector.detect_still(picture), truth) < 1.5
    for step in range(4):
        moved = np.roll(picture, 3 * step, axis=1)
        followed = detector.track(moved)
        assert error(followed, truth + (3 * step, 0)) < 1.5 + (step == 0) * 1.5
        assert followed is not None and followed.confidence > 0.5, "the box network looks near a small face"


def test_no_face_is_none(detector: BuiltinDetector):
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3)).astype(np.uint8)
    for picture in (noise, noise[:3], noise[:1, :1]):
        assert detector.detect(picture) is None and detector.track(picture) is None
        assert detector.faces(picture) == [] and detector.track_faces(picture) == []
    assert detector.detect_still(noise) is None


def test_several_faces_come_with_boxes_and_scores_the_most_prominent_first(detector: BuiltinDetector):
    large = cv2.resize(portrait_rgb(), (432, 480), interpolation=cv2.INTER_CUBIC)
    picture = scene((sample_frames()[0], 0))
    picture[:, 500:932] = large
    picture[150:310, 280:440] = cv2.resize(sample_frames()[30], (160, 160), interpolation=cv2.INTER_AREA)
    faces = detector.faces(picture)
    assert [face.index for face in faces] == [0, 1, 2]
    places = [centre(face.observation)[0] for face in faces]
    assert places[0] > 500 and sorted(places[1:]) == pytest.approx([120, 360], abs=40)
    for face in faces:
        assert (face.box[:2] < centre(face.observation)).all() and (centre(face.observation) < face.box[2:]).all()
        assert face.observation.confidence > 0.5
    prominent = detector.detect(picture)
    assert prominent is not None and centre(prominent) == pytest.approx(centre(faces[0].observation), abs=0.1)


def test_a_large_face_does_not_hide_a_small_one(detector: BuiltinDetector):
    portrait = portrait_rgb()
    face = detector.detect_still(portrait)
    assert face is not None
    picture, truth = pasted(portrait, face, 140, np.random.default_rng(3))
    left = 0 if truth[:, 0].mean() > 960 else 960
    picture[:960, left : left + 864] = cv2.resize(portrait, (864, 960), interpolation=cv2.INTER_CUBIC)
    found = detector.faces(picture)
    assert len(found) == 2 and error(found[1].observation, truth) < 3


def test_faces_keep_their_index_when_they_cross_and_when_they_come_back(detector: BuiltinDetector):
    portrait, frames, count = portrait_rgb(), sample_frames(), 30
    for i in range(count):
        behind, front = 20 + 680 * i / (count - 1), 700 - 680 * i / (count - 1)
        seen = {
            face.index: centre(face.observation)[0]
            for face in detector.track_faces(scene((frames[i], behind), (portrait, front)))
        }
        if i == 0:
            astronaut = min(seen, key=lambda index: abs(seen[index] - front - 120))
        if abs(behind - front) > 300:
            assert set(seen) == {0, 1}, i
            assert abs(seen[astronaut] - front - 120) < 60 and abs(seen[1 - astronaut] - behind - 120) < 60, i
    for _ in range(3):
        assert [face.index for face in detector.track_faces(scene((portrait, 20)))] == [astronaut]
    back = detector.track_faces(scene((portrait, 20), (frames[0], 500)))
    assert [face.index for face in back] == [0, 1]


def test_a_crop_that_slid_onto_another_face_is_lost(detector: BuiltinDetector):
    picture = scene((portrait_rgb(), 20), (sample_frames()[0], 500))
    for kept in (0, 1):
        detector.restart()
        assert len(detector.track_faces(picture)) == 2
        tracks = detector._several._tracks
        tracks[1 - kept].crop = tracks[kept].crop
        left = 20 if centre(detector.faces(picture)[kept].observation)[0] < 300 else 500
        alone = scene((portrait_rgb(), 20)) if left == 20 else scene((sample_frames()[0], 500))
        assert [face.index for face in detector.track_faces(alone)] == [kept]
        assert [face.index for face in detector.track_faces(picture)] == [0, 1]


def test_a_newcomer_is_a_new_face(detector: BuiltinDetector):
    portrait, frames = portrait_rgb(), sample_frames()
    for _ in range(2):
        assert len(detector.track_faces(scene((portrait, 20)))) == 1
    both = detector.track_faces(scene((portrait, 20), (frames[0], 500)))
    assert [face.index for face in both] == [0, 1] and centre(both[1].observation)[0] > 500


def test_restart_forgets_the_clip_and_a_still_does_not_disturb_it(detector: BuiltinDetector):
    frames = [np.roll(sample_frames()[i], 4 * i, axis=1) for i in range(4)]
    first = [detector.track(rgb) for rgb in frames]
    detector.restart()
    again = []
    for rgb in frames:
        detector.detect(scene((portrait_rgb(), 500)))
        detector.faces(scene((portrait_rgb(), 500)))
        again.append(detector.track(rgb))
    for a, b in zip(first, again):
        assert a is not None and b is not None and np.array_equal(a.landmarks68, b.landmarks68)
    followed = detector.track(frames[0])
    assert followed is not None and first[0] is not None
    assert not np.array_equal(followed.landmarks68, first[0].landmarks68)
    detector.restart()
    anew = detector.track(frames[0])
    assert anew is not None and np.array_equal(anew.landmarks68, first[0].landmarks68)


def test_a_face_that_is_lost_is_found_again_at_once(detector: BuiltinDetector):
    portrait = portrait_rgb()
    assert detector.track(scene((portrait, 20))) is not None
    assert detector.track(scene()) is None
    moved = detector.track(scene((portrait, 600)))
    assert moved is not None and centre(moved)[0] > 600


def test_a_crop_and_its_points_agree():
    y, x = np.mgrid[:200, :300]
    ramp = np.stack([x * 0.8, y * 1.2, 0 * x], axis=-1).astype(np.uint8)
    square = Square(140.0, 90.0, 120.0, 0.3)
    crop = square.cut(ramp, 64, cv2.BORDER_REPLICATE)
    points = np.array([[10.0, 12.0], [50.0, 33.0], [31.0, 60.0]])
    for (column, row), (u, v) in zip(points.astype(int), square.place(points, 64)):
        assert crop[row, column, :2].astype(float) == pytest.approx([u * 0.8, v * 1.2], abs=1.5)
    assert not Square(-500.0, 0.0, 50.0).cut(ramp + 1, 8, cv2.BORDER_CONSTANT).any(), "black outside"


def test_tiles_cover_the_picture_and_overlap():
    for height, width in ((1080, 1920), (300, 300), (200, 1000), (3, 640)):
        covered = np.zeros((height, width), int)
        squares = tiles(height, width)
        for tile in squares:
            left, top, right, bottom = np.maximum(tile.box.round().astype(int), 0)
            covered[top:bottom, left:right] += 1
        assert covered.min() >= 1 and covered[height // 2, width // 2] >= 2 and len(squares) <= 60
