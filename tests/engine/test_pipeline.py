"""The whole way with the default system: a real portrait, a real driver, what is kept and what is said."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from engine import catalog, systems
from engine.catalog import SystemInfo
from engine.errors import EngineError
from engine.face.model import DEFAULT_PATH
from engine.geometry.frame_inputs import FrameInputs, PortraitInputs
from engine.media.image import encode_png, read_image
from engine.media.movie import MovieSource
from engine.motion.motion import Motion
from engine.pipeline import fitted, render
from engine.protocol import Driving, Job
from engine.systems.base import Portrait, Subject, System
from engine.takes.fingerprint import content_hash
from engine.tracking.registry import create
from tests.engine.conftest import Engine
from tests.engine.faces import portrait_face, portrait_rgb, sample_frames

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "driving_sample.mp4"
FRAMES = ((1001, 8), (1002, 14), (1004, 14), (1005, 12))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a public-domain portrait in it."""
    folder = tmp_path_factory.mktemp("Pult é")
    (folder / "astronaut.png").write_bytes(encode_png(data.astronaut()[:256, 96:352]))
    return folder


def make_job(desk: Path, **fields: Any) -> Job:
    base: dict[str, Any] = {
        "system": "mesh_warp",
        "portraits": (str(desk / "astronaut.png"),),
        "driving": Driving("movie", str(SAMPLE)),
        "frames": FRAMES,
        "fps": (24, 1),
        "output": str(desk / "out"),
        "shot": "shot",
        "analysed": (8, 15),
    }
    return Job(**base | fields)


