"""The walls between the rooms (docs/develop.md), read from the import statements of every file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUDIO = ("engine.training", "engine.evaluation")
# The command line names the studio's commands; it imports them only when they are asked for.
DOORS = ("engine/__main__.py",)
BLENDER = {"bpy", "bpy_extras", "mathutils", "gpu", "gpu_extras", "blf", "bmesh", "bl_ui", "addon_utils"}
# What can run code from a file that it reads.
UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path, types: bool = True) -> Iterator[str]:
    """Absolute dotted names of everything that ``path`` imports, in functions too; `from a import b` gives a.b.

    ``types``: also what stands under ``if TYPE_CHECKING``.
    """
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and is_type_checking(node.test))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{prefix}.{alias.name}" if prefix else alias.name for alias in node.names)


def is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offences(folder: str, forbidden) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name in imports(path)
        if forbidden(path, name)
    ]


def test_there_is_something_to_read():
    assert len(sources("engine")) > 10 and len(sources("blender_addon")) > 5


def test_relative_imports_are_read_as_absolute(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "blender_addon" / "core" / "job.py"
    file.parent.mkdir(parents=True)
    file.write_text("from ...engine import protocol\nfrom .naming import a\nfrom . import frames\nimport json\n")
    assert list(imports(file)) == [
        "engine.protocol",
        "blender_addon.core.naming.a",
        "blender_addon.core.frames",
        "json",
    ]


def test_engine_knows_nothing_of_blender():
    def forbidden(path: Path, name: str) -> bool:
        return within(name, "blender_addon", *BLENDER)

    assert not offences("engine", forbidden)


def test_what_the_studio_runs_inside_blender_stands_alone():
    allowed = {*sys.stdlib_module_names, *BLENDER, "numpy"}
    assert {name.split(".")[0] for name in imports(ROOT / "scripts" / "render_scenes.py")} <= allowed


def test_core_is_free_of_bpy():
    assert not offences("blender_addon/core", lambda _, name: within(name, *BLENDER))


@pytest.mark.parametrize(("lower", "uppers"), [("core", ("tool", "ui")), ("tool", ("ui",))])
def test_the_addon_is_layered(lower, uppers):
    forbidden = tuple(f"blender_addon.{upper}" for upper in uppers)
    assert not offences(f"blender_addon/{lower}", lambda _, name: within(name, *forbidden))


def test_the_addon_reads_only_the_protocol_and_the_catalog_of_the_engine():
    shared = ("engine.protocol", "engine.catalog")
    assert not offences("blender_addon", lambda _, name: within(name, "engine") and not within(name, *shared))


def test_the_addon_needs_only_blender_and_numpy():
    allowed = {*sys.stdlib_module_names, *BLENDER, "numpy", "engine", "blender_addon"}
    assert not offences("blender_addon", lambda _, name: name.split(".")[0] not in allowed)


def test_the_addon_imports_its_own_files_relatively():
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("blender_addon")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.level and within(node.module or "", "engine", "blender_addon")
    ]
    assert not absolute, "inside Blender the package is called bl_ext.<repository>.understudy"


@pytest.mark.parametrize("shared", ["protocol.py", "catalog.py"])
def test_what_the_addon_reads_needs_only_the_standard_library(shared):
    assert {name.split(".")[0] for name in imports(ROOT / "engine" / shared)} <= sys.stdlib_module_names
    assert (ROOT / "engine" / "__init__.py").read_text(encoding="utf-8") == ""


def test_rendering_never_imports_the_studio():
    def forbidden(path: Path, name: str) -> bool:
        place = path.relative_to(ROOT).as_posix()
        inside = place.startswith(("engine/training/", "engine/evaluation/"))
        return not inside and place not in DOORS and within(name, *STUDIO)

    assert not offences("engine", forbidden)


def test_a_system_never_imports_another():
    def forbidden(path: Path, name: str) -> bool:
        parts = path.relative_to(ROOT / "engine" / "systems").parts
        others = name.split(".")[2:3]
        allowed = ([parts[0]], ["base"])
        return len(parts) > 1 and within(name, "engine.systems") and others not in allowed

    assert not offences("engine/systems", forbidden)


def test_what_systems_share_knows_none_of_them():
    shared = ("compositing", "face", "geometry", "media", "motion", "raster", "runtime", "tracking")
    for room in shared:
        assert not offences(f"engine/{room}", lambda _, name: within(name, "engine.systems"))


def test_nothing_below_reaches_up_to_the_pipeline():
    above = ("engine/service.py", "engine/__main__.py", "engine/cli/", "engine/evaluation/", "engine/training/")
    assert not offences(
        "engine",
        lambda path, name: within(name, "engine.pipeline") and not path.relative_to(ROOT).as_posix().startswith(above),
    )


@pytest.mark.parametrize("folder", ["engine", "blender_addon"])
def test_no_imports_run_in_a_circle(folder):
    """Not even imports inside functions; those for type checkers alone are left out."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources(folder)}
    graph = {
        name: {module for found in imports(path, types=False) if (module := module_of(found, files)) not in ("", name)}
        for name, path in files.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as fault:
        pytest.fail(" → ".join(reversed(fault.args[1])))


def module_of(imported: str, files: Container[str]) -> str:
    """The file among ``files`` that an import's dotted name means; empty if it is none of them."""
    return next((name for name in (imported, imported.rpartition(".")[0]) if name in files), "")


@pytest.mark.parametrize("folder", ["engine", "blender_addon", "benchmarks", "tests"])
def test_nothing_unpickles(folder):
    assert not offences(folder, lambda _, name: within(name, *UNSAFE))
    allowing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "allow_pickle" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    ]
    assert not allowing
