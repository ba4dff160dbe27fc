"""``evaluate compare`` on the studio's held-out people, at the smallest size that shows anything."""

from __future__ import annotations

import functools
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.evaluation.cli import main
from engine.evaluation.datasets import rendered_takes
from engine.evaluation.datasets.pairs import Pairs, rendered_pairs
from engine.evaluation.datasets.rendered_takes import RenderedTakes
from engine.evaluation.datasets.shards import ShardPairs
from engine.evaluation.extractors.landmarks import angles, create_landmarker
from engine.evaluation.metrics.suite import MetricSuite, WeightPaths
from engine.evaluation.runner import Runner, Tools
from engine.evaluation.system_spec import parse_all
from engine.media.image import read_image
from engine.motion.motion import Motion
from engine.tracking import registry as detectors
from engine.training import perceptual
from engine.training.sample import Pair
from engine.training.shard_writer import USUAL, build
from tests.engine.faces import degrees_between
from tests.training.heads import PlainHeads

SIZE = 160


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    out = tmp_path_factory.mktemp("out")
    torch.manual_seed(0)
    state = {f"eye.{name}": tensor for name, tensor in perceptual.Residual().state_dict().items()}
    save_file(state, str(out / "net.safetensors"), {"task": "perceptual", "options": '{"kind": "residual"}'})
    arguments = [
        "compare",
        "null",
        "mesh_warp",
        "--rendered",
        "pairs",
        "--count",
        "2",
        "--size",
        str(SIZE),
        "--out",
        str(out),
    ]
    assert main([*arguments, "--landmarker", "builtin", "--metric-net", str(out / "net.safetensors")]) == 0
    return out, json.loads((out / "compare.json").read_text())


def label(column: dict) -> str:
    return column["name"] + ", true motion" * column["true_motion"]


def figure(record: dict, wanted: str, name: str) -> float:
    found = next(column for column in record["columns"] if label(column) == wanted)
    return found["figures"][name]["value"]


def test_systems_are_driven_by_fitted_and_by_true_motion(compared: tuple[Path, list[dict]]) -> None:
    labels = ["copy of the source", "null", "mesh_warp", "mesh_warp, true motion", "truth encoded again"]
    assert [r["direction"] for r in compared[1]] == ["self", "cross"]
    for record in compared[1]:
        assert [label(column) for column in record["columns"]] == labels
        assert record["shots"] and all(shot["yaw"] is not None for shot in record["shots"].values())
    assert "| akd-mp px ↓ † | 0–20° |" in (compared[0] / "compare.md").read_text(encoding="utf-8")


def test_true_motion_drives_only_the_systems_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(create_landmarker("builtin", "understudy")) as landmarker:
        suite = MetricSuite(landmarker, landmarker, WeightPaths(), "understudy")
        tools = Tools(suite, detectors.create("builtin"), tmp_path)
        specs = parse_all(["mesh_warp", "again=mesh_warp"])
        columns = Runner(Pairs("plain", PlainHeads(), 1, 64, "self"), specs, tools, ["again"]).comparison().systems
    assert [column.label for column in columns] == ["mesh_warp", "again", "again, true motion"]
    assert main(["compare", "mesh_warp", "--rendered", "pairs", "--true-motion", "nobody"]) == 1
    assert "'nobody'" in capsys.readouterr().err


def test_the_landmarks_of_the_truth_are_exact(compared: tuple[Path, list[dict]]) -> None:
    """The ceiling is not zero, since a landmarker looks at it; moved heads come nearer to it than the floor."""
    for record in compared[1]:
        floor, ceiling = (figure(record, name, "akd-mp") for name in ("copy of the source", "truth encoded again"))
        assert 0 < ceiling < floor
        for system in ("mesh_warp", "mesh_warp, true motion"):
            assert figure(record, system, "akd-mp") < floor
        assert record["columns"][-1]["figures"]["L1D"]["n"] == len(record["shots"])


