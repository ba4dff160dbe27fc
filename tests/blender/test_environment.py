"""Finding the engine's Python, and making an environment from a hashed lock."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from tests.blender.addon import ENGINE_PYTHON, addon

environment = addon("core.environment")
Background = addon("core.background").Background
Fault = addon("core.fault").Fault

BASE = Path(sys.executable)
pytestmark = pytest.mark.skipif(sys.version_info[:2] not in environment.VERSIONS, reason="no Python to start from")


@pytest.fixture
def lock(tmp_path) -> Path:
    """A lock of one package that lies beside it, so that no test needs a network."""
    wheel = tmp_path / "prompter-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("prompter.py", "LINE = 'to be or not'\n")
        info = "prompter-1.0.dist-info/"
        archive.writestr(
            info + "METADATA", "Metadata-Version: 2.1\nName: prompter\nVersion: 1.0\nRequires-Dist: nobody\n"
        )
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
    lock = tmp_path / "requirements.lock"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"prompter @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    return lock


def test_an_environment_is_made_once_and_found(tmp_path, lock):
    folder, lines = tmp_path / "Umgebung é" / "engine", []
    python = environment.create_managed(BASE, folder, [lock], lines.append)
    assert environment.find_engine_python("", {}, folder, [lock]) == python
    answer: list[str] = []
    environment.run_lines([str(python), "-I", "-c", "import prompter; print(prompter.LINE)"], answer.append)
    assert answer == ["to be or not"]
    assert any("prompter" in line for line in lines), "pip's progress is passed on"
    made = (folder / "pyvenv.cfg").stat().st_mtime_ns
    environment.create_managed(BASE, folder, [lock], lines.append)
    assert (folder / "pyvenv.cfg").stat().st_mtime_ns == made, "the second time does nothing"
    lock.write_text(lock.read_text() + "# another version\n")
    with pytest.raises(Fault, match="another version of Understudy"):
        environment.find_engine_python("", {}, folder, [lock])


def test_neither_a_cancelled_nor_a_failed_installation_counts(tmp_path, lock):
    folder, cancelled = tmp_path / "engine", threading.Event()
    with pytest.raises(Fault) as caught:
        environment.create_managed(BASE, folder, [lock], lambda line: cancelled.set(), cancelled)
    assert caught.value.code == "cancelled"
    lock.write_text(lock.read_text()[:-5] + "0000\n")
    with pytest.raises(Fault, match="HASH") as caught:
        environment.create_managed(BASE, folder, [lock], lambda line: None)
    assert caught.value.code == "environment_failed"
    with pytest.raises(Fault, match="not installed"):
        environment.find_engine_python("", {}, folder, [lock])


def test_an_environment_that_another_process_is_making_is_left_alone(tmp_path, lock):
    folder, lock_file = tmp_path / "engine", tmp_path / "engine.lock"
    other = subprocess.Popen([BASE, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {"host": socket.gethostname(), "pid": other.pid, "since": time.time() - 180.0}
    lock_file.write_text(json.dumps(owner))
    with pytest.raises(Fault) as caught:
        environment.create_managed(BASE, folder, [lock], lambda line: None)
    assert caught.value.code == "environment_locked" and not folder.exists()
    assert f"process {other.pid} on {socket.gethostname()}, for 3 minutes" in caught.value.text
    other.communicate(b"\n")
    with addon("core.lock").locked(lock_file, "code", "at work"):
        pass
    assert not lock_file.exists(), "one that a dead process left is taken over, and given back"


def test_only_an_old_lock_of_another_host_is_taken_over(tmp_path):
    path, locks = tmp_path / "engine.lock", addon("core.lock")
    for age, free in ((60.0, False), (locks.MAX_AGE + 60.0, True)):
        path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": time.time() - age}))
        if free:
            with locks.locked(path, "code", "at work"):
                assert json.loads(path.read_text())["pid"] == os.getpid()
        else:
            with pytest.raises(Fault, match="elsewhere"), locks.locked(path, "code", "at work"):
                pass


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path, lock):
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "diary.txt").write_text("mine")
    with pytest.raises(Fault) as caught:
        environment.create_managed(BASE, tmp_path / "engine", [lock], lambda line: None)
    assert caught.value.code == "environment_folder"
    assert (tmp_path / "engine" / "diary.txt").read_text() == "mine"


def test_the_first_place_that_is_set_counts(tmp_path):
    variable = {environment.VARIABLE: str(ENGINE_PYTHON)}
    find = environment.find_engine_python
    assert find("", variable, tmp_path, []) == ENGINE_PYTHON
    assert find(str(BASE), variable, tmp_path, []) == BASE
    with pytest.raises(Fault, match="preferences name .*nowhere.*no such file"):
        find(str(tmp_path / "nowhere"), variable, tmp_path, [])


@pytest.mark.skipif(os.name == "nt", reason="shell script")
def test_only_a_python_that_has_the_packages_will_do(tmp_path, monkeypatch):
    other = tmp_path / "python3.13"
    other.write_text("#!/bin/sh\necho 3 10\n")
    other.chmod(0o755)
    with pytest.raises(Fault, match=r"is Python 3.10; the engine needs Python 3.11 to 3.13"):
        environment.find_base_python(str(other))
    with pytest.raises(Fault, match="is not a Python"):
        environment.find_base_python(str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(other))
    with pytest.raises(Fault, match="No Python 3.11 to 3.13 was found") as caught:
        environment.find_base_python()
    assert "python.org" in caught.value.remedy


def test_blender_s_own_python_is_taken_first(tmp_path, monkeypatch):
    """Blender 5.1 and later have Python 3.13; nobody needs to install another."""
    for name, version in (("blender-python", "3 13"), ("python3.11", "3 11")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "blender-python"))
    assert environment.find_base_python() == tmp_path / "blender-python"


def test_slow_work_can_be_watched_and_its_fault_is_kept():
    step = threading.Event()

    def work(report, cancelled):
        report("one")
        step.wait(5)
        raise Fault("code", "broken", "mend it")

    background = Background(work)
    while not background.lines:
        background.tick()
    assert not background.over
    step.set()
    background.wait()
    assert background.over and background.tick()
    assert background.fault.code == "code"
