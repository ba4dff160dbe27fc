"""``blender --command understudy``: its exit codes and what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.blender.addon import MODULE, add_movie, addon, bpy, takes

main = addon("cli").main


@pytest.fixture
def shot(scene, media, project):
    shutil.copy(media / "index_24.mp4", project)
    add_movie(scene, project / "index_24.mp4")
    bpy.ops.wm.save_as_mainfile(filepath=str(project / "shot.blend"))
    return scene


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
        (["--frames", "900-1010"], "not shown on frame 900"),
        (["--frames", "ten"], "'ten' is not a frame"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_1(shot, capfd, arguments, said):
    assert main(["render", *arguments]) == 1
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("understudy: ") and said in line
    assert not frames()


def test_a_failure_in_the_middle_is_exit_code_1(shot, capfd, project):
    shot.understudy.system = "mesh_warp"
    (project / "index_24.mp4").write_bytes((project / "index_24.mp4").read_bytes()[:2000])
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


def test_an_add_on_enabled_on_the_command_line_works_without_preferences(shot):
    import addon_utils

    bpy.ops.preferences.addon_disable(module=MODULE)
    addon_utils.enable(MODULE)  # as `blender --addons` does
    try:
        assert MODULE not in bpy.context.preferences.addons
        assert main(["render", "--frames", "1001"]) == 0
    finally:
        bpy.ops.preferences.addon_enable(module=MODULE)
