"""Takes that many can finish: resumed after a kill, drawn in chunks by several processes, verified and replayed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from engine.errors import Cancelled, EngineError
from engine.media import hashes
from engine.media.image import encode_png, read_image
from engine.pipeline import render
from engine.protocol import Job
from engine.takes.take import Take
from engine.takes.verify import verify
from tests.engine.conftest import Engine
from tests.engine.faces import SAMPLE

ROOT = Path(__file__).resolve().parents[2]
NAME = "s_understudy_v001"
A_SECOND = 3.0  # as long as it takes on a machine that many share; alone it is less than one
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-X", "utf8", "-m", "engine", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def engine(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    process = start(*arguments)
    words = process.communicate(timeout=120)
    return process.returncode, *words


def null(portrait: Path, out: Path, *more: str | Path) -> tuple[str | Path, ...]:
    """Arguments of a render of plates 0–19 by the system that only copies."""
    plates = portrait.parent / "plates"
    if not plates.is_dir():
        plates.mkdir()
        for i in range(20):
            (plates / f"p.{i:02d}.png").write_bytes(encode_png(np.full((8, 8, 3), i, np.uint8)))
    common = ("render", "--system", "null", "--portrait", portrait, "--driving", plates, "--shot", "s")
    return (*common, "--out", out, *more)


def sidecar(take: Path) -> dict[str, Any]:
    return json.loads((take / f"{take.name}.json").read_text(encoding="utf-8"))


def frame_bytes(take: Path) -> dict[str, bytes]:
    """Every frame's file by its number."""
    return {path.name.split(".")[-2]: path.read_bytes() for path in sorted(take.glob("*.png"))}


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> tuple[str | Path, ...]:
    """Arguments that render a real portrait from a movie."""
    folder = tmp_path_factory.mktemp("shot é")
    (folder / "astronaut.png").write_bytes(encode_png(data.astronaut()[:256, 96:352]))
    return ("render", "--portrait", folder / "astronaut.png", "--driving", SAMPLE, "--shot", "s")


