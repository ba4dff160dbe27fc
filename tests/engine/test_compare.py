"""``evaluate compare`` from end to end: the static copy and mesh_warp on the repository's own clip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from engine.errors import EngineError
from engine.evaluation import landmarkers
from engine.evaluation.cli import main
from engine.evaluation.compare import encoded_again
from engine.evaluation.judge import Judge
from engine.evaluation.pictures import Picture
from engine.evaluation.scores import angles
from engine.face.detector import Observation
from engine.face.mediapipe_detector import MediaPipeDetector
from engine.media.image import encode_png, read_image
from tests.engine.faces import sample_frames

FRAMES = (0, 20, 24, 28)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of stills: four frames of the sample clip, and a portrait, twice."""
    folder = tmp_path_factory.mktemp("clips")
    for name, pictures in (
        ("acting é", [sample_frames()[i] for i in FRAMES]),
        ("sitting", [np.ascontiguousarray(astronaut()[:320, 80:368])] * 2),
    ):
        (folder / name).mkdir()
        for index, rgb in enumerate(pictures):
            (folder / name / f"{index}.png").write_bytes(encode_png(rgb))
    (folder / "notes.txt").write_text("not a clip")
    return folder


@pytest.fixture(scope="module")
def compared(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    out = tmp_path_factory.mktemp("out")
    arguments = ["compare", "null", "mesh_warp", "null", "--set", str(clips), "--landmarker", "mediapipe"]
    assert main([*arguments, "--out", str(out)]) == 0
    return out, json.loads((out / "compare.json").read_text())


def figures(record: dict) -> dict[str, dict[str, float | None]]:
    """Contestant → metric → value."""
    return {
        contestant["label"]: {name: figure["value"] for name, figure in contestant["figures"].items()}
        for contestant in record["contestants"]
    }


def test_floor_systems_and_ceiling_stand_side_by_side(compared: tuple[Path, list[dict]]) -> None:
    own, cross = compared[1]
    assert [(r["mode"], len(r["shots"])) for r in (own, cross)] == [("self", 2), ("cross", 2)]
    assert list(figures(own)) == ["copy of the source", "null", "mesh_warp", "truth encoded again"]
    assert list(figures(cross)) == ["copy of the source", "null", "mesh_warp"]  # there is no truth to encode


def test_the_static_system_is_the_floor_and_the_warp_lies_between_it_and_the_ceiling(
    compared: tuple[Path, list[dict]],
) -> None:
    own = figures(compared[1][0])
    floor, still, warp, ceiling = own.values()
    assert floor == still
    for name in ("L1D", "akd-mp", "apd-syn", "aed_exp-syn"):
        low, middle, high = ceiling[name], warp[name], floor[name]
        assert low is not None and middle is not None and high is not None
        assert low < middle < high, name
    assert floor["shape-id"] == 0 and floor["mkr-mp"] == 0


def test_the_figures_are_those_of_the_frames(compared: tuple[Path, list[dict]]) -> None:
    """The first frame is the portrait and is not scored; the second clip does not move at all."""
    own = compared[1][0]
    frames = [sample_frames()[i].astype(float) for i in FRAMES]
    acting = np.mean([np.abs(frame - frames[0]).mean() / 255 for frame in frames[1:]])
    floor = own["contestants"][0]["figures"]["L1D"]
    assert floor["n"] == 4
    assert floor["value"] == pytest.approx(acting / 2)
    again = [np.abs(encoded_again(f.astype(np.uint8)) - f).mean() / 255 for f in frames[1:]]
    by_shot = own["contestants"][-1]["figures"]["L1D"]["shots"]
    assert by_shot[own["shots"][0]] == pytest.approx(np.mean(again))


def test_the_table_says_who_scored_what_is_missing_and_what_stands_in(compared: tuple[Path, list[dict]]) -> None:
    text = (compared[0] / "compare.md").read_text(encoding="utf-8")
    assert "mediapipe, which also drove the systems" in text
    assert "JPEG, quality 90" in text
    assert "| akd-mp px ↓ | AKD |" in text
    assert "difference from null" in text
    assert "- `FID`: Its network does not come with the engine. Give it by --inception FILE." in text
    rows = {line.split()[1] for line in text.splitlines() if line.startswith("| ")}
    assert {"L1D", "akd-mp", "twarp-dis"} <= rows and not {"FID", "LPIPS", "CSIM", "pdist-syn"} & rows


def test_the_picture_has_a_column_for_each(compared: tuple[Path, list[dict]]) -> None:
    own, cross = (read_image(compared[0] / f"compare_{mode}.png") for mode in ("self", "cross"))
    assert own.shape == (20 + 2 * 192, 5 * 192, 3)  # reference, driver, two systems, truth
    assert cross.shape == (20 + 2 * 192, 4 * 192, 3)
    reference, driver, null = (own[20 : 20 + 192, k * 192 : (k + 1) * 192] for k in (0, 1, 2))
    assert np.array_equal(reference, null) and not np.array_equal(reference, driver)


def test_a_landmarker_is_named_for_what_it_did() -> None:
    assert "were driven by face-alignment" in landmarkers.remark("mediapipe", "face-alignment")
    assert "flatter" in landmarkers.remark("mediapipe", "mediapipe")
    assert landmarkers.choose("auto", "face-alignment").name != "face-alignment"


def test_faults_are_one_sentence(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (
        (["nothing", "--set", str(clips)], "nothing"),
        (["null", "--set", str(tmp_path / "nowhere")], "nowhere"),
        (["null", "--set", str(tmp_path)], "0 clips"),
        (["null", "--set", str(clips), "--landmarker", "eyes"], "eyes"),
        (["null", "--pairs", "0"], "--pairs"),
    ):
        assert main(["compare", *arguments]) == 1
        assert word in capsys.readouterr().err


class OnlySixtyEight(MediaPipeDetector):
    """A landmarker as face-alignment is: without dense points."""

    def detect(self, rgb: np.ndarray) -> Observation | None:
        seen = super().detect(rgb)
        return None if seen is None else replace(seen, dense=None, iris=None)


def test_a_landmarker_without_dense_points_fits_here_and_is_refused_where_they_are_needed() -> None:
    eye = landmarkers.Landmarker("mediapipe")
    eye._detector = OnlySixtyEight()
    picture = Picture(sample_frames()[0])
    fit = picture.seen(landmarkers.Fitting(eye))
    assert fit is not None and np.abs(angles(fit.pose.rotation)).max() < 30
    with pytest.raises(EngineError, match="dense points"):
        Judge(OnlySixtyEight()).points(picture.rgb)
