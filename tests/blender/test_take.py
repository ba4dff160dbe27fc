"""From a scene to a take on the timeline, through the operator that users press."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.blender.addon import add_images, add_movie, addon, bpy, refusal, takes
from tests.blender.rendering import read_pixels, shown_indices

compat = addon("tool.compat")
scene_data = addon("tool.scene")
reenact = addon("tool.reenact")
take_strips = addon("tool.take")
State = addon("core.render_run").State
is_whole_png = addon("core.png").is_whole_png


def folder_of(strip) -> Path:
    return Path(bpy.path.abspath(strip.directory))


def frames_in(folder: Path) -> list[int]:
    return sorted(int(path.suffixes[-2][1:]) for path in folder.glob("*.png"))


def stamp_indices(strip, media: Path) -> None:
    """Put in place of each frame of a take the source frame that its sidecar says it was made from."""
    folder = folder_of(strip)
    record = json.loads((folder / f"{folder.name}.json").read_text("utf-8"))
    for frame, source, _status in record["frames"]:
        shutil.copy(media / "images" / f"index.{source:04d}.png", folder / f"{folder.name}.{frame:04d}.png")


def expect_alignment(scene, take, media: Path, tmp_path: Path, frames: range) -> None:
    """The take shows on each frame what the driver shows there."""
    take.mute = True
    driver = shown_indices(scene, tmp_path / "driver", frames)
    take.mute = False
    stamp_indices(take, media)
    assert None not in driver
    assert shown_indices(scene, tmp_path / "take", frames) == driver


def test_finished_means_that_every_frame_is_on_disk_and_whole(shot, media):
    assert bpy.ops.understudy.render() == {"FINISHED"}
    (take,) = takes(shot)
    folder = folder_of(take)
    assert folder.name == "Einstellung_4_understudy_v001"
    assert folder.parent == Path(bpy.data.filepath).parent / "understudy"
    assert frames_in(folder) == list(range(1001, 1061))
    assert all(is_whole_png(path, (128, 128)) for path in folder.glob("*.png"))
    portrait = read_pixels(media / "portrait.png")
    assert (read_pixels(folder / f"{folder.name}.1030.png") == portrait).all()


def test_the_strip_lies_above_the_driver_and_says_what_it_is(shot):
    bpy.ops.understudy.render()
    (take,) = takes(shot)
    assert compat.handles(take) == (1001, 1061)
    assert (take.type, take.channel, take.colorspace_settings.name) == ("IMAGE", 2, "sRGB")
    assert take.directory.startswith("//"), "the output is relative to the .blend, and so is the strip"
    note = take_strips.note_of(take)
    assert note["take"] == "Einstellung_4_understudy_v001" and note["driving"] == "Führung" and note["complete"]
    assert Path(note["sidecar"]).is_file()


@pytest.mark.parametrize("kind", ["movie", "images"])
def test_a_take_is_aligned_frame_for_frame(scene, media, project, tmp_path, kind):
    scene.understudy.output = str(project)
    if kind == "movie":
        strip = add_movie(scene, media / "index_24.mp4", start=31)
    else:
        strip = add_images(scene, media / "images", 60, start=31)
    for new, old, value in (
        ("left_handle_offset", "frame_offset_start", 4),
        ("right_handle_offset", "frame_offset_end", -3),
        ("content_trim_start", "animation_offset_start", 6),
    ):
        setattr(strip, new if hasattr(strip, new) else old, value)
    strip.use_reverse_frames = True
    assert bpy.ops.understudy.render() == {"FINISHED"}
    expect_alignment(scene, takes(scene)[0], media, tmp_path, range(*compat.handles(strip)))


def test_a_second_press_makes_a_second_take_and_overwrites_nothing(shot):
    bpy.ops.understudy.render()
    first = folder_of(takes(shot)[0])
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.rglob("*.*")}
    assert bpy.ops.understudy.render() == {"FINISHED"}
    lower, upper = takes(shot)
    assert (lower.channel, upper.channel) == (2, 3)
    assert folder_of(upper).name == "Einstellung_4_understudy_v002"
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.rglob("*.*")}


def test_a_take_avoids_what_lies_above_the_driver(shot, media):
    add_movie(shot, media / "index_24.mp4", start=1050, channel=2)
    shot.understudy.driving = "Führung"
    bpy.ops.understudy.render()
    assert takes(shot)[0].channel == 3


def test_stepped_frames_hold_until_the_next(shot, media, tmp_path):
    assert bpy.ops.understudy.render(frames="1005-1011x3") == {"FINISHED"}
    (take,) = takes(shot)
    assert frames_in(folder_of(take)) == [1005, 1008, 1011]
    stamp_indices(take, media)
    assert shown_indices(shot, tmp_path, range(1005, 1012)) == [4, 4, 4, 7, 7, 7, 10]


def test_the_scene_range_takes_what_the_strip_shows_of_it(shot):
    shot.understudy.range = "SCENE"
    shot.frame_start, shot.frame_end = 990, 1004
    bpy.ops.understudy.render()
    assert frames_in(folder_of(takes(shot)[0])) == [1001, 1002, 1003, 1004]


def test_a_driver_moved_and_renamed_meanwhile_takes_the_take_along(shot, media, tmp_path):
    reenactment = reenact.Reenactment(shot, "1001-1010")
    reenactment.run.wait()
    driver = compat.strips(shot)[0]
    driver.name, driver.channel = "Umbenannt", 5
    compat.set_content_start(driver, 1101)
    take = reenactment.land()
    assert compat.handles(take) == (1101, 1111) and take.channel == 6
    assert take_strips.note_of(take)["driving"] == "Umbenannt"
    assert reenact.MARK not in driver, "nothing is left on the driver"
    expect_alignment(shot, take, media, tmp_path, range(1101, 1111))


def test_settings_and_the_strip_survive_saving(shot, media):
    settings = shot.understudy
    scene_data.add_portrait(shot, media / "large portrait.png")
    settings.motion, settings.range, settings.shot = "relative", "SCENE", "sq010"
    assert settings.identity == "portrait"
    settings.identity = "driver"
    settings.use_neutral_frame, settings.neutral_frame = True, 1017
    bpy.ops.understudy.render(frames="1001-1003")
    note = take_strips.note_of(takes(shot)[0])
    job = json.loads(Path(bpy.path.abspath(note["sidecar"])).read_text("utf-8"))["job"]
    assert (job["motion"], job["identity"]) == ("relative", "driver")
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    scene = bpy.data.scenes["Szene 1"]
    settings = scene.understudy
    assert [item.name for item in settings.portraits] == ["portrait.png", "large portrait.png"]
    assert (settings.motion, settings.range, settings.shot) == ("relative", "SCENE", "sq010")
    assert settings.identity == "driver"
    assert (settings.use_neutral_frame, settings.neutral_frame) == (True, 1017)
    assert take_strips.note_of(takes(scene)[0]) == note
    assert bpy.ops.understudy.render(frames="1001") == {"FINISHED"}


def test_the_neutral_frame_is_given_as_a_source_frame(shot):
    shot.understudy.use_neutral_frame, shot.understudy.neutral_frame = True, 1017
    bpy.ops.understudy.render(frames="1001")
    folder = folder_of(takes(shot)[0])
    record = json.loads((folder / f"{folder.name}.json").read_text("utf-8"))
    assert record["job"]["neutral_frame"] == 16
    assert record["job"]["fps"] == [24, 1]


def job_of(shot, frames: str = ""):
    """The job that Reenact would send; nothing is made."""
    run = reenact.Reenactment(shot, frames).run
    run.close()
    return run.job


def slow(shot, media: Path) -> None:
    """Make each frame take long enough for something to happen in the middle of a take."""
    shot.understudy.portraits.clear()
    scene_data.add_portrait(shot, media / "large portrait.png")


def meanwhile(reenactment, act) -> None:
    """Do ``act`` once four frames are on disk, and wait for the end."""
    while len(reenactment.run.frames) < 4 and not reenactment.run.over:
        reenactment.run.tick(0.1)
    assert not reenactment.run.over
    act()
    reenactment.run.wait()


def test_cancel_stops_within_a_second_and_keeps_finished_frames(shot, media):
    slow(shot, media)
    reenactment = reenact.Reenactment(shot)
    times = []

    def cancel() -> None:
        times.append(time.monotonic())
        reenactment.run.cancel()

    meanwhile(reenactment, cancel)
    assert time.monotonic() - times[0] < 1.0
    assert reenactment.run.state is State.CANCELLED
    take = reenactment.land()
    frames = reenactment.run.frames
    assert 4 <= len(frames) < 60 and frames == frames_in(folder_of(take))
    assert compat.handles(take) == (1001, frames[-1] + 1)
    assert not take_strips.note_of(take)["complete"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_engine_that_hangs_is_killed_on_cancel(shot, media):
    slow(shot, media)
    reenactment = reenact.Reenactment(shot)
    process = reenactment.run._child._process
    started = []

    def hang_then_cancel() -> None:
        os.kill(process.pid, signal.SIGSTOP)
        started.append(time.monotonic())
        reenactment.run.cancel()

    meanwhile(reenactment, hang_then_cancel)
    assert time.monotonic() - started[0] < 1.0
    assert reenactment.run.state is State.CANCELLED and reenactment.land() is not None
    assert process.poll() is not None, "the engine is gone"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_engine_killed_in_the_middle_is_one_error_and_loses_no_frame(shot, media, monkeypatch):
    slow(shot, media)

    class Doomed(reenact.Reenactment):
        """Its engine is killed, from outside, once four frames are on disk."""

        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            threading.Thread(target=self._kill, daemon=True).start()

        def _kill(self) -> None:
            while len(list(Path(self.run.job.output).glob("*/*.png"))) < 4:
                time.sleep(0.01)
            os.kill(self.run._child._process.pid, signal.SIGKILL)

    monkeypatch.setattr(addon("ui.render"), "Reenactment", Doomed)
    text = refusal()
    said = re.search(r"ended by itself \(signal SIGKILL\).*?(\d+) of 60 frames are kept.*log", text)
    (take,) = takes(shot)
    whole = [path for path in folder_of(take).glob("*.png") if is_whole_png(path, (1280, 720))]
    left = sorted(int(path.name.split(".")[-2]) for path in whole)  # written side by side, so with a gap
    assert said and int(said[1]) == len(left) >= 4
    first, end = compat.handles(take)
    assert (first, end) == (left[0], left[-1] + 1)


def test_a_frame_lost_after_it_was_announced_is_an_error(shot):
    reenactment = reenact.Reenactment(shot)
    run = reenactment.run
    real = run._take_in

    def truncate_at_the_end(message) -> None:
        if message["type"] == "done":
            os.truncate(run.take.frame(1007), 100)
        real(message)

    run._take_in = truncate_at_the_end
    run.wait()
    assert run.state is State.FAILED
    assert run.fault.code == "frames_missing" and "1 of 60" in run.fault.text and "1007" in run.fault.text
    assert len(run.frames) == 59


def test_an_unsaved_file_with_an_absolute_output_works(scene, media, project):
    add_movie(scene, media / "index_24.mp4")
    scene.understudy.output = str(project)
    assert bpy.ops.understudy.render(frames="1001-1002") == {"FINISHED"}
    assert folder_of(takes(scene)[0]) == project / "shot_understudy_v001"


@pytest.mark.parametrize(("range_", "frames"), [("STRIP", "1020-1022"), ("SCENE", "")])
def test_the_whole_strip_is_analysed_whatever_is_asked_for(shot, range_, frames):
    compat.set_handles(compat.strips(shot)[0], 1011, 1051)
    shot.understudy.range, shot.frame_start, shot.frame_end = range_, 1030, 1031
    assert job_of(shot, frames).analysed == (10, 50)
    shot.understudy.use_neutral_frame, shot.understudy.neutral_frame = True, 1003
    job = job_of(shot, frames)
    assert (job.analysed, job.neutral_frame) == ((2, 50), 2), "and the frame that is neutral, wherever it is"


def test_another_scene_can_be_named(shot, media):
    other = bpy.data.scenes.new("Zweite")
    other.understudy.system = "null"
    other.understudy.output = shot.understudy.output
    scene_data.add_portrait(other, media / "portrait.png")
    add_images(other, media / "images", 5, start=101)
    assert bpy.ops.understudy.render(scene="Zweite") == {"FINISHED"}
    assert len(takes(other)) == 1 and not takes(shot)
    assert "no scene 'Dritte'" in refusal(scene="Dritte")


def test_a_long_take_becomes_a_strip_quickly(shot, project):
    take = addon("core.takes").TakeFolder(project / "x_understudy_v001")
    take.folder.mkdir()
    for frame in range(1, 3001):
        take.frame(frame).touch()
    started = time.monotonic()
    strip = take_strips.lay_take(shot, take, above=1, shift=0, note={}, relative=False)
    assert time.monotonic() - started < 2.0
    assert compat.handles(strip) == (1, 3001)
