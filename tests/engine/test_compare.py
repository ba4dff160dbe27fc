"""``evaluate compare`` end to end: the static copy and mesh_warp on the repository's own clip."""

from __future__ import annotations

import importlib.util
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from engine.errors import EngineError
from engine.evaluation import compare
from engine.evaluation.cli import main
from engine.evaluation.comparison import Comparison
from engine.evaluation.extractors.landmarks import Fitting, Landmarker, angles, create_landmarker, landmarker_remark
from engine.evaluation.picture import Picture, jpeg
from engine.evaluation.system_spec import parse, parse_all
from engine.evaluation.tables.by_shot import losses
from engine.media.image import encode_png, read_image
from engine.tracking.builtin_detector import BuiltinDetector
from engine.tracking.detector import Observation
from tests.engine.faces import portrait_rgb, sample_frames

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
    portraits = tmp_path_factory.mktemp("portraits")
    (portraits / "collins.png").write_bytes(encode_png(portrait_rgb()))
    (portraits / "nobody.png").write_bytes(encode_png(np.full((64, 64, 3), 90, np.uint8)))
    arguments = ["compare", "null", "mesh_warp", "null", "late=null:delay_ms=1", "--clips", str(clips)]
    arguments += ["--portraits", str(portraits), "--landmarker", "builtin", "--out", str(out)]
    assert main(arguments) == 0
    return out, json.loads((out / "compare.json").read_text())


def figures(record: dict) -> dict[str, dict[str, float | None]]:
    """Column → metric → value."""
    return {
        column["name"]: {name: figure["value"] for name, figure in column["figures"].items()}
        for column in record["columns"]
    }


def test_a_system_may_stand_there_again_with_options(compared: tuple[Path, list[dict]]) -> None:
    late = compared[1][0]["columns"][3]
    assert (late["name"], late["system"], late["options"]) == ("late", "null", {"delay_ms": 1})
    assert parse("null:delay_ms=0.5").label == "null:delay_ms=0.5"
    apart = parse_all(["null", "null:delay_ms=5,fail_at=3", "null", "a=null"])
    assert [entrant.options for entrant in apart] == [{}, {"delay_ms": 5, "fail_at": 3}, {}]
    for text, word in (("null:delay_ms", "delay_ms"), ("=null", "label"), ("null:speed=/a,b/c.onnx", "speed")):
        with pytest.raises(EngineError, match=word):
            parse(text)
    with pytest.raises(EngineError, match="are labelled"):
        parse_all(["a=null", "a=null:delay_ms=1"])


def test_whose_head_moves_is_an_option_of_every_driven_system() -> None:
    own, theirs, named = parse_all(["mesh_warp", "mesh_warp:identity=driver", "own=mesh_warp:identity=portrait"])
    assert [entrant.identity for entrant in (own, theirs, named)] == ["portrait", "driver", "portrait"]
    assert (theirs.label, theirs.options) == ("mesh_warp:identity=driver", {})
    mixed = parse("identity_matched:residual=false,identity=driver")
    assert (mixed.identity, mixed.options) == ("driver", {"residual": False})
    for text, word in (
        ("mesh_warp:identity=me", "'me'"),
        ("mesh_warp:identity=[]", "identity"),
        ("null:identity=driver", "null"),
    ):
        with pytest.raises(EngineError, match=word) as fault:
            parse(text)
        assert fault.value.code == "bad_option"


def test_every_portrait_is_driven_by_the_clips_and_one_without_a_face_by_none(
    compared: tuple[Path, list[dict]],
) -> None:
    cross = compared[1][1]
    assert list(cross["shots"]) == ["collins_by_acting", "collins_by_sitting"]
    assert any("nobody" in remark and "no face" in remark for remark in cross["remarks"])


def test_takes_are_listed_one_by_one_with_wins_and_exceptions(compared: tuple[Path, list[dict]]) -> None:
    own = compared[1][0]
    text = (compared[0] / "compare.md").read_text(encoding="utf-8")
    assert "Shot by shot: copy of the source / null / mesh_warp / late / truth encoded again." in text
    assert [shot["frames"] for shot in own["shots"].values()] == [3, 1]
    assert "mesh_warp better than null in" in text
    for loss in losses(Comparison.from_json(own)):
        assert loss.system == "mesh_warp" and loss.worse_by > 0.05  # late is no worse than null


def test_floor_systems_and_ceiling_stand_side_by_side(compared: tuple[Path, list[dict]]) -> None:
    own, cross = compared[1]
    assert [(r["direction"], len(r["shots"])) for r in (own, cross)] == [("self", 2), ("cross", 2)]
    people = [[shot["person"] for shot in record["shots"].values()] for record in (own, cross)]
    assert people == [["acting", "sitting"], ["collins", "collins"]]
    assert ": 2 shots of one person" in (compared[0] / "compare.md").read_text(encoding="utf-8")
    assert list(figures(own)) == ["copy of the source", "null", "mesh_warp", "late", "truth encoded again"]
    assert list(figures(cross)) == ["copy of the source", "null", "mesh_warp", "late"]  # there is no truth to encode