def run(job: Job) -> tuple[list[dict[str, Any]], Path, dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    assert render(job, messages.append, lambda: False)
    folder = next(Path(m["folder"]) for m in messages if m["type"] == "take")
    return messages, folder, json.loads((folder / f"{folder.name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def take(desk: Path) -> tuple[list[dict[str, Any]], Path, dict[str, Any]]:
    return run(make_job(desk))


def test_the_take_is_whole_and_its_record_complete(take: tuple, desk: Path) -> None:
    messages, folder, record = take
    assert record["state"] == "done" and record["frames"] == [[o, s, "ok"] for o, s in FRAMES]
    for output, _ in FRAMES:
        assert read_image(folder / f"{folder.name}.{output}.png").shape == (256, 256, 3)
    used = [(entry["role"], Path(entry["path"]), entry["sha256"]) for entry in record["inputs"]]
    assert [(role, path) for role, path, _ in used[:3]] == [
        ("portrait", desk / "astronaut.png"),
        ("driving", SAMPLE),
        ("weights", DEFAULT_PATH),
    ]
    for _, path, sha256 in used:
        assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {role for role, _, _ in used[3:]} == {"weights"}
    assert {path.name for _, path, _ in used[3:]} >= {"face_mesh.onnx", "selfie_segmentation.onnx"}
    assert 8 <= record["notes"]["neutral_frame"] <= 14
    assert {"portraits", "prepare", "analyse", "draw", "write"} <= set(record["seconds"])
    phases = [(m["phase"], m["done"], m["total"]) for m in messages if m["type"] == "progress"]
    assert ("analyse", 7, 7) in phases and ("render", 4, 4) in phases


def test_the_face_moves_and_a_repeated_source_frame_is_the_same_picture(take: tuple) -> None:
    _, folder, _ = take
    pictures = [read_image(folder / f"{folder.name}.{output}.png").astype(int) for output, _ in FRAMES]
    assert np.array_equal(pictures[1], pictures[2])
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.2


def test_the_motion_it_leaves_renders_the_same_take_again(take: tuple, desk: Path) -> None:
    _, folder, _ = take
    kept = folder / f"{folder.name}.motion.npz"
    assert (Motion.load(kept).start, Motion.load(kept).stop) == (8, 15)
    messages, again, record = run(make_job(desk, driving=Driving("motion", str(kept))))
    assert not any(m["type"] == "progress" and m["phase"] == "analyse" for m in messages)
    assert record["notes"]["neutral_frame"] == take[2]["notes"]["neutral_frame"]
    for output, _ in FRAMES:
        pictures = [read_image(f / f"{f.name}.{output}.png") for f in (folder, again)]
        assert np.array_equal(pictures[0], pictures[1])
    with pytest.raises(EngineError, match="8 to 14"):
        render(
            make_job(desk, driving=Driving("motion", str(kept)), frames=((1001, 15),), analysed=None),
            lambda message: None,
            lambda: False,
        )


def test_a_take_moves_as_its_fingerprint_says_whatever_happened_to_its_motion_file(take: tuple, desk: Path) -> None:
    _, folder, _ = take
    source = Motion.load(folder / f"{folder.name}.motion.npz")
    source.save(desk / "source.motion.npz")
    job = make_job(desk, driving=Driving("motion", str(desk / "source.motion.npz")), output=str(desk / "damaged"))
    _, part, _ = run(replace(job, frames=FRAMES[:1]))
    kept = part / f"{part.name}.motion.npz"
    replace(source, expression=source.expression[::-1]).save(kept)
    run(replace(job, frames=FRAMES[1:3], take="v001"))
    kept.write_bytes(kept.read_bytes()[:-100])
    run(replace(job, frames=FRAMES[3:], take="v001"))
    for output, _ in FRAMES:
        whole, pieced = (read_image(f / f"{f.name}.{output}.png") for f in (folder, part))
        assert np.array_equal(whole, pieced), output
    assert content_hash(Motion.load(kept)) == content_hash(source)


def test_the_whole_driver_is_analysed_unless_a_range_is_stated(desk: Path) -> None:
    plates = desk / "few"
    plates.mkdir()
    names = tuple(f"p.{i}.png" for i in range(6))
    for name, rgb in zip(names, sample_frames()[8:], strict=False):
        (plates / name).write_bytes(encode_png(rgb))
    driving = Driving("sequence", str(plates), names)
    part: dict[str, Any] = {"driving": driving, "frames": ((1001, 2),), "output": str(desk / "whole")}
    for analysed, extent in ((None, (0, 6)), ((1, 4), (1, 4))):
        _, folder, record = run(make_job(desk, analysed=analysed, neutral_frame=3, motion="relative", **part))
        kept = Motion.load(folder / f"{folder.name}.motion.npz")
        assert (kept.start, kept.stop) == extent
        assert record["notes"]["neutral_frame"] == 3
        assert record["notes"]["motion"]["rotation"] == "relative"
    for wrong in ({"neutral_frame": 5, "analysed": (1, 4)}, {"analysed": (1, 7)}):
        with pytest.raises(EngineError) as fault:
            render(make_job(desk, **part | wrong), lambda message: None, lambda: False)
        assert fault.value.code == "frame_out_of_range"
    (plates / "p.5.png").unlink()
    with pytest.raises(EngineError, match="p.5.png") as fault:
        render(make_job(desk, analysed=None, **part), lambda message: None, lambda: False)
    assert "Source frames 0 to 5 are analysed" in fault.value.remedy


def test_parts_rendered_apart_are_the_whole_to_the_bit(desk: Path) -> None:
    """Two ends of one clip, in one output folder and in another: neutral frame, smoothing and identity are the same."""
    frames = tuple((1001 + i, i) for i in range(0, 48, 9))
    parts: dict[str, Any] = {"motion": "relative", "analysed": None}
    _, whole, record = run(make_job(desk, frames=frames, output=str(desk / "at once"), **parts))
    for part, output in ((frames[:3], "at once"), (frames[3:], "elsewhere")):
        _, folder, apart = run(make_job(desk, frames=part, output=str(desk / output), **parts))
        assert apart["notes"] == record["notes"]
        for number, _ in part:
            files = [f / f"{f.name}.{number}.png" for f in (whole, folder)]
            assert files[0].read_bytes() == files[1].read_bytes()


def test_the_driver_s_own_head_moves_where_it_is_asked_for(desk: Path) -> None:
    takes = [run(make_job(desk, identity=identity)) for identity in ("portrait", "driver")]
    assert [record["notes"]["identity"] for _, _, record in takes] == ["portrait", "driver"]
    assert [Job.from_json(record["job"]).identity for _, _, record in takes] == ["portrait", "driver"]
    for output, _ in FRAMES:
        rebuilt, theirs = (read_image(f / f"{f.name}.{output}.png").astype(int) for _, f, _ in takes)
        assert np.abs(rebuilt - theirs).mean() > 1


def test_no_face_in_the_portrait_is_said_before_there_is_a_take(desk: Path) -> None:
    (desk / "wall.png").write_bytes(encode_png(np.full((200, 200, 3), 90, np.uint8)))
    with pytest.raises(EngineError) as fault:
        render(
            make_job(desk, portraits=(str(desk / "wall.png"),), output=str(desk / "none")),
            lambda message: None,
            lambda: False,
        )
    assert fault.value.code == "no_face" and "wall.png" in fault.value.text
    assert list((desk / "none").iterdir()) == []


def test_footage_without_any_face_leaves_no_take(desk: Path) -> None:
    plates = desk / "plates"
    plates.mkdir()
    for i in range(3):
        (plates / f"p.{i}.png").write_bytes(encode_png(np.full((200, 200, 3), 90 + i, np.uint8)))
    driving = Driving("sequence", str(plates), tuple(f"p.{i}.png" for i in range(3)))
    with pytest.raises(EngineError) as fault:
        render(
            make_job(
                desk, driving=driving, frames=((1001, 0), (1002, 2)), output=str(desk / "faceless"), analysed=None
            ),
            lambda message: None,
            lambda: False,
        )
    assert fault.value.code == "no_face"
    assert not list((desk / "faceless").glob("shot_*"))


def test_frames_without_a_face_hold_the_pose_and_are_listed(desk: Path) -> None:
    plates = desk / "gap"
    plates.mkdir()
    portrait = read_image(desk / "astronaut.png")
    covered = portrait.copy()
    covered[10:170, 50:210] = 90
    for i in range(8):
        (plates / f"p.{i}.png").write_bytes(encode_png(covered if i in (4, 5) else portrait))
    driving = Driving("sequence", str(plates), tuple(f"p.{i}.png" for i in range(8)))
    frames = tuple((1001 + i, i) for i in range(8))
    messages, _, record = run(make_job(desk, driving=driving, frames=frames, analysed=None))
    assert [row[2] for row in record["frames"]] == ["ok"] * 4 + ["held"] * 2 + ["ok"] * 2
    assert [w["code"] for w in record["warnings"]] == ["frames_without_face"]
    assert sum(m["type"] == "warning" for m in messages) == 1


def test_cancel_while_analysing_stops_within_a_second(start_engine: Callable[..., Engine], desk: Path) -> None:
    engine = start_engine()
    frames = tuple((1001 + i, i % 48) for i in range(48))
    engine.send({"type": "job", **make_job(desk, frames=frames, output=str(desk / "stopped"), analysed=None).to_json()})
    messages = engine.until("progress")
    while messages[-1].get("phase") != "analyse" or messages[-1]["done"] < 4:
        messages.append(engine.receive())
    asked = time.monotonic()
    engine.send({"type": "cancel"})
    done = engine.until("done")[-1]
    assert time.monotonic() - asked < 1.0
    assert (done["cancelled"], done["frames"], done["folder"]) == (True, 0, "")
    assert not list((desk / "stopped").glob("shot_*"))


def test_footage_is_analysed_once_for_all_takes(desk: Path) -> None:
    """The second take draws the same pictures from the analysis of the first; a damaged analysis is made again."""
    job = make_job(desk, frames=((1001, 3), (1002, 5)), analysed=(3, 6), output=str(desk / "once"))
    _, first, _ = run(job)
    [kept] = (desk / "once" / "motion").glob("*.motion.npz")
    made = kept.stat().st_mtime_ns
    messages, second, _ = run(job)
    assert kept.stat().st_mtime_ns == made
    assert {m["done"] for m in messages if m.get("phase") == "analyse"} == {0, 3}
    kept.write_bytes(kept.read_bytes()[:-20])
    _, third, _ = run(job)
    assert Motion.load(kept).start == 3
    pictures = [[p.read_bytes() for p in sorted(folder.glob("*.png"))] for folder in (first, second, third)]
    assert pictures[0] == pictures[1] == pictures[2]


def test_a_portraits_face_is_remembered_while_its_picture_stays() -> None:
    rgb = portrait_rgb()
    with closing(create("builtin")) as detector:
        (first,) = fitted([Portrait(Path("a.png"), rgb)], detector)
        (again,) = fitted([Portrait(Path("b.png"), rgb.copy())], detector)
        (other,) = fitted([Portrait(Path("a.png"), np.ascontiguousarray(rgb[:, ::-1]))], detector)
    assert again.face is first.face and again.path == Path("b.png")
    assert first.face is not None and other.face is not None
    assert np.abs(first.face.observation.landmarks68 - other.face.observation.landmarks68).max() > 1


class Seeing(Subject):
    """Records what it is told, and shows it."""

    told: list[FrameInputs] = []

    def draw(self, inputs: FrameInputs) -> np.ndarray:
        self.told.append(inputs)
        return inputs["frame"]


class Seer(System):
    name = "seer"

    def subject(self, portraits: list[PortraitInputs]) -> Subject:
        return Seeing(portraits)


SEER = SystemInfo(
    "seer", "Seer", "", 99, f"{__name__}:Seer", needs=("frame", "driver_image", "expression"), window=2, portraits=1
)


def test_a_system_is_one_class_and_one_entry(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the footage's own frames, in step, and a window of motion that is clamped at the ends."""
    monkeypatch.setitem(catalog.SYSTEMS_BY_NAME, "seer", SEER)
    Seeing.told.clear()
    _, folder, record = run(make_job(desk, system="seer", frames=((1001, 8), (1002, 12), (1003, 10))))
    assert [row[2] for row in record["frames"]] == ["ok"] * 3
    source = MovieSource(SAMPLE)
    with closing(source.frames(0, 13)) as frames:
        shown = dict(frames)
    for inputs, frame in zip(Seeing.told, (8, 12, 10), strict=True):
        np.testing.assert_array_equal(inputs["driver_image"], shown[frame])
    first, last, middle = (inputs["expression"] for inputs in Seeing.told)
    assert first.shape == last.shape == middle.shape and len(middle) == 5
    np.testing.assert_array_equal(first[4], middle[2])
    np.testing.assert_array_equal(last[2], middle[4])
    np.testing.assert_array_equal(read_image(folder / f"{folder.name}.1001.png"), Seeing.told[0]["frame"])


@pytest.mark.parametrize(("limit", "drawn"), [(1, 1), (2, 2), (None, 3)])
def test_a_system_draws_from_as_many_portraits_as_it_takes(
    limit: int | None, drawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog.SYSTEMS_BY_NAME, "seer", replace(SEER, portraits=limit, needs=("source_image",)))
    portraits = [Portrait(Path(f"{k}.png"), portrait_rgb(), portrait_face()) for k in range(3)]
    subject = systems.create("seer", {}).prepare(portraits)
    assert len(subject.portraits) == drawn
    assert all(portrait["source_image"].shape == (256, 256, 3) for portrait in subject.portraits)


def test_a_system_that_looks_at_the_driver_needs_footage(
    desk: Path, take: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog.SYSTEMS_BY_NAME, "seer", SEER)
    folder = take[1]
    driving = Driving("motion", str(folder / f"{folder.name}.motion.npz"))
    with pytest.raises(EngineError) as caught:
        render(make_job(desk, system="seer", driving=driving), lambda message: None, lambda: False)
    assert caught.value.code == "no_footage"
