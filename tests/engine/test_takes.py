"""Takes on disk: versions, fingerprints, records of many writers, and what they are merged to."""

from __future__ import annotations

import json
import os
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

from engine.errors import EngineError
from engine.media.hashes import Hashes
from engine.protocol import Job
from engine.systems import create
from engine.takes import fingerprint
from engine.takes import take as takes
from engine.takes.fingerprint import Fingerprint, fingerprint_of
from engine.takes.record import Record, read_records
from engine.takes.sidecar import merge
from engine.takes.writer import TakeWriter
from engine.timings import Timings

ROOT = Path(__file__).resolve().parents[2]
CREATE = """
import json, sys
from pathlib import Path
from engine.protocol import Job
from engine.takes import take as takes
from engine.takes.fingerprint import Fingerprint
from engine.takes.record import Record
job = Job.from_json(json.loads(sys.argv[2]))
sys.stdin.readline()
made = 0
while made < 15:
    take = takes.locate(Path(sys.argv[1]), "sh010", "new")
    if takes.create(take, Record(job, Fingerprint({}))):
        print(take.name)
        made += 1
"""


@pytest.fixture
def record(job: Callable[..., dict[str, Any]]) -> Record:
    return Record(Job.from_json(job(3)), Fingerprint({"no_face": "hold", "portraits": ["ab"]}))


def make(folder: Path, which: str, record: Record) -> takes.Take:
    take = takes.locate(folder, "sh010", which)
    assert takes.create(take, record)
    return take


def test_versions_count_up_from_the_highest(folder: Path, record: Record) -> None:
    assert make(folder, "new", record).name == "sh010_understudy_v001"
    (folder / "sh010_understudy_v041").mkdir()
    (folder / "sh010_understudy_v999x").mkdir()
    (folder / "sh0100_understudy_v500").mkdir()
    take = make(folder, "new", record)
    assert take.folder == folder / "sh010_understudy_v042" and take.folder.is_dir()
    assert take.sidecar == take.folder / "sh010_understudy_v042.json"
    assert take.frame(7).name == "sh010_understudy_v042.0007.png"
    assert takes.locate(folder, "sh010", "latest") == take
    assert takes.locate(folder, "sh010", "v003").name == "sh010_understudy_v003"
    assert takes.locate(folder, "sh020", "latest").name == "sh020_understudy_v001"


def test_a_take_is_created_although_its_first_record_is_read_for_a_moment(
    folder: Path, record: Record, busy: Callable[[str], None]
) -> None:
    busy("rename")
    assert make(folder, "new", record).records.is_dir()


def test_a_file_with_the_name_of_a_take_is_left_alone(folder: Path, record: Record) -> None:
    (folder / "sh010_understudy_v001").write_text("mine")
    assert make(folder, "latest", record).name == "sh010_understudy_v002"
    assert not takes.create(takes.Take(folder / "sh010_understudy_v001"), record)
    assert (folder / "sh010_understudy_v001").read_text() == "mine"
    assert len(list(folder.iterdir())) == 3  # with the portrait


def test_processes_that_create_takes_at_once_never_share_a_folder(
    folder: Path, job: Callable[..., dict[str, Any]]
) -> None:
    output = folder / "out"
    output.mkdir()
    command = [sys.executable, "-c", CREATE, str(output), json.dumps(job(1))]
    hosts = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for host in hosts:
        assert host.stdin
        host.stdin.write("\n")
        host.stdin.flush()
    names = [name for host in hosts for name in host.communicate()[0].split()]
    assert len(names) == 60 == len(set(names))
    assert sorted(names) == sorted(entry.name for entry in output.iterdir())
    assert all(len(list((entry / "records").iterdir())) == 1 for entry in output.iterdir())


def test_another_fingerprint_is_refused_and_both_are_said(folder: Path, record: Record) -> None:
    take = make(folder, "new", record)
    takes.admit(take, record.job, record.fingerprint)
    other = Fingerprint({"no_face": "reference", "portraits": ["cd"]})
    with pytest.raises(EngineError) as fault:
        takes.admit(take, record.job, other)
    assert fault.value.code == "other_take"
    for said in (
        "no face (hold, not reference), the portraits' contents",
        record.fingerprint.sha256[:12],
        other.sha256[:12],
    ):
        assert said in fault.value.text


