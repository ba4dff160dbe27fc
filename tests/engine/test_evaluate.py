"""``python -m engine evaluate`` on a clip whose figures are known beforehand: a public-domain portrait, shifted."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from engine.evaluation import signals
from engine.evaluation.cli import main
from engine.evaluation.pictures import encoded_again
from engine.media.image import encode_png, read_image
from engine.media.movie import MovieSource
from engine.tracking import registry as detectors

FRAMES, SIZE, SHIFT, REFERENCE = 6, 256, 3, 2


def picture(index: int) -> np.ndarray:
    """The face wanders to the left by SHIFT pixels a frame."""
    left = 60 + SHIFT * index
    return np.ascontiguousarray(astronaut()[:SIZE, left : left + SIZE])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "shift.mkv"
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "bgr0"  # type: ignore[attr-defined]
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(index), "rgb24").reformat(format="bgr0")
            movie.mux(stream.encode(frame))  # type: ignore[attr-defined]
        movie.mux(stream.encode())  # type: ignore[attr-defined]
    return path


@pytest.fixture(scope="module")
def evaluated(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The static-copy system on the clip, all frames; its folder and its record."""
    keep = tmp_path_factory.mktemp("keep")
    record = keep / "figures.json"
    arguments = ["self", "--system", "null", "--driving", str(clip), "--reference", str(REFERENCE)]
    assert main([*arguments, "--keep", str(keep), "--json", str(record)]) == 0
    return keep, json.loads(record.read_text())["takes"][0]


def test_the_static_system_scores_the_floor_exactly(evaluated: tuple[Path, dict]) -> None:
    _, take = evaluated
    assert take["frames"] == FRAMES
    assert take["figures"] == take["static_copy"]
    assert take["figures"]["mouth"] is None


def test_the_pixel_figures_are_those_of_the_pictures(evaluated: tuple[Path, dict]) -> None:
    _, take = evaluated
    reference = picture(REFERENCE).astype(float)
    differences = [np.abs(picture(i) - reference) / 255 for i in range(FRAMES)]
    assert take["figures"]["L1"] == pytest.approx(np.mean(differences))
    errors = np.maximum([np.mean(d**2) for d in differences], 1e-9)
    assert take["figures"]["PSNR"] == pytest.approx(np.mean(-10 * np.log10(errors)))


def test_the_ceiling_is_the_truth_encoded_again(evaluated: tuple[Path, dict]) -> None:
    ceiling, floor = (evaluated[1][name] for name in ("truth_encoded_again", "static_copy"))
    again = np.mean([np.abs(encoded_again(p).astype(float) - p).mean() / 255 for p in map(picture, range(FRAMES))])
    assert ceiling["L1"] == pytest.approx(again) and 0 < again < floor["L1"]
    assert 0 < ceiling["lmk468_pct"] < floor["lmk468_pct"]


def test_the_landmark_figure_is_the_shift(evaluated: tuple[Path, dict]) -> None:
    _, take = evaluated
    seen = detectors.create("mediapipe").detect(picture(REFERENCE))
    assert seen is not None
    shift = np.mean([abs(i - REFERENCE) * SHIFT for i in range(FRAMES)]) / 2  # x moves, y does not
    assert take["figures"]["lmk468_pct"] == pytest.approx(shift / seen.diagonal * 100, rel=0.15)
    assert take["figures"]["missing"] == 0
    assert take["figures"]["pose"] < 1
    assert take["figures"]["jitter"] is not None


def test_kept_frames_lie_alone_in_their_folder(evaluated: tuple[Path, dict]) -> None:
    keep, take = evaluated
    pictures = sorted((keep / take["take"]).glob("*.png"))
    assert len(pictures) == FRAMES
    assert all(np.array_equal(read_image(path), picture(REFERENCE)) for path in pictures)


def test_cross_compares_motion_only_and_thins_the_frames(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portrait = tmp_path / "tilted portrait é.png"
    tilt = cv2.getRotationMatrix2D((100, 128), -24, 1)
    portrait.write_bytes(encode_png(cv2.warpAffine(picture(0), tilt, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)))
    record = tmp_path / "figures.json"
    arguments = ["cross", "--system", "null", "--portrait", str(portrait), str(portrait), "--driving", str(clip)]
    assert main([*arguments, "--frames", "1-5", "--step", "2", "--json", str(record)]) == 0
    first, second = json.loads(record.read_text())["takes"]
    assert first["frames"] == 3
    assert first["figures"] == second["figures"]
    assert not {"L1", "PSNR", "SSIM", "lmk468_pct", "jitter"} & first["figures"].keys()
    assert first["figures"]["pose"] == pytest.approx(24 / 3, abs=1.5)  # the mean over yaw, pitch and roll
    table = capsys.readouterr().out
    assert table.count("static copy") == 3  # two takes and their median
    assert "There is no ceiling" in table and "| truth encoded again |" not in table
    assert first["truth_encoded_again"] is None
    assert "| median of 2 | 6 | null |" in table


def test_stored_landmarks_are_compared_with_ours(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eye = detectors.create("mediapipe")
    points = np.stack(
        [seen.dense for i in range(FRAMES) if (seen := eye.detect(picture(i))) and seen.dense is not None]
    )
    stored, record = tmp_path / "clip.lm.npz", tmp_path / "figures.json"
    np.savez(stored, lm=points + np.array([4.0, 0, 0]), valid=np.arange(FRAMES) != 1)
    arguments = ["self", "--system", "null", "--driving", str(clip), "--json", str(record)]
    arguments += ["--landmarker", "mediapipe"]
    assert main([*arguments, "--cross-check", str(stored)]) == 0
    check = json.loads(record.read_text())["takes"][0]["cross_check"]
    expected = np.mean([2 / signals.diagonal(p) * 100 for i, p in enumerate(points) if i != 1])
    assert check == pytest.approx({"frames": FRAMES - 1, "points_percent": expected, "pose_degrees": 0}, abs=1e-6)
    table = capsys.readouterr().out
    assert f"{expected:.2f} %" in table
    assert f"|  | {FRAMES} | truth encoded again |" in table and "JPEG, quality 90" in table

    np.savez(stored, lm=points[:, :68])
    assert main([*arguments, "--cross-check", str(stored)]) == 1
    assert str(stored) in capsys.readouterr().err


def test_faults_are_one_sentence(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["self", "--system", "null", "--driving", str(clip)]
    assert main([*base, "--reference", str(FRAMES)]) == 1
    assert f"Source frame {FRAMES}" in capsys.readouterr().err
    assert main(["self", "--system", "null", "--driving", str(tmp_path / "none.mp4")]) == 1
    assert "none.mp4" in capsys.readouterr().err
    assert main([*base, "--frames", "5-1"]) == 1
    assert "--frames" in capsys.readouterr().err
    for wrong in (["--reference", "0", "1"], ["--step", "0"]):
        with pytest.raises(SystemExit) as exit_:
            main([*base, *wrong])
        assert exit_.value.code == 2


def test_the_clip_is_lossless(clip: Path) -> None:
    """What the figures above rest on."""
    for index, rgb in MovieSource(clip).frames(0, FRAMES):
        assert np.array_equal(rgb, picture(index))