def test_our_own_network_stands_in_under_names_of_its_own(compared: tuple[Path, list[dict]]) -> None:
    """Its weights are random here, which is enough to tell a copy from another picture."""
    own = compared[1][0]
    for name in ("pdist-syn", "bin-pdist-syn yaw", "aed_id-syn"):
        floor, ceiling = (figure(own, label, name) for label in ("copy of the source", "truth encoded again"))
        assert 0 < ceiling < floor, name
    assert figure(own, "copy of the source", "idsim-syn") == pytest.approx(1)
    assert own["columns"][0]["figures"]["fd-syn"]["value"] is None  # of two pictures there is no distribution
    text = (compared[0] / "compare.md").read_text(encoding="utf-8")
    assert "no fd-syn below 10 pictures" in text and "| pdist-syn ↓ | LPIPS |" in text


def test_pairs_show_each_person_once_and_never_the_portrait_again() -> None:
    samples = rendered_pairs(None, cross=False)
    pairs = [samples.pair(number, 64) for number in (0, 1, 2)]
    assert len({pair.source.person for pair in pairs}) == 3
    for pair in pairs:
        assert pair.source.person == pair.driving.person
        assert not np.array_equal(pair.source.image, pair.driving.image)
    again = rendered_pairs(None, cross=False).pair(2, 64)
    assert np.array_equal(again.driving.image, pairs[2].driving.image)


def test_shots_of_one_person_come_together(tmp_path: Path) -> None:
    """Three people take turns without order."""
    heads, count = PlainHeads(people=3), 6
    drawn = [heads.pair(number, 128).source.person for number in range(count)]
    assert drawn != sorted(drawn, key=drawn.index)
    shots = Pairs("plain", heads, count, 128, "self").shots(tmp_path, detectors.create("builtin"))
    shown = [next(iter(shot.load())).identity for shot in shots]
    assert shown == [f"person {person}" for person in sorted(drawn, key=drawn.index)]


class Doubled(PlainHeads):
    """Every other pair shows one frame twice; the motion of the others is claimed to be on someone else too."""

    def __init__(self, kind: str) -> None:
        super().__init__(people=3)
        self._kind = kind

    def describe(self) -> dict[str, object]:
        return {"kind": self._kind}

    def pair(self, number: int, size: int) -> Pair:
        pair, other = super().pair(number, size), super().pair(number + 50, size)
        driving = pair.source if number % 2 == 0 else pair.driving
        return replace(pair, driving=driving, cross_source=other.source, cross=other.driving)


def shards(folder: Path, **options) -> Path:
    build(folder, functools.partial(PlainHeads, people=3), 3, 128, **options)
    return folder


