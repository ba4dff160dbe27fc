"""What one writer was asked to add to a take, and how far it came: one JSON file for each in TAKE/records."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine import protocol
from engine.device import device_name
from engine.errors import Cancelled, EngineError
from engine.media.image import write_atomic
from engine.processes import process_exists
from engine.protocol import Job
from engine.takes.fingerprint import Fingerprint
from engine.takes.frame import DRAWN

FORMAT = 2
RUNNING, DONE, CANCELLED, FAILED, INTERRUPTED = "running", "done", "cancelled", "failed", "interrupted"
_STATES = (RUNNING, DONE, CANCELLED, FAILED)  # of a file; readers conclude ``interrupted``
_STALE = 600.0  # seconds without a heartbeat after which a writer counts as gone, wherever it runs
_PACKAGES = ("numpy", "opencv-python-headless", "av", "onnxruntime")
_ROWS = ("frames", "inputs", "writers")  # one line for each of their items


@dataclass
class Record:
    """``statuses`` are those of the frames that are on disk, by output number."""

    job: Job
    fingerprint: Fingerprint
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    name: str = ""
    state: str = RUNNING
    error: dict[str, str] | None = None
    started: str = field(default_factory=lambda: now())
    finished: str | None = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, str] = field(default_factory=dict)
    warnings: list[dict[str, str]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    device: str = field(default_factory=device_name)
    versions: dict[str, str] = field(default_factory=lambda: _versions())

    def __post_init__(self) -> None:
        self.name = self.name or f"{protocol.clean_shot(self.host)}-{self.pid}-{time.time_ns()}"

    def file(self, folder: Path) -> Path:
        return folder / f"{self.name}.json"

    def save(self, folder: Path) -> None:
        """Write it whole; raises EngineError ``not_writable`` or ``disk_full``."""
        write_atomic(self.file(folder), layout(self.to_json()))

    def end(self, state: str, fault: BaseException | None = None) -> None:
        self.state, self.finished, self.error = state, now(), _describe(fault)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "host": self.host,
            "pid": self.pid,
            "state": self.state,
            "error": self.error,
            "started": self.started,
            "finished": self.finished,
            "fingerprint": self.fingerprint.to_json(),
            "job": self.job.to_json(),
            "inputs": self.inputs,
            "frames": [[frame, source, self.statuses.get(frame, "")] for frame, source in self.job.frames],
            "warnings": self.warnings,
            "notes": self.notes,
            "seconds": {name: round(seconds, 4) for name, seconds in self.seconds.items()},
            "device": self.device,
            "versions": self.versions,
        }

    @classmethod
    def from_json(cls, data: Any) -> Record:
        """Read untrusted JSON; raises ValueError that says what is wrong."""
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']}, this engine reads {FORMAT}")
            record = cls(
                job=Job.from_json(data["job"]),
                fingerprint=Fingerprint(_typed(data["fingerprint"], "fields", dict)),
                statuses={frame: status for frame, _, status in data["frames"] if status in DRAWN},
                **{name: _typed(data, name, kind) for name, kind in _TYPES.items()},
                error=data["error"],
                finished=data["finished"],
            )
        except (KeyError, TypeError, AttributeError) as fault:
            raise ValueError(f"it is malformed: {fault!r}") from fault
        if record.state not in _STATES or not isinstance(record.finished, str | None):
            raise ValueError(f"its state is {record.state!r}, finished {record.finished!r}")
        if not (_have_texts(record.inputs, "role", "path") and _have_texts(record.warnings, "code", "text", "remedy")):
            raise ValueError("an input or a warning lacks one of its texts")
        if not all(isinstance(seconds, int | float) for seconds in record.seconds.values()):
            raise ValueError("its seconds are not numbers")
        return record

    def current_state(self, folder: Path) -> str:
        """The state, ``interrupted`` where it says ``running`` but the process is gone."""
        if self.state != RUNNING:
            return self.state
        try:
            stale = time.time() - self.file(folder).stat().st_mtime > _STALE
        except OSError:
            stale = True
        here = self.host == socket.gethostname()
        return INTERRUPTED if stale or (here and not process_exists(self.pid)) else RUNNING


_TYPES: dict[str, type] = {
    **{"name": str, "host": str, "pid": int, "state": str, "started": str, "device": str},
    **{"inputs": list, "warnings": list, "notes": dict, "seconds": dict, "versions": dict},
}


def read_records(folder: Path) -> tuple[list[Record], list[str]]:
    """All records of a take in order of their beginning, and a sentence for each file that cannot be read as one."""
    records, faults = [], []
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):  # not yet whole
            continue
        try:
            record = Record.from_json(json.loads(path.read_bytes()))
            if record.name != path.stem:
                raise ValueError("its name is not its file's")
            records.append(record)
        except FileNotFoundError:
            continue  # its writer has just removed it
        except (OSError, ValueError, RecursionError) as fault:
            faults.append(f"The record {path} cannot be used: {fault}.")
    return sorted(records, key=lambda record: (record.started, record.name)), faults


def layout(data: dict[str, Any]) -> bytes:
    """JSON for people too: one line a field, and one line for each frame (output, source, status), input and writer."""
    lines = []
    for key, value in data.items():
        rows = [json.dumps(row, ensure_ascii=False) for row in value] if key in _ROWS else None
        text = json.dumps(value, ensure_ascii=False) if not rows else "[\n  " + ",\n  ".join(rows) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    # File names that are not Unicode reach Python as lone surrogates: JSON can escape them, UTF-8 cannot hold them.
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "backslashreplace")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _describe(fault: BaseException | None) -> dict[str, str] | None:
    if fault is None or isinstance(fault, Cancelled):
        return None
    if isinstance(fault, EngineError):
        return {"code": fault.code, "text": fault.text, "remedy": fault.remedy}
    return {"code": "internal", "text": repr(fault), "remedy": ""}


def _versions() -> dict[str, str]:
    versions = {"understudy": protocol.VERSION, "python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _have_texts(items: list[Any], *names: str) -> bool:
    return all(isinstance(item, dict) and all(isinstance(item.get(name), str) for name in names) for item in items)


def _typed(data: dict[str, Any], name: str, kind: type) -> Any:
    value = data[name]
    if not isinstance(value, kind) or isinstance(value, Iterable) and "\0" in value:
        raise TypeError(f"{name} is {value!r}")
    return value
