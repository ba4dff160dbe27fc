"""The engine's process, spoken to as the add-on does; what counts is what lies on disk."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import protocol
from engine.media.image import encode_png, read_image
from engine.protocol import FIRST_FRAME
from tests.engine.conftest import BOOTSTRAP, Engine

Start = Callable[..., Engine]
MakeJob = Callable[..., dict[str, Any]]


def frames_on_disk(done: dict[str, Any], portrait: Path) -> list[int]:
    """Numbers of the frames in the take's folder, each proven to be the whole portrait; nothing else may lie there."""
    folder, pixels = Path(done["folder"]), read_image(portrait)
    numbers = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".png":
            assert np.array_equal(read_image(path), pixels)
            numbers.append(int(path.name.split(".")[-2]))
        else:
            assert path in (Path(done["sidecar"]), folder / "records")
    return numbers


def sidecar(done: dict[str, Any]) -> dict[str, Any]:
    return json.loads(Path(done["sidecar"]).read_text(encoding="utf-8"))


def test_a_job_from_hello_to_done(start_engine: Start, job: MakeJob, portrait: Path, folder: Path) -> None:
    engine = start_engine(arguments=("--log", str(folder / "logs" / "engine.log")))
    hello = engine.receive()
    assert (hello["type"], hello["protocol"], hello["version"]) == ("hello", protocol.PROTOCOL, protocol.VERSION)
    assert hello["pid"] == engine.process.pid
    engine.send(job(7))
    messages = engine.until("done")
    take, done = messages[0], messages[-1]
    assert take == {
        "type": "take",
        "folder": str(folder / "renders out" / "sh010_understudy_v001"),
        "name": "sh010_understudy_v001",
        "width": 48,
        "height": 64,
        "total": 7,
    }
    announced = sorted((m["frame"], m["file"], m["status"]) for m in messages if m["type"] == "frame")
    assert announced == [(n, f"sh010_understudy_v001.{n}.png", "ok") for n in range(1001, 1008)]
    progress = [m for m in messages if m["type"] == "progress"]
    assert [(m["phase"], m["done"], m["total"]) for m in (progress[0], progress[-1])] == [
        ("render", 0, 7),
        ("render", 7, 7),
    ]
    assert (done["frames"], done["cancelled"], done["folder"]) == (7, False, take["folder"])
    assert frames_on_disk(done, portrait) == list(range(1001, 1008))
    engine.send({"type": "exit"})
    assert engine.ended() == 0
    assert "7 frames" in (folder / "logs" / "engine.log").read_text(encoding="utf-8")


