"""Takes: each render gets a folder of its own, whoever else asks at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.takes import take as takes

ROOT = Path(__file__).resolve().parents[2]
ALLOCATE = """
import sys
from pathlib import Path
from engine.takes import take as takes
sys.stdin.readline()
for _ in range(25):
    print(takes.allocate(Path(sys.argv[1]), "sh010").name)
"""


def test_versions_count_up_from_the_highest(folder: Path) -> None:
    assert takes.allocate(folder, "sh010").name == "sh010_understudy_v001"
    (folder / "sh010_understudy_v041").mkdir()
    (folder / "sh010_understudy_v999x").mkdir()
    (folder / "sh0100_understudy_v500").mkdir()
    take = takes.allocate(folder, "sh010")
    assert take.folder == folder / "sh010_understudy_v042" and take.folder.is_dir()
    assert take.sidecar == take.folder / "sh010_understudy_v042.json"
    assert take.frame(7).name == "sh010_understudy_v042.0007.png"


def test_a_file_with_the_name_of_a_take_is_left_alone(folder: Path) -> None:
    (folder / "sh010_understudy_v001").write_text("mine")
    assert takes.allocate(folder, "sh010").name == "sh010_understudy_v002"
    assert (folder / "sh010_understudy_v001").read_text() == "mine"


def test_processes_that_allocate_at_once_never_share_a_folder(folder: Path) -> None:
    command = [sys.executable, "-c", ALLOCATE, str(folder)]
    hosts = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for host in hosts:
        assert host.stdin
        host.stdin.write("\n")
        host.stdin.flush()
    names = [name for host in hosts for name in host.communicate()[0].split()]
    assert len(names) == 100 == len(set(names))
    assert sorted(names) == sorted(entry.name for entry in folder.iterdir())


def test_the_output_folder_is_made_and_proven(folder: Path) -> None:
    takes.prepare_output(folder / "a" / "b c")
    assert list((folder / "a" / "b c").iterdir()) == []
    (folder / "file").touch()
    with pytest.raises(EngineError, match="cannot be written") as fault:
        takes.prepare_output(folder / "file" / "out")
    assert fault.value.code == "not_writable"
