"""What Reenact refuses, and what it says then: one error, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.blender.addon import add_images, add_movie, addon, bpy, refusal, stored

compat = addon("tool.compat")
reenact = addon("tool.reenact")
State = addon("core.render_run").State


def test_an_unsaved_file_with_a_relative_output_is_refused(scene, media, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add_movie(scene, media / "index_24.mp4")
    assert "has not been saved yet. Save the file first" in refusal()
    assert not list(tmp_path.iterdir()), "nothing was written into the working folder"


def test_missing_footage_is_named(shot, media, project):
    copy = project / "weg damit.mp4"
    shutil.copy(media / "index_24.mp4", copy)
    compat.strips(shot)[0].filepath = str(copy)
    copy.unlink()
    assert "is missing" in (said := refusal()) and str(copy) in said
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert "is missing" in refusal(), "Blender knows nothing of the footage now, not even its rate"


def test_a_missing_image_of_a_sequence_is_named(scene, media, project):
    folder = project / "Bilder"
    shutil.copytree(media / "images", folder)
    add_images(scene, folder, 10)
    scene.understudy.output = str(project)
    (folder / "index.0004.png").unlink()
    assert str(folder / "index.0004.png") in refusal()
    assert bpy.ops.understudy.render(frames="1001-1004") == {"FINISHED"}


def test_a_missing_portrait_is_named(shot, project):
    shot.understudy.portraits[0].path = str(project / "niemand.png")
    assert "niemand.png" in refusal()


@pytest.mark.parametrize("setting", ["detector", "system"])
def test_what_is_not_offered_here_is_refused(shot, setting):
    stored(shot.understudy)[setting] = 99
    assert "not available here" in refusal()


def test_no_portrait_and_no_driver_are_refused(scene):
    assert "neither a movie nor an image strip" in refusal()
    scene.sequence_editor_create()
    scene.understudy.driving = "fort"
    assert "no strip 'fort'" in refusal()


def test_no_portrait_is_refused(shot):
    shot.understudy.portraits.clear()
    assert "No portrait" in refusal()


def test_two_candidates_are_not_guessed_between(shot, media):
    add_movie(shot, media / "index_30.mp4", start=2001)
    shot.sequence_editor.active_strip = None
    assert "more than one strip" in refusal()


def test_frames_outside_the_strip_are_left_out_with_a_warning_or_refused(shot):
    said = "not shown on frame 1061, only on 1001-1060"
    assert said in refusal(frames="1055-1061", strict=True)
    assert said in refusal(frames="1061-1070"), "nothing is left to make"
    assert "is not a frame" in refusal(frames="1055-")
    reenactment = reenact.Reenactment(shot, "1055-1061")
    reenactment.wait()
    assert reenactment.run.state is State.FINISHED and reenactment.run.frames == list(range(1055, 1061))
    (warning,) = reenactment.run.warnings
    assert said in warning.text and "1 of 7 frames are left out" in warning.text


def test_an_empty_path_is_refused_in_words(shot, tmp_path, monkeypatch):
    (tmp_path / "working folder").mkdir()
    monkeypatch.chdir(tmp_path / "working folder")
    output, shot.understudy.output = shot.understudy.output, ""
    assert "The output folder is empty. Choose it" in refusal()
    shot.understudy.output, shot.understudy.portraits[0].path = output, ""
    assert "The path of a portrait is empty. Choose it" in refusal()
    assert not list(Path.cwd().iterdir()), "nothing was written into the working folder"


def test_a_full_sequencer_is_refused_before_the_first_frame(shot, media, project):
    compat.strips(shot)[0].channel = compat.LAST_CHANNEL
    assert "No channel above 128 is free on frames 1001-1060" in refusal()
    assert not (project / "understudy").exists()


def test_a_sequencer_that_fills_up_meanwhile_is_a_warning(shot):
    reenactment = reenact.Reenactment(shot, "1001-1002")
    reenactment.wait()
    compat.strips(shot)[0].channel = compat.LAST_CHANNEL
    assert reenactment.land() is None
    (warning,) = reenactment.run.warnings
    assert warning.code == "no_channel" and "Add to Timeline" in warning.remedy
    assert reenactment.run.state is State.FINISHED


def test_a_driver_without_a_face_leaves_no_folder(shot, face, project):
    shot.understudy.system = "mesh_warp"
    shot.understudy.portraits[0].path = str(face)
    assert "face" in refusal(frames="1001-1002")
    assert not list((project / "understudy").glob("*_understudy_v*"))


def test_an_output_that_cannot_be_written_is_named(shot, project):
    (project / "eine Datei").write_text("im Weg")
    shot.understudy.output = str(project / "eine Datei" / "darunter")
    assert str(project / "eine Datei") in refusal()


def test_a_missing_engine_python_is_an_error_with_a_remedy(shot, monkeypatch, tmp_path):
    monkeypatch.setenv("UNDERSTUDY_ENGINE_PYTHON", str(tmp_path / "python"))
    text = refusal()
    assert str(tmp_path / "python") in text and "Install Engine" in text
    monkeypatch.delenv("UNDERSTUDY_ENGINE_PYTHON")
    assert "not installed yet. Press Install Engine" in refusal()
