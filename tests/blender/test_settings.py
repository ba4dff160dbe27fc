"""What the user may choose, and what is offered for it."""

from __future__ import annotations

import subprocess
from importlib import import_module

from tests.blender.addon import ENGINE_PYTHON, MODULE, ROOT, addon, bpy, stored

catalog = import_module(f"{MODULE}.engine.catalog")
options_of = addon("tool.options").options_of


def test_our_own_detector_is_offered_where_its_weights_are(scene, tmp_path):
    assert [info.name for info in catalog.detectors(tmp_path)] == ["face-alignment"]
    (tmp_path / "face_regressor.onnx").touch()
    assert [info.name for info in catalog.detectors(tmp_path)] == ["understudy", "face-alignment"]
    shown = scene.understudy.bl_rna.properties["detector"].enum_items
    here = catalog.detectors(addon("tool.engine").ROOT / "weights")
    assert [(item.identifier, item.value) for item in shown] == [(info.name, info.number) for info in here]
    assert (scene.understudy.detector, shown["face-alignment"].value) == ("builtin", 1), "as files have kept it"
    listed = "from engine.tracking import registry; print(*registry.names())"
    engine = subprocess.run([ENGINE_PYTHON, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True)
    assert engine.stdout.split() == [item.identifier for item in shown]


def test_a_system_is_offered_where_its_networks_are(scene, tmp_path):
    assert [info.name for info in catalog.systems(tmp_path)] == ["mesh_warp", "null"]
    for half in ("source", "frame"):
        (tmp_path / f"identity_matched_{half}.onnx").touch()
    assert [info.name for info in catalog.systems(tmp_path)] == ["mesh_warp", "identity_matched", "null"]
    shown = scene.understudy.bl_rna.properties["system"].enum_items
    assert (shown["mesh_warp"].value, shown["null"].value) == (0, 1), "as files have kept them"
    listed = "from engine import systems; print(*systems.names())"
    engine = subprocess.run([ENGINE_PYTHON, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(engine.stdout.split()) == sorted(item.identifier for item in shown)


def test_portraits_are_added_and_removed_by_operators(scene, media):
    files = [{"name": "portrait.png"}, {"name": "large portrait.png"}]
    bpy.ops.understudy.add_portraits(directory=str(media), files=files)
    assert [item.name for item in scene.understudy.portraits] == ["portrait.png", "portrait.png", "large portrait.png"]
    for left in (2, 1, 0):
        assert bpy.ops.understudy.remove_portrait() == {"FINISHED"}
        assert len(scene.understudy.portraits) == left
    assert not bpy.ops.understudy.remove_portrait.poll()


def test_the_chosen_systems_options_go_with_the_job(scene):
    settings = scene.understudy
    assert options_of(settings) == {"delay_ms": 0.0, "fail_at": -1.0}
    settings.options.null.delay_ms = 0.1
    assert options_of(settings)["delay_ms"] == 0.1, "as typed, not as single precision keeps it"
    settings.options.null.delay_ms = 1e9
    assert options_of(settings)["delay_ms"] == 60_000.0, "the catalog's range holds"
    for info in catalog.SYSTEMS:
        settings.system = info.name
        assert options_of(settings) == info.checked({}) or info.name == "null"


def test_options_are_kept_for_each_system_and_saved(scene, tmp_path):
    settings = scene.understudy
    settings.options.identity_matched.correspondence = "analytic"
    settings.options.identity_matched.residual = False
    settings.options.null.delay_ms = 2.5
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    settings = bpy.data.scenes[0].understudy
    assert options_of(settings)["delay_ms"] == 2.5
    settings.system = "identity_matched"
    chosen = options_of(settings)
    assert (chosen["correspondence"], chosen["residual"], chosen["pncc"]) == ("analytic", False, "rebuilt")


def test_options_of_another_version_do_no_harm(scene):
    scene.understudy.system = "identity_matched"
    group = scene.understudy.options.identity_matched
    stored(group)["correspondence"], stored(group)["withdrawn"] = 99, "of an older version"
    assert options_of(scene.understudy) == catalog.SYSTEMS_BY_NAME["identity_matched"].checked({})


def test_the_panel_shows_the_catalogs_options(scene):
    class Layout:
        """Notes which properties are drawn."""

        def __init__(self) -> None:
            self.drawn: list[tuple[str, str]] = []

        def prop(self, data, name: str) -> None:
            self.drawn.append((data.bl_rna.properties[name].name, data.bl_rna.properties[name].description))

    for info in catalog.systems(addon("tool.engine").WEIGHTS):
        scene.understudy.system = info.name
        for advanced in (False, True):
            layout = Layout()
            addon("ui.panel")._draw_options(layout, scene.understudy, advanced)
            options = [option for option in info.options if option.advanced is advanced]
            assert layout.drawn == [(option.label, option.tooltip) for option in options]