def test_the_static_system_is_the_floor_and_the_warp_lies_between_it_and_the_ceiling(
    compared: tuple[Path, list[dict]],
) -> None:
    own = figures(compared[1][0])
    floor, still, warp, late, ceiling = own.values()
    assert floor == still == late
    for name in ("L1D", "L1D mouth", "L1D eyes", "akd-mp", "apd-mp", "aed_exp-mp"):
        low, middle, high = ceiling[name], warp[name], floor[name]
        assert low is not None and middle is not None and high is not None
        assert low < middle < high, name
    assert floor["shape-id-mp"] == 0 and floor["mkr-mp"] == 0


def test_the_figures_are_those_of_the_frames(compared: tuple[Path, list[dict]]) -> None:
    """The first frame is the portrait and is not scored; the second clip does not move at all."""
    own = compared[1][0]
    frames = [sample_frames()[i].astype(float) for i in FRAMES]
    acting = np.mean([np.abs(frame - frames[0]).mean() / 255 for frame in frames[1:]])
    floor = own["columns"][0]["figures"]["L1D"]
    assert floor["n"] == 4
    assert floor["value"] == pytest.approx(acting / 2)
    again = [np.abs(jpeg(f.astype(np.uint8)) - f).mean() / 255 for f in frames[1:]]
    by_shot = own["columns"][-1]["figures"]["L1D"]["shots"]
    assert by_shot["acting"] == pytest.approx(np.mean(again))


def test_the_table_says_who_scored_what_is_missing_and_what_stands_in(compared: tuple[Path, list[dict]]) -> None:
    text = (compared[0] / "compare.md").read_text(encoding="utf-8")
    assert "builtin, which also drove the systems" in text
    assert "JPEG, quality 90" in text
    assert "| akd-mp px ↓ † | AKD |" in text
    assert "difference from null" in text
    assert "- `FID`: Its network does not come with the engine. Give it by --inception FILE." in text
    rows = {line.split()[1] for line in text.splitlines() if line.startswith("| ")}
    assert {"L1D", "akd-mp", "twarp-dis"} <= rows and not {"FID", "LPIPS", "CSIM"} & rows
    assert ("pdist-syn" in rows) == (importlib.util.find_spec("torch") is not None)


def test_the_picture_has_a_column_for_each(compared: tuple[Path, list[dict]]) -> None:
    own, cross = (read_image(compared[0] / f"compare_{mode}.png") for mode in ("self", "cross"))
    assert own.shape == (20 + 2 * 192, 6 * 192, 3)  # reference, driver, three systems, truth
    assert cross.shape == (20 + 2 * 192, 5 * 192, 3)
    regions = read_image(compared[0] / "compare_self_regions.png")
    assert regions.shape == (20 + 2 * 3 * 192, 6 * 192, 3)  # mouth, eyes and far cheek of every shot
    reference, driver, null = (own[20 : 20 + 192, k * 192 : (k + 1) * 192] for k in (0, 1, 2))
    assert np.array_equal(reference, null) and not np.array_equal(reference, driver)


def test_a_landmarker_is_named_for_what_it_did() -> None:
    assert "were driven by face-alignment" in landmarker_remark("builtin", "face-alignment")
    assert "flatter" in landmarker_remark("builtin", "builtin")
    for driver in ("builtin", "face-alignment", "understudy"):
        with closing(create_landmarker("auto", driver)) as scorer:
            assert scorer.name != driver


def test_faults_are_one_sentence(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (
        (["nothing", "--clips", str(clips)], "nothing"),
        (["null", "--clips", str(tmp_path / "nowhere")], "nowhere"),
        (["null", "--clips", str(tmp_path)], "0 clips"),
        (["null", "--clips", str(clips), "--landmarker", "eyes"], "eyes"),
        (["null", "--clips", str(clips), "--count", "0"], "--count"),
        (["null", "--clips", str(clips), "--against", "mesh_warp"], "mesh_warp"),
        (["null", "--clips", str(clips), "--portraits", str(tmp_path)], "no portraits"),
        (["mesh_warp", "--clips", str(clips), "--true-motion", "mesh_warp"], "true motion"),
    ):
        assert main(["compare", *arguments]) == 1
        assert word in capsys.readouterr().err


class OnlySixtyEight(BuiltinDetector):
    """A landmarker as face-alignment is: without dense points."""

    def detect(self, rgb: np.ndarray) -> Observation | None:
        seen = super().detect(rgb)
        return None if seen is None else replace(seen, dense=None, iris=None)


def test_the_face_model_is_fitted_to_a_landmarker_without_dense_points() -> None:
    fit = Picture(sample_frames()[0]).extract(Fitting(Landmarker(OnlySixtyEight())))
    assert fit is not None and np.abs(angles(fit.pose.rotation)).max() < 30


def test_an_interrupted_run_leaves_its_figures(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first shot has two frames, the second four, of which the system draws three."""
    monkeypatch.setattr(compare, "_SAVE_EVERY", 1)
    arguments = ["compare", "null:fail_at=3", "--clips", str(clips), "--direction", "cross", "--out", str(tmp_path)]
    assert main([*arguments, "--landmarker", "builtin"]) == 1
    assert "Asked to fail" in capsys.readouterr().err
    assert [list(record["shots"]) for record in json.loads((tmp_path / "compare.json").read_text())] == [
        ["acting_by_sitting"]
    ]