def test_a_fingerprint_sees_what_decides_pixels_and_not_where_it_lies(
    folder: Path, job: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("a.onnx", b"a"), ("b.onnx", b"b"), ("copy of a.onnx", b"a")):
        (folder / name).write_bytes(content)
    pictures = [np.full((4, 4, 3), level, np.uint8) for level in range(2)]

    def taken(weights: str = "a b", portraits: int = 1, detector: str = "mediapipe", **fields: Any) -> str:
        asked = Job.from_json(job(3, **{"driving": {"kind": "movie"}, **fields}))
        hashes = Hashes([("weights", folder / f"{name.replace('_', ' ')}.onnx") for name in weights.split()])
        system = create(asked.system, asked.options)
        taken = fingerprint_of(asked, system, pictures[:portraits], detector, None, hashes, lambda: None)
        return taken.sha256

    before = taken()
    assert taken("copy_of_a b") == before
    assert taken(output=str(folder / "elsewhere"), shot="other", frames=[[7, 8]], take="latest") == before
    others = {
        before,
        taken("b a"),
        taken(portraits=2),
        taken(detector="understudy"),
        taken(options={"delay_ms": 1}),
        taken(motion="relative"),
        taken(no_face="fail"),
        taken(identity="driver"),
        taken(neutral_frame=2),
    }
    monkeypatch.setattr(fingerprint, "PICTURES", fingerprint.PICTURES + 1)
    assert len(others | {taken()}) == 10


def test_a_frame_of_another_source_frame_is_refused(folder: Path, record: Record) -> None:
    take = make(folder, "new", record)
    with pytest.raises(EngineError, match="Frame 1001 .* source frame 0, not 5") as fault:
        takes.admit(take, replace(record.job, frames=((1001, 5),)), record.fingerprint)
    assert fault.value.code == "other_frames"


def test_who_joins_a_take_while_its_creator_removes_it_begins_it_anew(folder: Path, record: Record) -> None:
    half_gone = folder / "sh010_understudy_v001"
    half_gone.mkdir()
    threading.Timer(0.2, half_gone.rmdir).start()
    asked = replace(record.job, output=str(folder), take="v001")
    with TakeWriter(asked, record.fingerprint, Hashes([]), Timings(), lambda: None) as writer:
        assert writer.folder == half_gone and len(list(writer.folder.rglob("*.json"))) == 2


def test_nothing_is_added_to_a_folder_that_does_not_say_what_it_was_made_from(folder: Path, record: Record) -> None:
    take = takes.Take(folder / "sh010_understudy_v001")
    take.records.mkdir(parents=True)
    (take.records / "host-1-1.json").write_text('{"format": 1}')
    with pytest.raises(EngineError, match="its format is 1") as fault:
        takes.admit(take, record.job, record.fingerprint)
    assert fault.value.code == "not_a_take"


def test_a_record_is_read_back_as_it_was_and_a_damaged_one_is_named(folder: Path, record: Record) -> None:
    record.statuses[1002] = "held"
    record.save(folder)
    [again], faults = read_records(folder)
    assert again == record and not faults
    for damage in (
        {"pid": "7"},
        {"job": {}},
        {"frames": [[1]]},
        {"state": "asleep"},
        {"name": "x\0y"},
        {"warnings": [{"code": "bad_record"}]},
        {"inputs": [{"role": [], "path": "p.png"}]},
        {"job": record.job.to_json() | {"detector": ["mediapipe"]}},
    ):
        record.file(folder).write_text(json.dumps(record.to_json() | damage))
        records, [fault] = read_records(folder)
        assert not records and record.file(folder).name in fault


def test_a_take_whose_networks_ran_differently_says_so(folder: Path, record: Record) -> None:
    take = make(folder, "new", record)
    for name, networks in (("a", "OpenVINO, cpu, bf16"), ("b", "OpenVINO, cpu, bf16"), ("c", "OpenVINO, cpu, fp32")):
        assert not merge(take)["warnings"]
        replace(record, name=name, notes={"networks": networks}).save(take.records)
    [warning] = merge(take)["warnings"]
    assert warning["code"] == "mixed_networks" and "bf16" in warning["text"] and "fp32" in warning["text"]


def test_a_writer_whose_process_is_gone_is_interrupted(folder: Path, record: Record) -> None:
    record.save(folder)
    assert record.current_state(folder) == "running"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert replace(record, pid=gone.pid).current_state(folder) == "interrupted"
    elsewhere = replace(record, host="another", pid=gone.pid)
    assert elsewhere.current_state(folder) == "running"
    old = time.time() - 3600
    os.utime(record.file(folder), (old, old))
    assert elsewhere.current_state(folder) == record.current_state(folder) == "interrupted"


def test_the_output_folder_is_made_and_proven(folder: Path) -> None:
    takes.prepare_output(folder / "a" / "b c")
    assert list((folder / "a" / "b c").iterdir()) == []
    (folder / "file").touch()
    with pytest.raises(EngineError, match="cannot be written") as fault:
        takes.prepare_output(folder / "file" / "out")
    assert fault.value.code == "not_writable"
