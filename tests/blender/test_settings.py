"""What the user may choose, and what is offered for it."""

from __future__ import annotations

import subprocess
from importlib import import_module

from tests.blender.addon import ENGINE_PYTHON, MODULE, ROOT, addon, bpy

catalog = import_module(f"{MODULE}.engine.catalog")


def test_our_own_detector_is_offered_where_its_weights_are(scene, tmp_path):
    assert [info.name for info in catalog.detectors(tmp_path)] == ["mediapipe", "face-alignment"]
    (tmp_path / "face_regressor.onnx").touch()
    assert [info.name for info in catalog.detectors(tmp_path)] == ["mediapipe", "understudy", "face-alignment"]
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