def test_the_sidecar_says_what_the_take_was_made_from(
    start_engine: Start, job: MakeJob, portrait: Path, make_movie: Callable[..., Path]
) -> None:
    movie = make_movie("Fähre 1.mp4", 20)
    asked = job(driving={"kind": "movie", "path": str(movie)}, frames=[[1001, 4], [1002, 4], [1005, 9]])
    engine = start_engine()
    engine.send(asked)
    record = sidecar(engine.until("done")[-1])
    assert record["state"] == "done" and record["error"] is None
    assert protocol.Job.from_json(record["job"]) == protocol.Job.from_json(asked)
    assert record["frames"] == [[1001, 4, "ok"], [1002, 4, "ok"], [1005, 9, "ok"]]
    assert record["inputs"] == [
        {
            "role": role,
            "path": str(path),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for role, path in (("portrait", portrait), ("driving", movie))
    ]
    assert {"draw", "render", "write"} <= set(record["seconds"]) and record["device"].startswith("CPU")
    assert {"understudy", "python", "numpy", "av"} <= set(record["versions"])


def test_cancel_stops_within_a_second_and_keeps_what_is_done(start_engine: Start, job: MakeJob, portrait: Path) -> None:
    engine = start_engine()
    engine.send(job(500, options={"delay_ms": 50}))
    messages = [engine.receive() for _ in range(12)]
    asked = time.monotonic()
    engine.send({"type": "cancel"})
    messages += engine.until("done")
    assert time.monotonic() - asked < 1.0
    done, written = messages[-1], sorted(m["frame"] for m in messages if m["type"] == "frame")
    assert done["cancelled"] and 0 < done["frames"] == len(written) < 500
    assert frames_on_disk(done, portrait) == written
    record = sidecar(done)
    assert record["state"] == "cancelled"
    assert [row[0] for row in record["frames"] if row[2] == "ok"] == written
    assert len(record["frames"]) == 500 and record["frames"][-1][2] == "missing"
    engine.send(job(3))
    again = engine.until("done")[-1]
    assert not again["cancelled"] and frames_on_disk(again, portrait) == [1001, 1002, 1003]


def test_cancel_reaches_a_job_that_still_waits(start_engine: Start, job: MakeJob) -> None:
    engine = start_engine()
    line = json.dumps(job(200, options={"delay_ms": 20})).encode() + b"\n"
    engine.send(line + line + b'{"type":"cancel"}\n')
    for _ in range(2):
        done = engine.until("done")[-1]
        assert done["cancelled"] and done["frames"] < 200


def test_end_of_input_cancels_and_ends_the_process(start_engine: Start, job: MakeJob, portrait: Path) -> None:
    engine = start_engine()
    engine.send(job(500, options={"delay_ms": 50}))
    engine.until("frame")
    assert engine.process.stdin
    engine.process.stdin.close()
    done = engine.until("done")[-1]
    assert done["cancelled"] and engine.ended() == 0
    assert len(frames_on_disk(done, portrait)) == done["frames"]


def test_a_fault_in_the_middle_keeps_what_is_done(start_engine: Start, job: MakeJob, portrait: Path) -> None:
    engine = start_engine()
    engine.send(job(20, options={"fail_at": 6}))
    messages = engine.until("error")
    assert messages[-1]["code"] == "null_fault" and messages[-1]["remedy"]
    take = messages[1] if messages[0]["type"] == "hello" else messages[0]
    done = {"folder": take["folder"], "sidecar": str(Path(take["folder"]) / f"{take['name']}.json")}
    assert frames_on_disk(done, portrait) == list(range(FIRST_FRAME, FIRST_FRAME + 6))
    record = sidecar(done)
    assert record["state"] == "failed" and record["error"]["code"] == "null_fault"
    engine.send(job(2))
    assert engine.until("done")[-1]["frames"] == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
def test_an_engine_killed_in_the_middle_leaves_only_whole_frames(
    start_engine: Start, job: MakeJob, portrait: Path
) -> None:
    for kill_at in (3, 40):
        engine = start_engine()
        engine.send(job(5000))
        messages = engine.until("take")
        while sum(m["type"] == "frame" for m in messages) < kill_at:
            messages.append(engine.receive())
        os.kill(engine.process.pid, signal.SIGKILL)
        engine.process.wait()
        take = next(Path(m["folder"]) for m in messages if m["type"] == "take")
        whole = [path for path in take.iterdir() if path.suffix == ".png"]
        assert len(whole) >= kill_at
        for path in whole:
            assert np.array_equal(read_image(path), read_image(portrait))
        assert all((take / m["file"]).is_file() for m in messages if m["type"] == "frame")
        assert json.loads((take / f"{take.name}.json").read_text(encoding="utf-8"))["state"] == "running"


def test_lines_that_are_no_message_are_refused_one_by_one(start_engine: Start, job: MakeJob) -> None:
    engine = start_engine()
    engine.receive()
    bad = job() | {"frames": [[1001, -3]]}
    for line in (b"}{\n", b"[1, 2]\n", b"\xff\xfe\n", b'{"type":"dance"}\n', json.dumps(bad).encode() + b"\n"):
        engine.send(line)
        answer = engine.receive()
        assert (answer["type"], answer["code"]) == ("error", "protocol") and answer["text"] and answer["remedy"]
    engine.send(job(1))
    assert engine.until("done")[-1]["frames"] == 1


def test_faults_known_beforehand_leave_no_take(
    start_engine: Start, job: MakeJob, folder: Path, make_movie: Callable[..., Path]
) -> None:
    file = folder / "just a file"
    file.write_text("no picture")
    movie = {"kind": "movie", "path": str(make_movie("m.mp4", 20))}
    (folder / "s.1.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    gap = {"kind": "sequence", "path": str(folder), "files": ["s.1.png", "s.2.png"]}
    cases = {
        "not_an_image": {"portraits": [str(file)]},
        "not_writable": {"output": str(file / "out")},
        "unknown_system": {"system": "mirror"},
        "bad_option": {"options": {"speed": 3}},
        "missing_file": {"driving": {"kind": "movie", "path": str(folder / "gone.mp4")}},
        "not_a_movie": {"driving": {"kind": "movie", "path": str(file)}},
        "frame_out_of_range": {"driving": movie, "frames": [[1001, 20]]},
        "missing_frame": {"driving": gap, "frames": [[1001, 0], [1002, 1]]},
        "no_driving": {"system": "mesh_warp"},
    }
    engine = start_engine()
    engine.receive()
    for code, fields in cases.items():
        engine.send(job(**fields))
        answer = engine.receive()
        assert (answer["type"], answer["code"]) == ("error", code), answer
        assert answer["text"].endswith(".") and answer["remedy"].endswith(".")
    assert list((folder / "renders out").iterdir()) == []


def test_hello_needs_no_packages_and_a_missing_one_is_named(start_engine: Start, job: MakeJob) -> None:
    engine = start_engine("-S")  # no site-packages
    assert engine.receive()["type"] == "hello"
    engine.send(job())
    answer = engine.receive()
    assert answer["code"] == "missing_package" and "doctor" in answer["remedy"]


def test_what_libraries_print_never_reaches_the_protocol(start_engine: Start, job: MakeJob) -> None:
    noise = (
        "import os, sys; "
        "sys.addaudithook(lambda event, a: event == 'import' and a[0] == 'numpy' and os.write(1, b'noise\\n'))"
    )
    engine = start_engine(bootstrap=f"{noise}; {BOOTSTRAP}")
    engine.send(job(1))
    assert engine.until("done")[0]["type"] == "hello"
    engine.send({"type": "exit"})
    assert engine.ended() == 0 and b"noise" in engine.stderr


def test_takes_never_overwrite(start_engine: Start, job: MakeJob, portrait: Path) -> None:
    engine = start_engine()
    for version in (1, 2, 3):
        engine.send(job(1))
        done = engine.until("done")[-1]
        assert Path(done["folder"]).name == f"sh010_understudy_v{version:03d}"
        assert frames_on_disk(done, portrait) == [1001]
