"""Benchmarks: their material, the baseline, and figures of real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import networks, processes
from benchmarks.__main__ import SAMPLE, main
from benchmarks.material import Material, back_and_forth, make
from benchmarks.piecewise_affine import PiecewiseAffine
from engine.media.image import read_image
from engine.media.movie import MovieSource
from engine.runtime.survey import PROBE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make(SAMPLE, None, (192, 128), 9, tmp_path_factory.mktemp("material"))


def test_frames_are_played_back_and_forth() -> None:
    pictures = [np.full((2, 2, 3), i, np.uint8) for i in range(4)]
    assert [int(p[0, 0, 0]) for p in back_and_forth(pictures, 9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [int(p[0, 0, 0]) for p in back_and_forth(pictures[:1], 3)] == [0, 0, 0]


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


def test_networks_are_timed_in_every_runtime_that_takes_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = ROOT / "tests" / "data" / "networks"
    figures, refusals = networks.measure(folder / "warp.onnx", "cpu", threads=1, repeats=5)
    ways = {(f.runtime, f.precision) for f in figures}
    assert {("ONNX Runtime", "fp32"), ("OpenVINO", "fp32")} <= ways and len(ways) == len(figures) and not refusals
    for found in figures:
        assert 0 < found.minimum <= found.median and found.processor > 0
        assert found.mib == (folder / "warp.onnx").stat().st_size / 2**20
    assert ("ONNX Runtime", "fp16") in {  # a file of its own beside it
        (f.runtime, f.precision) for f in networks.measure(folder / "overflows.onnx", "cpu", 1, 5)[0]
    }
    (tmp_path / "damaged.onnx").write_bytes(b"no graph")
    assert main(["networks", str(tmp_path), "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    assert "| network |" in text and "- damaged.onnx, onnxruntime in fp32: " in text
    with pytest.raises(SystemExit, match="nowhere"):
        main(["networks", str(tmp_path / "nowhere.onnx")])


def test_a_graphs_numbers_are_counted() -> None:
    (figures, *_), _ = networks.measure(PROBE, "cpu", 1, 1)
    assert figures.millions == 2e-6  # a weight and a bias