def test_a_folder_of_shards_is_a_set_of_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Smaller than is asked for, and without anyone else who moves so."""
    out = tmp_path / "out"
    arguments = ["compare", "null", "mesh_warp", "--shards", str(shards(tmp_path / "plain é")), "--count", "2"]
    assert main([*arguments, "--landmarker", "builtin", "--out", str(out)]) == 0
    assert "no cross" in capsys.readouterr().err
    (record,) = json.loads((out / "compare.json").read_text())
    assert (record["dataset"], record["direction"], len(record["shots"])) == ("plain é", "self", 2)
    drawn = [PlainHeads(people=3).pair(number, 128) for number in range(2)]
    assert [shot["person"] for shot in record["shots"].values()] == [f"person {pair.source.person}" for pair in drawn]
    apart = [np.abs(np.subtract(p.source.image, p.driving.image, dtype=float)).mean() / 255 for p in drawn]
    assert figure(record, "copy of the source", "L1D") == pytest.approx(np.mean(apart))
    for system in ("mesh_warp", "mesh_warp, true motion"):
        assert figure(record, system, "akd-mp") < figure(record, "copy of the source", "akd-mp")
    assert main([*arguments, "--direction", "cross"]) == 1
    assert "have no second person" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["plain heads", "footage"])
def test_stored_pairs_are_of_two_frames_and_exact_unless_they_were_measured(tmp_path: Path, kind: str) -> None:
    build(tmp_path / "s", functools.partial(Doubled, kind), 4, 128, cross=True)
    samples, made = ShardPairs(tmp_path / "s", 8), Doubled(kind)
    assert (len(samples), samples.size, samples.cross) == (2, 128, True)
    for number, stored in enumerate((1, 3)):
        assert np.array_equal(samples.pair(number, 128).driving.image, made.pair(stored, 128).driving.image)
    eye = detectors.create("builtin")
    for direction in ("self", "cross"):
        test = Pairs("stored", samples, 2, 128, direction)
        assert test.exact == (kind != "footage")
        shots = list(test.shots(tmp_path, eye))
        shown = {next(iter(shot.load())).identity for shot in shots}
        if direction == "cross":
            assert shown == (
                set()
                if kind == "footage"
                else {f"person {PlainHeads(people=3).pair(k + 50, 128).driving.person}" for k in (1, 3)}
            )
        else:
            assert len(shots) == 2 and all((shot.true_driving is None) != test.exact for shot in shots)


def test_shards_that_lack_a_label_are_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shards(tmp_path / "bare", fields=tuple(name for name in USUAL if name not in ("gaze", "focal")))
    assert main(["compare", "null", "--shards", str(folder)]) == 1
    fault = capsys.readouterr().err
    assert "bare lacks gaze, focal" in fault and len(fault.strip().splitlines()) <= 2


def test_the_true_motion_of_cross_is_that_of_the_driver_on_the_others_face(tmp_path: Path) -> None:
    samples = rendered_pairs(None, cross=True)
    test = Pairs("synthetic", samples, 1, SIZE, "cross")
    shot = next(iter(test.shots(tmp_path, detectors.create("builtin"))))
    assert shot.true_driving is not None
    exact, fitted = (Motion.load(Path(d.path)) for d in (shot.true_driving, shot.driving))
    pair = samples.pair(0, SIZE)
    assert pair.driving.expression is not None and pair.driving.rotation is not None
    assert exact.expression[1] == pytest.approx(pair.driving.expression, abs=1e-6)
    assert exact.rotation[1] == pytest.approx(pair.driving.rotation, abs=1e-5)
    assert exact.translation[1] == pytest.approx(fitted.translation[1])  # both from the labels
    missed, turned = (
        degrees_between(rotation, exact.rotation[1]) for rotation in (fitted.rotation[1], exact.rotation[0])
    )
    assert missed < turned
    (frame,) = shot.load()
    assert np.array_equal(read_image(shot.portrait), frame.source.rgb)


def test_a_turning_head_passes_every_angle_and_flows_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sixth degree here, to save time."""
    monkeypatch.setattr(rendered_takes, "BIN", 6)
    test = RenderedTakes("turning", None, 1, 96, "self")
    shot = next(iter(test.shots(tmp_path, detectors.create("builtin"))))
    frames = list(shot.load())
    yaws = [angles(frame.rotation)[0] for frame in frames if frame.rotation is not None]
    assert yaws == pytest.approx([yaw for yaw in range(-60, 61, 6) if yaw], abs=0.1)
    assert tuple(frame.index for frame in frames) == shot.frames
    before, after = frames[12], frames[13]
    assert before.truth and after.truth and after.flow is not None and after.flow_visible is not None
    y, x = np.nonzero(after.flow_visible)
    there = np.rint(np.stack([x, y]) + after.flow[y, x].T.astype(float)).astype(int).clip(0, 95)
    now = after.truth.rgb[y, x].astype(float)
    followed, stayed = (np.abs(now - before.truth.rgb[p[1], p[0]]).mean() for p in (there, np.stack([x, y])))
    assert followed < 0.7 * stayed
