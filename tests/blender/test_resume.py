"""Takes that several runs finish: the list of what is on disk, Resume, and chunks that join."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.blender.addon import ROOT, add_movie, addon, bpy, takes

compat = addon("tool.compat")
core_takes = addon("core.takes")
note_of = addon("tool.take").note_of
main = addon("cli").main
of_scene = addon("ui.takes").of_scene


def listed() -> list[tuple[str, int, int]]:
    """What the panel lists: the take's name, the frames that are there, the frames asked for."""
    bpy.ops.understudy.refresh_takes()
    return [(take.name, take.done, take.total) for take in of_scene(compat.sequencer_scene(bpy.context))]


def output() -> Path:
    return Path(bpy.data.filepath).parent / "understudy"


def numbers(name: str) -> list[int]:
    return core_takes.TakeFolder(output() / name).frames()


def test_a_take_is_listed_after_its_run_and_found_though_nothing_was_saved(shot):
    file = bpy.data.filepath
    bpy.ops.understudy.render(frames="1001-1004")
    found = [take.name for take in of_scene(compat.sequencer_scene(bpy.context))]
    assert found == ["Einstellung_4_understudy_v001"], "without pressing Refresh"
    bpy.ops.wm.open_mainfile(filepath=file)
    assert not takes(bpy.data.scenes[0])
    assert listed() == [("Einstellung_4_understudy_v001", 4, 4)]
    assert bpy.ops.understudy.add_take() == {"FINISHED"}
    (strip,) = takes(bpy.data.scenes[0])
    assert compat.handles(strip) == (1001, 1005) and strip.channel == 2
    assert note_of(strip)["complete"]


def test_the_list_tells_unfinished_takes_and_the_scenes_own_come_first(shot):
    bpy.ops.understudy.render(frames="1001-1004")
    folder = output() / "Einstellung_4_understudy_v001"
    (folder / f"{folder.name}.1002.png").unlink()
    (folder / f".{folder.name}.1002.png.tmp").touch()
    (folder / f"{folder.name}.1009.png").touch()
    shot.understudy.shot = "another"
    bpy.ops.understudy.render(frames="1001-1002")
    (output() / "something_else").mkdir()
    broken = output() / "broken_understudy_v012"
    broken.mkdir()
    (broken / f"{broken.name}.json").write_text("{")
    assert listed() == [
        ("another_understudy_v001", 2, 2),
        ("Einstellung_4_understudy_v001", 4, 5),
        ("broken_understudy_v012", 0, 0),
    ]


def test_the_list_is_not_in_the_file(shot, project):
    bpy.ops.understudy.render(frames="1001")
    bpy.ops.wm.save_mainfile()
    assert not bpy.context.window_manager.understudy.takes
    assert listed() == [("Einstellung_4_understudy_v001", 1, 1)]


def test_each_scene_lists_the_takes_in_its_own_output_folder(shot, media, project):
    bpy.ops.understudy.render(frames="1001")
    other = bpy.data.scenes.new("Schnitt")
    other.understudy.output = str(project / "elsewhere")
    other.understudy.system = "null"
    addon("tool.scene").add_portrait(other, media / "portrait.png")
    add_movie(other, media / "index_24.mp4")
    bpy.ops.understudy.render(scene=other.name, frames="1001-1002")
    assert [(take.done, take.output) for take in of_scene(shot)] == [(1, str(output()))]
    assert [(take.done, take.output) for take in of_scene(other)] == [(2, other.understudy.output)]
    assert not bpy.ops.understudy.add_take.poll(), "what is chosen is another scene's"
    shot.understudy.shot = "new name"
    assert listed() == [("Einstellung_4_understudy_v001", 1, 1)]
    assert bpy.ops.understudy.add_take.poll()


def test_without_an_output_folder_the_list_is_empty(shot):
    assert listed() == []
    shot.understudy.output = ""
    assert listed() == []
    assert not bpy.ops.understudy.add_take.poll() and not bpy.ops.understudy.open_take.poll()


