"""The run of a job without Blender's data: the child process, the handshake, the walls around core."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.blender.addon import ENGINE_PYTHON, ROOT, addon

protocol = addon("core.child").protocol
render_run = addon("core.render_run")
process = addon("core.process")
RenderRun, State = render_run.RenderRun, render_run.State
Fault = addon("core.fault").Fault


@pytest.fixture
def job(media, project):
    return protocol.Job(
        system="null",
        portraits=(str(media / "portrait.png"),),
        driving=protocol.Driving("none"),
        frames=tuple((1001 + i, i) for i in range(20)),
        fps=(24, 1),
        output=str(project / "out"),
        shot="sq010",
    )


@pytest.fixture
def log(project) -> Path:
    return project / "log" / "engine.log"


def copy_of_engine(folder: Path) -> Path:
    """A root of its own that holds the engine, to be damaged."""
    shutil.copytree(ROOT / "engine", folder / "engine", ignore=shutil.ignore_patterns("__pycache__", "training"))
    return folder


def test_ticks_and_wait_do_the_same(job, log):
    seen = []
    waited = RenderRun(job, ENGINE_PYTHON, ROOT, log)
    waited.wait(lambda run: seen.append(run.done))
    ticked = RenderRun(job, ENGINE_PYTHON, ROOT, log)
    while not ticked.over:
        ticked.tick()
        time.sleep(0.01)
    for run in (waited, ticked):
        assert (run.state, run.done, run.frames) == (State.FINISHED, 20, list(range(1001, 1021)))
        assert run.fault is None and run.fps and run.sidecar.is_file()
    assert [run.take.name for run in (waited, ticked)] == ["sq010_understudy_v001", "sq010_understudy_v002"]
    assert seen == sorted(seen)


def test_a_tick_never_waits(job, log):
    run = RenderRun(job, ENGINE_PYTHON, ROOT, log)
    slowest = 0.0
    while not run.over:
        started = time.perf_counter()
        run.tick()
        slowest = max(slowest, time.perf_counter() - started)
        time.sleep(0.005)
    assert run.state is State.FINISHED
    assert slowest < 0.1


def test_another_version_of_the_engine_is_refused_by_both_names(job, log, project):
    root = copy_of_engine(project / "old one")
    path = root / "engine" / "protocol.py"
    path.write_text(path.read_text("utf-8").replace(f'VERSION = "{protocol.VERSION}"', 'VERSION = "0.0.9"'), "utf-8")
    run = RenderRun(job, ENGINE_PYTHON, root, log)
    run.wait()
    assert run.state is State.FAILED and run.fault.code == "engine_version"
    assert "0.0.9" in run.fault.text and protocol.VERSION in run.fault.text
    assert "Restart Blender" in run.fault.remedy
    assert not Path(job.output).exists(), "no job was sent"


def test_an_engine_that_breaks_at_its_start_says_why(job, log, project):
    root = copy_of_engine(project / "broken")
    (root / "engine" / "__main__.py").write_text("import a_package_that_is_missing", "utf-8")
    run = RenderRun(job, ENGINE_PYTHON, root, log)
    run.wait()
    assert run.state is State.FAILED and run.fault.code == "engine_died"
    assert "a_package_that_is_missing" in run.fault.text
    assert "a_package_that_is_missing" in log.read_text("utf-8") and str(log) in run.fault.remedy


def test_a_python_that_cannot_start_is_an_error(job, log, project):
    file = project / "no program"
    file.write_text("x")
    with pytest.raises(Fault) as caught:
        RenderRun(job, file, ROOT, log)
    assert caught.value.code == "engine_start" and str(file) in caught.value.text


def test_an_error_of_the_engine_comes_through_whole(job, log):
    run = RenderRun(protocol.Job(**{**vars(job), "system": "fabulous"}), ENGINE_PYTHON, ROOT, log)
    run.wait()
    assert run.state is State.FAILED and run.fault.code == "unknown_system"
    assert "fabulous" in run.fault.text and "null" in run.fault.remedy


def test_a_fault_in_the_middle_keeps_what_was_drawn(job, log):
    run = RenderRun(protocol.Job(**{**vars(job), "options": {"fail_at": 5}}), ENGINE_PYTHON, ROOT, log)
    run.wait()
    assert (run.state, run.fault.code) == (State.FAILED, "null_fault")
    assert run.frames == [1001, 1002, 1003, 1004, 1005]


def test_cancel_before_the_first_word_leaves_nothing(job, log):
    run = RenderRun(job, ENGINE_PYTHON, ROOT, log)
    run.cancel()
    assert run.state is State.CANCELLED and not run.frames
    assert run._child._process.poll() is not None
    assert not Path(job.output).exists()


def test_closing_leaves_no_process(job, log):
    run = RenderRun(protocol.Job(**{**vars(job), "options": {"delay_ms": 200}}), ENGINE_PYTHON, ROOT, log)
    while not run.frames:
        run.tick(0.1)
    run.close()
    assert run._child._process.poll() is not None
    assert run.state is State.CANCELLED and run.frames[0] == 1001


@pytest.mark.skipif(os.name == "nt", reason="named pipes")
def test_a_disk_that_does_not_answer_blocks_neither_ticks_nor_closing(job, log):
    """The files are checked on a thread; closing waits half a second for it."""
    run = RenderRun(job, ENGINE_PYTHON, ROOT, log)
    while not (run.take and len(run.frames) == 20):
        run.tick(0.1)
    path = run.take.frame(1010)
    path.unlink()
    os.mkfifo(path)  # opening it waits for a writer
    while run.state is not State.CHECKING:
        run.tick(0.1)
    started = time.monotonic()
    run.tick()
    assert time.monotonic() - started < 0.1 and not run.over
    run.cancel()
    assert time.monotonic() - started < 2.0 and run.state is State.CANCELLED
    os.close(os.open(path, os.O_WRONLY))


def test_an_engine_whose_blender_is_gone_ends_by_itself(job, log):
    run = RenderRun(protocol.Job(**{**vars(job), "options": {"delay_ms": 100}}), ENGINE_PYTHON, ROOT, log)
    while not run.frames:
        run.tick(0.1)
    run._child._outgoing.put(None)  # closes the pipe, as the end of Blender's process would
    assert run._child._process.wait(5) == 0


def test_the_child_knows_nothing_of_the_callers_python(tmp_path, monkeypatch):
    (tmp_path / "engine.py").write_text("raise SystemExit('the wrong engine')")
    monkeypatch.chdir(tmp_path)
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, str(tmp_path))
    lines: list[str] = []
    assert process.run_lines(process.engine_command(ENGINE_PYTHON, ROOT, "--help"), lines.append) == 0
    assert lines[0].startswith("usage: python -m engine")


def test_core_needs_no_bpy(tmp_path):
    (tmp_path / "understudy").symlink_to(ROOT, target_is_directory=True)
    names = [path.stem for path in (ROOT / "blender_addon" / "core").glob("[!_]*.py")]
    code = f"""
import importlib, sys
sys.path.insert(0, {str(tmp_path)!r})
sys.modules["bpy"] = None
for name in {names!r}:
    importlib.import_module("understudy.blender_addon.core." + name)
print([name for name in sys.modules if name.startswith(("understudy.engine", "numpy", "engine"))])
"""
    answer = subprocess.run([ENGINE_PYTHON, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "['understudy.engine', 'understudy.engine.protocol']"


@pytest.mark.parametrize(
    ("damage", "whole"),
    [
        (lambda data: data, True),
        (lambda data: data[:-1], False),
        (lambda data: data[: len(data) // 2], False),
        (lambda data: b"", False),
        (lambda data: b"\0" * len(data), False),
        (lambda data: data + b"\0", False),
    ],
)
def test_a_whole_png_is_told_from_a_broken_one(media, tmp_path, damage, whole):
    path = tmp_path / "frame.png"
    path.write_bytes(damage((media / "portrait.png").read_bytes()))
    is_whole_png = addon("core.png").is_whole_png
    assert is_whole_png(path) is whole
    assert is_whole_png(path, (128, 128)) is whole
    assert not is_whole_png(path, (128, 127))