@pytest.fixture(scope="module")
def whole(shot: tuple[str | Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames 20–27 of the shot, rendered at once."""
    out = tmp_path_factory.mktemp("whole")
    code, _, words = engine(*shot, "--out", out, "--frames", "20-27")
    assert code == 0, words
    return out / NAME


def test_chunks_of_two_processes_equal_the_whole_bit_for_bit(
    shot: tuple[str | Path, ...], whole: Path, folder: Path
) -> None:
    chunks = [("--frames", "20-23", "--first-frame", "1001"), ("--frames", "24-27", "--first-frame", "1005")]
    hosts = [start(*shot, "--out", folder, "--take", "latest", *chunk) for chunk in chunks]
    for host in hosts:
        _, words = host.communicate(timeout=120)
        assert host.returncode == 0, words
    assert [path.name for path in folder.glob("*_understudy_v*")] == [NAME]
    assert frame_bytes(folder / NAME) == frame_bytes(whole)
    record = sidecar(folder / NAME)
    assert record["state"] == "done" and record["frames"] == sidecar(whole)["frames"]
    assert record["fingerprint"] == sidecar(whole)["fingerprint"]
    assert record["notes"]["neutral_frame"] == sidecar(whole)["notes"]["neutral_frame"]
    assert [(w["state"], w["asked"]) for w in record["writers"]] == [("done", 4)] * 2
    assert len(record["job"]["frames"]) == 8
    assert verify(Take(folder / NAME)).whole


def test_two_processes_that_draw_the_same_frames_harm_nothing(folder: Path, portrait: Path) -> None:
    arguments = null(portrait, folder / "out", "--take", "latest", "--option", "delay_ms=20")
    hosts = [start(*arguments) for _ in range(3)]
    for host in hosts:
        _, words = host.communicate(timeout=120)
        assert host.returncode == 0 and "20 of 20 frames written" in words, words
    take = folder / "out" / NAME
    assert all(np.array_equal(read_image(path), read_image(portrait)) for path in take.glob("*.png"))
    assert sorted(p.name for p in take.iterdir()) == sorted(
        [f"{NAME}.json", "records", *(f"{NAME}.{1001 + i}.png" for i in range(20))]
    )
    assert sidecar(take)["state"] == "done" and len(sidecar(take)["writers"]) == 3
    assert engine("verify", take)[0] == 0


@posix
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_take_that_was_stopped_is_resumed_to_the_same_bits(folder: Path, portrait: Path, end: signal.Signals) -> None:
    process = start(*null(portrait, folder / "out", "--option", "delay_ms=50"))
    take = folder / "out" / NAME
    until(lambda: len(list(take.glob("*.png"))) >= 4)
    process.send_signal(end)
    asked = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - asked < A_SECOND
    assert process.returncode == (130 if end != signal.SIGKILL else -signal.SIGKILL)

    report = verify(Take(take))
    assert not report.whole and sidecar(take) == json.loads(json.dumps(report.sidecar))
    assert report.sidecar["state"] == ("interrupted" if end == signal.SIGKILL else "cancelled")
    done = [row[0] for row in report.sidecar["frames"] if row[2] == "ok"]
    assert [f"{number}" for number in done] == list(frame_bytes(take)) and 4 <= len(done) < 20
    (take / f"{NAME}.1002.png").write_bytes((take / f"{NAME}.1002.png").read_bytes()[:-30])
    kept = {number: (take / f"{NAME}.{number}.png").stat().st_mtime_ns for number in done if number != 1002}

    again = Job.from_json(report.sidecar["job"])
    messages: list[dict[str, Any]] = []
    assert render(replace(again, take="latest"), messages.append, lambda: False)
    assert [m["frame"] for m in messages if m.get("status") == "kept"] == list(kept)
    assert kept == {number: (take / f"{NAME}.{number}.png").stat().st_mtime_ns for number in kept}
    assert render(replace(again, output=str(folder / "whole")), messages.append, lambda: False)
    assert frame_bytes(take) == frame_bytes(folder / "whole" / NAME)
    assert sidecar(take)["state"] == "done" and verify(Take(take)).whole
    assert [path.name for path in (folder / "out").iterdir()] == [NAME]


def test_frames_that_are_there_are_announced_as_kept(
    start_engine: Callable[..., Engine], job: Callable[..., dict[str, Any]]
) -> None:
    engine = start_engine()
    engine.send(job(3))
    engine.until("done")
    engine.send(job(5, take="v001"))
    messages = engine.until("done")
    assert sorted((m["frame"], m["status"]) for m in messages if m["type"] == "frame") == [
        *((number, "kept") for number in (1001, 1002, 1003)),
        *((number, "ok") for number in (1004, 1005)),
    ]
    assert messages[-1]["frames"] == 5 and [m["done"] for m in messages if m["type"] == "progress"][0] == 3
    record = json.loads(Path(messages[-1]["sidecar"]).read_text(encoding="utf-8"))
    assert [row[2] for row in record["frames"]] == ["ok"] * 5


def test_a_take_refuses_what_it_was_not_made_from_and_stays_as_it_is(
    start_engine: Callable[..., Engine], job: Callable[..., dict[str, Any]], folder: Path, portrait: Path
) -> None:
    engine = start_engine()
    engine.send(job(2))
    take = Path(engine.until("done")[-1]["folder"])
    before = {path: path.read_bytes() for path in take.rglob("*") if path.is_file()}
    other = folder / "other.png"
    other.write_bytes(encode_png(np.zeros((64, 48, 3), np.uint8)))
    for fields, said in (
        ({"options": {"delay_ms": 1}}, "options"),
        ({"no_face": "fail"}, "no face (hold, not fail)"),
        ({"portraits": [str(other)]}, "the portraits' contents"),
        ({"frames": [[1002, 7]]}, "source frame 1, not 7"),
        ({"frames": [[1000, 0], [1001, 1]]}, "source frame 0, not 1"),
    ):
        engine.send(job(**{"take": "latest", **fields}))
        answer = engine.receive()
        assert answer["code"] in ("other_take", "other_frames") and said in answer["text"], answer
    assert before == {path: path.read_bytes() for path in take.rglob("*") if path.is_file()}


def test_a_portrait_that_changes_after_it_was_read_is_not_in_the_fingerprint(
    job: Callable[..., dict[str, Any]], portrait: Path
) -> None:
    asked, read = Job.from_json(job(1)), []

    def cancelled() -> bool:
        if not read:  # asked first when all portraits are read
            read.append(portrait.read_bytes())
            portrait.write_bytes(encode_png(np.zeros((64, 48, 3), np.uint8)))
        return False

    messages: list[dict[str, Any]] = []
    assert render(asked, messages.append, cancelled)
    take = Path(messages[-1]["folder"])
    with pytest.raises(EngineError, match="the portraits' contents"):
        render(replace(asked, take="v001"), messages.append, lambda: False)
    portrait.write_bytes(read[0])
    assert render(replace(asked, take="v001"), messages.append, lambda: False)
    assert messages[-1]["folder"] == str(take)


def test_a_file_of_somebody_else_is_never_overwritten(folder: Path, portrait: Path) -> None:
    take = folder / "out" / NAME
    assert engine(*null(portrait, folder / "out", "--frames", "0-3"))[0] == 0
    shutil.copy(portrait, take / f"{NAME}.1005.png")
    code, _, words = engine(*null(portrait, folder / "out", "--take", "latest"))
    assert code == 1 and "error (other_frames)" in words and "1005" in words and "no tag" in words
    assert (take / f"{NAME}.1005.png").read_bytes() == portrait.read_bytes()
    assert len(sidecar(take)["writers"]) == 1


def test_verify_lists_what_is_wrong(folder: Path, portrait: Path) -> None:
    take = folder / "out" / NAME
    assert engine(*null(portrait, folder / "out", "--frames", "0-9"))[0] == 0

    def frame(number: int) -> Path:
        return take / f"{NAME}.{number}.png"

    frame(1003).unlink()
    frame(1004).unlink()
    frame(1006).write_bytes(frame(1006).read_bytes()[:-1])
    flipped = bytearray(frame(1007).read_bytes())
    flipped[-40] ^= 1
    frame(1007).write_bytes(flipped)
    shutil.copy(frame(1008), frame(1009))
    shutil.copy(frame(1008), frame(1050))
    frame(1010).unlink()
    frame(1010).mkdir()
    code, words, _ = engine("verify", take)
    assert code == 1
    for line in (
        "missing  1003-1004",
        "torn     1006-1007",
        f"foreign  {NAME}.1009.png: it was drawn from source frame 7, not 8",
        f"foreign  {NAME}.1050.png: no writer was asked for it",
        f"{NAME}: 4 of 10 frames are whole",
    ):
        assert line in words.splitlines()
    assert f"foreign  {NAME}.1010.png: it cannot be read" in words
    assert {row[0]: row[2] for row in sidecar(take)["frames"]}[1006] == "torn"
    assert sidecar(take)["state"] == "incomplete"
    (take / f"{NAME}.json").unlink()
    assert engine("verify", take)[0] == 1 and len(sidecar(take)["frames"]) == 10
    assert engine("verify", folder)[0] == engine("verify", folder / "gone")[0] == 2


def test_a_sidecar_is_replayed_to_the_same_bits(whole: Path, folder: Path) -> None:
    shutil.copytree(whole.parent / "motion", folder / "again" / "motion")  # analysed already, to save time
    code, out, words = engine("render", "--job", whole / f"{NAME}.json", "--out", folder / "again")
    assert code == 0, words
    again = Path(out.strip())
    assert again == folder / "again" / NAME and frame_bytes(again) == frame_bytes(whole)
    assert sidecar(again)["fingerprint"] == sidecar(whole)["fingerprint"]


def test_a_replay_warns_of_changed_inputs_and_fails_without_them(folder: Path, portrait: Path) -> None:
    assert engine(*null(portrait, folder / "out", "--frames", "0-2"))[0] == 0
    json_file = folder / "out" / NAME / f"{NAME}.json"
    code, _, words = engine("render", "--job", json_file, "--take", "v001")
    assert code == 0 and "3 of them before" in words and "warning" not in words
    portrait.write_bytes(encode_png(np.zeros((64, 48, 3), np.uint8)))
    code, out, words = engine("render", "--job", json_file)
    assert code == 0 and out.strip().endswith("v002") and f"warning: {portrait} has changed" in words
    portrait.unlink()
    code, _, words = engine("render", "--job", json_file)
    assert code == 1 and "error (missing_file)" in words and portrait.name in words
    assert engine("render", "--job", json_file, "--system", "null", "--shot", "x")[0] == 2
    json_file.write_text("{}")
    code, _, words = engine("render", "--job", json_file)
    assert code == 1 and "error (not_a_sidecar)" in words


def test_a_fault_before_the_first_frame_leaves_no_take(folder: Path, portrait: Path) -> None:
    code, _, words = engine(*null(portrait, folder / "out", "--option", "fail_at=0"))
    assert code == 1 and "null_fault" in words
    assert list((folder / "out").iterdir()) == []


@posix
def test_an_interrupt_while_analysing_stops_within_a_second(shot: tuple[str | Path, ...], folder: Path) -> None:
    process = start(*shot, "--out", folder / "out")
    assert process.stderr
    while not process.stderr.readline().startswith("analyse"):
        pass
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 130 and time.monotonic() - asked < A_SECOND
    assert not list((folder / "out").glob("*_understudy_*"))


@posix
def test_an_interrupt_ends_what_does_not_listen_and_the_sidecar_says_so(folder: Path, portrait: Path) -> None:
    take = folder / "out" / NAME
    process = start(*null(portrait, folder / "out", "--option", "delay_ms=30000"))
    until(take.is_dir)
    time.sleep(0.5)  # in the middle of a long frame
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 130 and time.monotonic() - asked < A_SECOND
    assert sidecar(take)["state"] == "cancelled"


@posix
def test_a_job_that_is_killed_because_its_cancel_takes_too_long_is_cancelled_in_the_sidecar(
    start_engine: Callable[..., Engine], job: Callable[..., dict[str, Any]]
) -> None:
    engine = start_engine()
    engine.send(job(3, options={"delay_ms": 30000}))
    take = Path(engine.until("take")[-1]["folder"])
    assert sidecar(take)["state"] == "running"
    time.sleep(0.5)  # in the middle of a long frame
    engine.send({"type": "cancel"})
    until(lambda: sidecar(take)["state"] == "cancelled")
    engine.process.kill()
    assert [writer["state"] for writer in sidecar(take)["writers"]] == ["cancelled"]


def test_done_does_not_wait_for_the_hash_of_long_footage(
    folder: Path, portrait: Path, make_movie: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = make_movie("m.mp4", 8)
    asked = Job.from_json(
        {
            "system": "null",
            "portraits": [str(portrait)],
            "driving": {"kind": "movie", "path": str(movie)},
            "frames": [[1001 + i, i] for i in range(4)],
            "fps": [24, 1],
            "output": str(folder / "out"),
            "shot": "s",
        }
    )
    original = hashes.sha256

    def slow(path: Path, check: Callable[[], None] = lambda: None) -> str:
        while path == movie:
            time.sleep(0.01)
            check()
        return original(path, check)

    monkeypatch.setattr(hashes, "sha256", slow)
    cancelled = threading.Event()
    messages: list[dict[str, Any]] = []

    def emit(message: dict[str, Any]) -> None:
        messages.append(message)
        if sum(m["type"] == "frame" for m in messages) == 4:
            cancelled.set()

    started = time.monotonic()
    assert render(asked, emit, cancelled.is_set), "all frames were there when the cancel came"
    assert time.monotonic() - started < 1.0
    record = sidecar(folder / "out" / NAME)
    assert record["state"] == "done"
    assert {entry["role"]: entry["sha256"] is None for entry in record["inputs"]} == {
        "portrait": False,
        "driving": True,
    }
    started = time.monotonic()
    assert render(replace(asked, take="new"), messages.append, lambda: False)
    assert time.monotonic() - started < 4.0


def test_an_input_that_has_gone_or_cannot_be_hashed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="gone.png") as fault:
        hashes.Hashes([("portrait", folder / "gone.png")])
    assert fault.value.code == "missing_file"
    (folder / "a.png").write_bytes(b"a")

    def broken(path: Path, check: Callable[[], None]) -> str:
        raise MemoryError("no more memory")

    monkeypatch.setattr(hashes, "_read", broken)
    patience = time.monotonic() + 10

    def check() -> None:
        assert time.monotonic() < patience

    with pytest.raises(EngineError, match="a.png.*no more memory"):
        hashes.Hashes([("portrait", folder / "a.png")]).wait("portrait", check)


def test_a_hash_is_computed_once_while_the_file_stays(folder: Path) -> None:
    file, long_ago = folder / "footage.mov", time.time() - 100
    file.write_bytes(b"a" * 5_000_000)
    os.utime(file, (long_ago, long_ago))
    time.sleep(2.1)  # so that a change shows in the times

    def check() -> None:
        raise Cancelled

    first = hashes.sha256(file)
    assert hashes.sha256(file, check) == first
    file.write_bytes(b"b" * 5_000_000)
    with pytest.raises(Cancelled):
        hashes.sha256(file, check)
    assert hashes.sha256(file) != first


@posix
def test_a_take_that_its_creator_leaves_empty_stays_for_whoever_has_joined(folder: Path, portrait: Path) -> None:
    slow = ("--take", "v001", "--option", "delay_ms=3000")
    first = start(*null(portrait, folder / "out", *slow, "--frames", "0"))
    until((folder / "out" / NAME).is_dir)
    second = start(*null(portrait, folder / "out", *slow, "--frames", "5", "--first-frame", "1006"))
    until(lambda: len(list((folder / "out" / NAME / "records").glob("[!.]*.json"))) == 2)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    _, words = second.communicate(timeout=30)
    assert second.returncode == 0, words
    assert sorted(frame_bytes(folder / "out" / NAME)) == ["1006"]
