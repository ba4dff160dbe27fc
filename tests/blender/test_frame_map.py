"""The frame map against what Blender itself renders."""

from __future__ import annotations

import pytest

from tests.blender.addon import add_images, add_movie, addon, bpy
from tests.blender.rendering import shown_indices

compat = addon("tool.compat")
sequencer = addon("tool.sequencer")
Fault = addon("core.fault").Fault

NEW_TIMES = {
    "frame_offset_start": "left_handle_offset",
    "frame_offset_end": "right_handle_offset",
    "animation_offset_start": "content_trim_start",
    "animation_offset_end": "content_trim_end",
}

STRIPS = {
    "plain": {},
    "offsets": {"frame_offset_start": 7, "frame_offset_end": 9},
    "trimmed": {"animation_offset_start": 5, "animation_offset_end": 4},
    "trimmed and offset": {"animation_offset_start": 5, "frame_offset_start": 3},
    "held at both ends": {"frame_offset_start": -4, "frame_offset_end": -3},
    "reversed": {"use_reverse_frames": True},
    "reversed, trimmed, offset": {"use_reverse_frames": True, "animation_offset_start": 5, "frame_offset_start": 3},
    "strobed": {"strobe": 4.0},
    "strobed unevenly": {"strobe": 2.5},
    "strobed and reversed": {"strobe": 4.0, "use_reverse_frames": True},
}


def shape(strip, **properties) -> None:
    for name, value in properties.items():
        new = NEW_TIMES.get(name)
        setattr(strip, new if new and hasattr(strip, new) else name, value)


def expect_map(scene, strip, folder, length: int) -> None:
    timing = sequencer.timing(scene, strip)
    frames = range(timing.left, timing.right)
    assert len(frames) == length
    assert [timing.source_frame(frame) for frame in frames] == shown_indices(scene, folder, frames)


@pytest.mark.parametrize("kind", ["movie", "images"])
@pytest.mark.parametrize("shaped", STRIPS)
def test_a_strip_maps_to_the_frames_that_blender_shows(scene, media, tmp_path, kind, shaped):
    if kind == "movie":
        strip = add_movie(scene, media / "index_24.mp4", start=11)
    else:
        strip = add_images(scene, media / "images", 60, start=11)
    shape(strip, **STRIPS[shaped])
    lost = sum(value for name, value in STRIPS[shaped].items() if "offset" in name)
    expect_map(scene, strip, tmp_path, 60 - lost)


def test_a_script_added_movie_plays_every_frame_whatever_its_rate(scene, media, tmp_path):
    expect_map(scene, add_movie(scene, media / "index_30.mp4", start=11), tmp_path, 60)


@pytest.mark.parametrize("properties", [{}, {"animation_offset_start": 7}, {"frame_offset_start": 7}])
def test_a_movie_added_from_the_menu_keeps_its_own_rate(scene, media, tmp_path, properties):
    strip = add_movie_from_menu(scene, media / "index_30.mp4")
    shape(strip, **properties)
    length = {(): 48, ("animation_offset_start",): 42, ("frame_offset_start",): 41}[tuple(properties)]
    expect_map(scene, strip, tmp_path, length)


def test_a_movie_slower_than_the_scene_maps_to_what_blender_decodes(scene, media, tmp_path):
    scene.render.fps = 30
    timing = sequencer.timing(scene, add_movie_from_menu(scene, media / "index_24.mp4"))
    assert timing.right - timing.left == 75
    for frame in range(11, 20):  # each from a copy of the scene, whose cache is empty: see sequencer._own_rate
        copy = scene.copy()
        assert shown_indices(copy, tmp_path, range(frame, frame + 1)) == [timing.source_frame(frame)]
        bpy.data.scenes.remove(copy)


def test_retiming_keys_are_refused_with_a_remedy(scene, media):
    strip = add_movie(scene, media / "index_24.mp4")
    with in_sequencer(scene):
        scene.sequence_editor.active_strip = strip
        strip.select = True
        bpy.ops.sequencer.retiming_key_add(timeline_frame=1020)
    with pytest.raises(Fault, match="retiming keys") as caught:
        sequencer.timing(scene, strip)
    assert caught.value.code == "retimed" and "Remove them" in caught.value.remedy


def test_a_speed_effect_is_refused_by_its_name(scene, media):
    strip = add_movie(scene, media / "index_24.mp4")
    span = {"length": 60} if bpy.app.version >= (5, 0) else {"frame_end": 1061}
    source = {"input1": strip} if bpy.app.version >= (4, 4) else {"seq1": strip}
    compat.strips(scene).new_effect("Zeitlupe", "SPEED", 2, frame_start=1001, **span, **source)
    with pytest.raises(Fault, match="Zeitlupe"):
        sequencer.timing(scene, strip)


@pytest.mark.parametrize(
    ("fps", "base", "expected"),
    [(24, 1.0, (24, 1)), (24, 1.001, (24000, 1001)), (30, 1.001, (30000, 1001)), (25, 2.0, (25, 2))],
)
def test_the_frame_rate_is_an_exact_fraction(scene, fps, base, expected):
    scene.render.fps, scene.render.fps_base = fps, base
    assert sequencer.scene_fps(scene) == expected


def add_movie_from_menu(scene, path):
    arguments = {"filepath": str(path), "frame_start": 11, "channel": 1, "sound": False, "use_framerate": False}
    if bpy.app.version >= (5, 0):
        arguments["move_strips"] = False  # placing it by the mouse crashes without one
    with in_sequencer(scene):
        bpy.ops.sequencer.movie_strip_add(**arguments, adjust_playback_rate=True)
    return compat.strips(scene)[0]


def in_sequencer(scene):
    window = bpy.context.window_manager.windows[0]
    window.scene = scene
    if hasattr(window.workspace, "sequencer_scene"):
        window.workspace.sequencer_scene = scene
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    region = next(region for region in area.regions if region.type == "WINDOW")
    scene.sequence_editor_create()
    return bpy.context.temp_override(window=window, area=area, region=region, scene=scene)
