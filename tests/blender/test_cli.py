"""``blender --command understudy``: its exit codes and what it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.blender.addon import MODULE, add_images, addon, bpy, takes

main = addon("cli").main
compat = addon("tool.compat")


def frames() -> list[str]:
    return sorted(path.name for path in Path(bpy.data.filepath).parent.glob("understudy/*/*.png"))


def test_exit_code_0_when_every_frame_is_there(shot, capfd):
    assert main(["render"]) == 0
    assert len(frames()) == 60
    out = capfd.readouterr().out
    assert "render 60/60" in out and "60 of 60 frames in" in out


def test_settings_of_the_panel_reach_the_engine(shot):
    shot.understudy.motion, shot.understudy.identity = "absolute", "driver"
    assert main(["render", "--frames", "1003"]) == 0
    (sidecar,) = Path(bpy.data.filepath).parent.glob("understudy/*/*.json")
    job = json.loads(sidecar.read_text("utf-8"))["job"]
    assert (job["motion"], job["identity"]) == ("absolute", "driver")


def test_frames_and_scene_are_chosen(shot):
    assert main(["render", "--scene", "Szene 1", "--frames", "1003-1009x3"]) == 0
    assert [name.split(".")[1] for name in frames()] == ["1003", "1006", "1009"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scene", "Akt 2"], "no scene 'Akt 2'"),
        (["--frames", "900-1010", "--strict"], "not shown on frame 900"),
        (["--take", "v3"], "'v3' is neither new, latest nor a version"),
        (["--frames", "ten"], "'ten' is not a frame"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_1(shot, capfd, arguments, said):
    assert main(["render", *arguments]) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("understudy: ") and said in line
    assert not frames()


def test_a_failure_in_the_middle_is_exit_code_1(shot, capfd, project, media):
    shot.understudy.system = "mesh_warp"
    movie = project / "index_24.mp4"
    shutil.copy(media / movie.name, movie)
    compat.strips(shot)[0].filepath = str(movie)
    movie.write_bytes(movie.read_bytes()[:2000])
    assert main(["render"]) == 1
    assert "index_24.mp4" in capfd.readouterr().err


def test_wrong_usage_is_exit_code_2(shot, capfd):
    assert main(["render", "--faster"]) == 2
    assert main([]) == 2
    assert "usage" in capfd.readouterr().err
    assert main(["--help"]) == 0


def test_save_keeps_the_strip(shot):
    assert main(["render", "--frames", "1001-1002", "--save"]) == 0
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert len(takes(bpy.data.scenes["Szene 1"])) == 1


def test_frames_outside_the_strip_are_skipped_with_a_warning(shot, capfd):
    assert main(["render", "--frames", "1059-1070"]) == 0
    assert [name.split(".")[1] for name in frames()] == ["1059", "1060"]
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("understudy: warning: ") and "10 of 12 frames are left out" in line


def test_saving_needs_a_file(scene, media, project, capfd):
    add_images(scene, media / "images", 5)
    scene.understudy.output = str(project)
    assert main(["render", "--save"]) == 1
    assert "leave out --save" in capfd.readouterr().err
    assert not list(project.iterdir())


def test_a_file_that_another_process_saved_is_left_alone(shot, capfd):
    """Both open the file, make a take and save: the second would lose the first's strip."""
    bpy.ops.wm.save_mainfile()
    assert run_apart("--frames", "1001", "--save") == 0
    saved = Path(bpy.data.filepath).read_bytes()
    assert main(["render", "--frames", "1002", "--save"]) == 3
    error = capfd.readouterr().err
    assert "saved by another process" in error and "Add to Timeline" in error and "_v002" in error
    assert Path(bpy.data.filepath).read_bytes() == saved
    assert len(frames()) == 2, "the frames stay"
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert main(["render", "--frames", "1003", "--save"]) == 0
    assert main(["render", "--frames", "1004", "--save"]) == 0, "what this process saved is no surprise to it"


@pytest.mark.skipif(bpy.app.version < (5, 0), reason="before, a sequencer shows the active scene")
def test_the_scene_is_the_one_that_the_sequencer_shows(shot, media):
    other = bpy.data.scenes.new("Schnitt")
    other.understudy.system = "null"
    addon("tool.scene").add_portrait(other, media / "portrait.png")
    add_images(other, media / "images", 5, start=101)
    bpy.context.window_manager.windows[0].workspace.sequencer_scene = other
    bpy.ops.wm.save_mainfile()
    assert run_apart("--save") == 0
    assert [name.split(".")[1] for name in frames()] == ["0101", "0102", "0103", "0104", "0105"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_stops_within_a_second_and_keeps_the_frames(shot, number, code):
    shot.understudy.options.null.delay_ms = 200.0
    bpy.ops.wm.save_mainfile()
    process = subprocess.Popen(apart("--save"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60.0
    while len(frames()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    sent = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == code
    assert time.monotonic() - sent < 1.5, "a second, and the time that Blender takes to end"
    assert 2 <= len(frames()) < 20


def apart(*arguments: str) -> list[str]:
    """The command line of a Blender of its own that renders the file that is open here, as it was saved."""
    return [sys.executable, str(Path(__file__).with_name("headless.py")), bpy.data.filepath, "render", *arguments]


def run_apart(*arguments: str) -> int:
    return subprocess.run(apart(*arguments)).returncode


def test_an_add_on_enabled_on_the_command_line_works_without_preferences(shot):
    import addon_utils

    bpy.ops.preferences.addon_disable(module=MODULE)
    addon_utils.enable(MODULE)  # as `blender --addons` does
    try:
        assert MODULE not in bpy.context.preferences.addons
        assert main(["render", "--frames", "1001"]) == 0
    finally:
        bpy.ops.preferences.addon_enable(module=MODULE)