@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_an_unfinished_take_is_resumed_and_its_strip_grows(shot, end):
    shot.understudy.options.null.delay_ms = 60.0
    reenactment = addon("tool.reenact").Reenactment(shot, "1001-1020")
    run = reenactment.run
    while len(run.frames) < 4:
        run.tick(0.1)
    run.cancel() if end == "cancelled" else run._child._process.kill()
    reenactment.wait()
    reenactment.land()
    (strip,) = takes(shot)
    assert 4 <= len(strip.elements) < 20 and not note_of(strip)["complete"]
    ((name, done, total),) = listed()
    assert (done, total) == (len(run.frames), 20)
    kept = {path: path.stat().st_mtime_ns for path in output().glob("*/*.png")}

    assert bpy.ops.understudy.render(take="v001", frames="1001-1020") == {"FINISHED"}
    assert listed() == [(name, 20, 20)]
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in output().glob("*/*.png")}.items()
    (strip,) = takes(shot)
    assert compat.handles(strip) == (1001, 1021) and strip.channel == 2 and note_of(strip)["complete"]


def test_a_resumed_take_says_how_many_frames_were_there(shot, capfd):
    main(["render", "--frames", "1001-1010"])
    assert main(["render", "--frames", "1005-1014", "--take", "latest"]) == 0
    assert "10 of 10 frames in" in (said := capfd.readouterr().out) and "(6 were there before)" in said
    assert listed() == [("Einstellung_4_understudy_v001", 14, 14)]


def test_a_take_made_with_other_settings_is_refused(shot, capfd):
    main(["render", "--frames", "1001-1004"])
    shot.understudy.motion = "absolute"
    assert main(["render", "--frames", "1001-1008", "--take", "v001"]) == 1
    assert "understudy: " in capfd.readouterr().err
    assert numbers("Einstellung_4_understudy_v001") == [1001, 1002, 1003, 1004]
    assert not (output() / "Einstellung_4_understudy_v002").exists()


def test_a_version_that_is_not_there_yet_is_made(shot):
    """So that several hosts can start one take together, in any order."""
    assert main(["render", "--frames", "1001-1002", "--take", "v007"]) == 0
    assert main(["render", "--frames", "1003-1004", "--take", "v007"]) == 0
    assert listed() == [("Einstellung_4_understudy_v007", 4, 4)]


def test_a_strip_that_was_moved_and_trimmed_keeps_its_place(shot):
    bpy.ops.understudy.render(frames="1011-1020")
    (strip,) = takes(shot)
    compat.set_content_start(strip, 1111)
    compat.set_handles(strip, 1113, 1121)
    for number in (*range(1005, 1011), *range(1021, 1031)):  # as other processes add them
        folder = output() / "Einstellung_4_understudy_v001"
        os.link(folder / f"{folder.name}.1015.png", folder / f"{folder.name}.{number}.png")
    listed()
    assert bpy.ops.understudy.add_take() == {"FINISHED"}
    (strip,) = takes(shot)
    assert compat.content_start(strip) == 1105, "frame 1011 is where it was"
    assert compat.handles(strip) == (1113, 1131), "only the end that was not trimmed follows"
    assert [element.filename.split(".")[1] for element in strip.elements] == [str(n) for n in range(1005, 1031)]


def test_chunks_join_without_a_seam(scene, face, project):
    """Two processes' worth of chunks equal one run, bit for bit: they share what is analysed and the neutral frame."""
    add_movie(scene, ROOT / "tests" / "data" / "driving_sample.mp4")
    compat.set_handles(compat.strips(scene)[0], 1003, 1011)
    bpy.ops.wm.save_as_mainfile(filepath=str(project / "farm.blend"))
    scene.understudy.system = "mesh_warp"
    scene.understudy.portraits[0].path = str(face)
    assert main(["render", "--frames", "1003-1006"]) == 0
    assert main(["render", "--frames", "1007-1010", "--take", "latest"]) == 0
    assert main(["render"]) == 0
    chunks, whole = (core_takes.TakeFolder(output() / f"farm_understudy_v00{version}") for version in (1, 2))
    assert chunks.frames() == whole.frames() == list(range(1003, 1011))
    for number in whole.frames():
        assert chunks.frame(number).read_bytes() == whole.frame(number).read_bytes(), number
    notes = [json.loads(take.sidecar.read_text("utf-8"))["notes"]["neutral_frame"] for take in (chunks, whole)]
    assert notes[0] == notes[1]
