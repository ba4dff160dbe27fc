"""The stopwatch: its material, the baseline it compares with, and what it reads from real processes."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from benchmarks import processes
from benchmarks.__main__ import SAMPLE
from benchmarks.material import Material, make, to_and_fro
from benchmarks.piecewise_affine import PiecewiseAffine
from engine.media.image import read_image
from engine.media.movie import MovieSource


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make(SAMPLE, None, (192, 128), 9, tmp_path_factory.mktemp("material"))


def test_frames_are_played_to_and_fro() -> None:
    pictures = [np.full((2, 2, 3), i, np.uint8) for i in range(4)]
    assert [int(p[0, 0, 0]) for p in to_and_fro(pictures, 9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [int(p[0, 0, 0]) for p in to_and_fro(pictures[:1], 3)] == [0, 0, 0]


def test_material_has_the_size_and_the_length_asked_for(material: Material) -> None:
    movie = MovieSource(material.clip)
    assert (movie.size, movie.count) == ((192, 128), 9)
    frames = [rgb for _, rgb in movie.frames(0, 9)]
    portrait = read_image(material.portrait)
    assert portrait.shape == (128, 192, 3)
    assert np.abs(frames[0].astype(int) - portrait).mean() < 3
    source = next(MovieSource(SAMPLE).frames(0, 1))[1]
    head = cv2.resize(source, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(portrait[:, 32:160].astype(int) - head).max() == 0  # whole, in the middle


def grid() -> tuple[np.ndarray, np.ndarray]:
    """A picture with structure, and points well inside it."""
    noise = cv2.GaussianBlur(np.random.default_rng(1).random((120, 160, 3)), (0, 0), 4)
    picture = np.rint((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
    xs, ys = np.meshgrid(np.linspace(40, 120, 9), np.linspace(30, 90, 7))
    return picture, np.stack([xs.ravel(), ys.ravel()], axis=1) + 0.25


def test_the_baseline_at_rest_is_the_portrait() -> None:
    picture, points = grid()
    assert np.abs(PiecewiseAffine(picture, points, points * 2).draw(points * 2).astype(int) - picture).max() <= 1


def test_the_baseline_moves_the_face_and_keeps_the_border() -> None:
    picture, points = grid()
    drawn = PiecewiseAffine(picture, points, points).draw(points + np.array([5, -3]))
    inside = drawn[40 - 3 : 80 - 3, 50 + 5 : 110 + 5].astype(int)
    assert np.abs(inside - picture[40:80, 50:110]).mean() < 1.5
    assert np.abs(drawn[40:80, 50:110].astype(int) - picture[40:80, 50:110]).mean() > 10
    assert np.array_equal(drawn[0], picture[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_render_process_shows_its_own_peak_of_memory(material: Material) -> None:
    ballast = np.ones(400 << 17)  # 400 MiB of this process must not be counted as the child's
    assert 20 < processes.peak_memory(material, "null") < 400
    del ballast


def test_the_first_frame_comes_after_the_take_and_hello(material: Material) -> None:
    seconds = processes.first_frame(material, "null")
    assert 0 < seconds["hello"] <= seconds["take"] <= seconds["frame"] < 60
