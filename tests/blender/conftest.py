"""Fixtures: real footage, a project folder with an awkward name, a scene as far as a user would set it up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blender.addon import ENGINE_PYTHON, MODULE, add_movie, addon, bpy
from tests.blender.rendering import SIZE


def pytest_configure() -> None:
    if not ENGINE_PYTHON.is_file():
        pytest.exit(f"{ENGINE_PYTHON} is missing: run scripts/setup, or set UNDERSTUDY_ENGINE_PYTHON", 2)
    bpy.ops.preferences.addon_enable(module=MODULE)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder made by make_media.py; its name holds spaces and letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("films") / "Führung 映像 à"
    maker = Path(__file__).with_name("make_media.py")
    subprocess.run([ENGINE_PYTHON, "-X", "utf8", maker, folder], check=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for one .blend and its takes, as awkward as the media's."""
    folder = tmp_path / "Größe 2 (プロ)"
    folder.mkdir()
    return folder


@pytest.fixture
def scene(media: Path) -> Iterator[Any]:
    """A fresh unsaved file whose scene is set up as far as a user would: a portrait, the null system."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    context: Any = bpy.context
    scene = context.scene
    scene.name = "Szene 1"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.understudy.system = "null"
    addon("tool.scene").add_portrait(scene, media / "portrait.png")
    yield scene
    addon("ui.render").close()


@pytest.fixture
def shot(scene: Any, media: Path, project: Path) -> Any:
    """The scene with a driving strip on 1001-1060, saved as ``Einstellung 4.blend``, its takes beside it."""
    add_movie(scene, media / "index_24.mp4")
    bpy.ops.wm.save_as_mainfile(filepath=str(project / "Einstellung 4.blend"))
    return scene


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait with a real face, in the public domain."""
    path = tmp_path_factory.mktemp("portraits") / "porträt.png"
    script = Path(__file__).with_name("measure_mouth.py")
    subprocess.run([ENGINE_PYTHON, "-X", "utf8", script, "portrait", path], check=True)
    return path
