"""Footage is analysed once: by one of several processes, kept under a name that changes with all that decides it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import Cancelled, EngineError
from engine.media.hashes import file_hashes
from engine.media.image import encode_png
from engine.media.movie import MovieSource
from engine.media.source import SequenceSource
from engine.motion.footage import CachedAnalysis, Footage
from engine.motion.lock import FileLock
from engine.motion.motion import Motion
from engine.tracking.builtin_detector import BuiltinDetector
from engine.tracking.registry import create, names
from tests.engine.faces import SAMPLE

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
# Analyses the sample's frames [0, N) into a folder once a line comes in, and prints its progress.
ANALYST = """
import json, sys
from contextlib import closing
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from engine.media.movie import MovieSource
from engine.motion.footage import Footage
from engine.tracking.registry import create
footage = Footage(MovieSource(Path(sys.argv[2])), (0, int(sys.argv[4])))
with closing(create("builtin")) as detector:
    print("ready", flush=True)
    sys.stdin.readline()
    emit = lambda message: print(json.dumps(message), flush=True)
    motion = footage.motion([], detector, Path(sys.argv[3]), emit, lambda: None)
print(f"neutral {motion.neutral}", flush=True)
"""


class Analyst:
    """A process of its own that waits for :meth:`go`."""

    def __init__(self, folder: Path, frames: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ANALYST, str(ROOT), str(SAMPLE), str(folder), str(frames)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        assert self.line() == "ready"

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def until(self, phase: str, done: int) -> None:
        while (message := json.loads(self.line()))["phase"] != phase or message["done"] < done:
            pass

    def end(self) -> list[str]:
        """The lines still to come; the last says the neutral frame."""
        output, _ = self.process.communicate(timeout=PATIENCE)
        return output.splitlines()


@pytest.fixture
def analyst(folder: Path) -> Iterator[Callable[[int], Analyst]]:
    analysts: list[Analyst] = []

    def start(frames: int) -> Analyst:
        analysts.append(Analyst(folder / "motion", frames))
        return analysts[-1]

    yield start
    for each in analysts:
        each.process.kill()
        each.process.wait()


def kept(folder: Path) -> list[str]:
    return sorted(path.name.split(".", 2)[2] for path in (folder / "motion").iterdir())


def test_two_processes_at_once_make_one_analysis(analyst: Callable[[int], Analyst], folder: Path) -> None:
    pair = [analyst(24), analyst(24)]
    for each in pair:
        each.go()
    outputs = [each.end() for each in pair]
    assert outputs[0][-1] == outputs[1][-1] and outputs[0][-1].startswith("neutral")
    phases = [[(m["phase"], m["done"]) for m in map(json.loads, lines[:-1])] for lines in outputs]
    worked = [any(phase == "analyse" and 0 < done < 24 for phase, done in each) for each in phases]
    assert sorted(worked) == [False, True]
    assert ("wait", 0) in phases[worked.index(False)]
    assert kept(folder) == ["hashes.json", "motion.npz"], "no lock and no half file is left"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere only the missing heartbeat tells")
def test_an_analysis_whose_process_was_killed_is_taken_over(analyst: Callable[[int], Analyst], folder: Path) -> None:
    first, second = analyst(48), analyst(48)
    first.go()
    first.until("analyse", 2)
    second.go()
    second.until("wait", 0)
    assert "motion.npz.lock" in kept(folder)
    first.process.kill()
    first.process.wait()
    assert second.end()[-1].startswith("neutral")
    assert kept(folder) == ["hashes.json", "motion.npz"]
    [file] = (folder / "motion").glob("*.motion.npz")
    assert len(Motion.load(file)) == 48


def write_plates(folder: Path, shade: int) -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(3):
        (folder / f"p.{i}.png").write_bytes(encode_png(np.full((32, 32, 3), shade + i, np.uint8)))
    return folder


def plates(folder: Path, rate: int = 24) -> SequenceSource:
    return SequenceSource(folder, [f"p.{i}.png" for i in range(3)], Fraction(rate))


def test_who_waits_may_cancel(folder: Path) -> None:
    source = plates(write_plates(folder / "plates", 90))
    with closing(BuiltinDetector()) as detector:
        path = CachedAnalysis(folder / "motion", source, 0, 3, detector).path
        owner = FileLock(path.with_name(f"{path.name}.lock"))
        assert owner.acquire()
        messages: list[dict[str, Any]] = []

        def check() -> None:
            if messages:
                raise Cancelled

        with pytest.raises(Cancelled):
            CachedAnalysis(folder / "motion", source, 0, 3, detector, check).motion(messages.append)
        assert [message["phase"] for message in messages] == ["wait"]
        owner.release()
        with pytest.raises(EngineError) as fault:  # who held the lock has left no result: it is this one's turn
            CachedAnalysis(folder / "motion", source, 0, 3, detector).motion(messages.append)
        assert fault.value.code == "no_face"
        assert not owner.path.exists()


def test_the_name_changes_with_all_that_decides_the_result(folder: Path) -> None:
    first = write_plates(folder / "plates", 90)
    network = folder / "network.onnx"
    network.write_bytes(b"some weights")

    class Retrained(BuiltinDetector):
        @property
        def weights(self) -> tuple[Path, ...]:
            return (network,)

    def name(source: SequenceSource, start: int = 0, stop: int = 3) -> str:
        with closing(Retrained()) as detector:
            return CachedAnalysis(folder / "motion", source, start, stop, detector).path.name

    before = name(plates(first))
    assert name(plates(first)) == before
    assert name(plates(first), 0, 2) != before and name(plates(first, 25)) != before
    for path in first.iterdir():
        os.utime(path)
    assert name(plates(first)) == before, "footage that was only touched is the same footage"
    assert name(plates(Path(shutil.copytree(first, folder / "copy")))) == before

    changed = first / "p.1.png"
    stat, data = changed.stat(), changed.read_bytes()
    changed.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert changed.stat().st_size == stat.st_size and changed.stat().st_mtime_ns == stat.st_mtime_ns
    assert name(plates(first)) != before
    changed.write_bytes(data)
    assert name(plates(first)) == before
    network.write_bytes(b"same length.")
    assert name(plates(first)) != before


@pytest.mark.parametrize("name", names())
def test_every_detector_names_its_networks(name: str) -> None:
    if name == "face-alignment":
        pytest.importorskip("face_alignment")
    with closing(create(name)) as detector:
        assert detector.weights and all(path.is_file() for path in detector.weights)


def test_a_hash_is_remembered_while_its_file_stays(folder: Path) -> None:
    memory, fresh = folder / "hashes.json", folder / "fresh"
    fresh.write_bytes(b"abc")
    (sha256, _) = file_hashes([SAMPLE, fresh], memory)
    entries = json.loads(memory.read_bytes())
    assert list(entries) == [str(SAMPLE)], "a file that may change again within its time stamp is not remembered"
    entries[str(SAMPLE)][3] = "f" * 64
    memory.write_text(json.dumps(entries))
    assert file_hashes([SAMPLE], memory) == ["f" * 64]
    for damaged in ("", "[]", '{"a": 1}', json.dumps({str(SAMPLE): [1, 2, 3, 4]}), "[" * 100_000):
        memory.write_text(damaged)
        assert file_hashes([SAMPLE], memory) == [sha256]
    with pytest.raises(EngineError, match="nowhere") as fault:
        file_hashes([folder / "nowhere"], memory)
    assert fault.value.code == "missing_file"


def test_hashing_can_be_cancelled(folder: Path) -> None:
    (folder / "long").write_bytes(bytes(5 << 20))
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        file_hashes([folder / "long"], folder / "hashes.json", check)
    assert asked == 3


def test_a_range_beyond_the_footage_is_refused(folder: Path) -> None:
    with pytest.raises(EngineError) as fault:
        Footage(MovieSource(SAMPLE), (40, 49))
    assert fault.value.code == "frame_out_of_range"
    with pytest.raises(EngineError) as fault:
        Footage(MovieSource(SAMPLE), (8, 12)).check([8, 12])
    assert fault.value.code == "frame_out_of_range"


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "work.lock"


def test_a_lock_has_one_owner(path: Path) -> None:
    owner, other = FileLock(path), FileLock(path)
    assert owner.acquire() and not other.acquire()
    assert str(os.getpid()) in other.owner()
    other.release()
    assert not other.acquire(), "only its owner releases a lock"
    owner.release()
    assert other.acquire()
    other.release()
    assert not path.exists()


def test_a_lock_that_cannot_be_written_is_not_left(path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(EngineError, match="cannot be written"):
            FileLock(path).acquire()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    lock = FileLock(path)
    assert lock.acquire()
    lock.release()


def test_a_lock_that_somebody_reads_for_a_moment_is_released(path: Path, busy: Callable[[str], None]) -> None:
    lock = FileLock(path)
    assert lock.acquire()
    busy("unlink")
    lock.release()
    assert not path.exists()


def test_the_lock_of_another_host_lasts_while_it_is_touched(path: Path) -> None:
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "a"}))
    lock = FileLock(path, stale_after=0.6)
    for _ in range(8):
        assert not lock.acquire()
        time.sleep(0.15)
        os.utime(path)
    patience = time.monotonic() + 10
    while not lock.acquire():
        assert time.monotonic() < patience
        time.sleep(0.1)
    lock.release()


def test_a_living_owner_keeps_its_lock_fresh(path: Path) -> None:
    owner, other = FileLock(path, heartbeat=0.1), FileLock(path, stale_after=0.6)
    assert owner.acquire()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert not other.acquire()
        time.sleep(0.1)
    owner.release()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1, "pid": "x"}'])
def test_a_lock_that_names_nobody_goes_stale_too(path: Path, content: str) -> None:
    path.write_text(content)
    lock = FileLock(path, stale_after=0.2)
    assert not lock.acquire() and lock.owner() == "another process"
    time.sleep(0.3)
    assert not lock.acquire() and lock.acquire()
    lock.release()


def test_a_lock_that_was_taken_over_in_the_meantime_is_put_back(path: Path) -> None:
    """Two wait for a dead owner; the slower one must not remove the lock of the faster."""
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "a"}))
    slow, fast = FileLock(path, stale_after=0.1), FileLock(path, stale_after=0.1)
    assert not slow.acquire() and not fast.acquire()
    time.sleep(0.2)
    judged = slow._is_dead

    def overtaken(content: str) -> bool:
        dead = judged(content)
        assert not fast.acquire() and fast.acquire()
        return dead

    slow._is_dead = overtaken  # between looking and removing
    assert not slow.acquire()
    assert not FileLock(path).acquire() and "elsewhere" not in FileLock(path).owner()
    fast.release()
    assert list(path.parent.iterdir()) == []
