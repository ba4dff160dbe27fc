"""The sidecar: one JSON file in each take that says what it was made from, how, and how far it came."""

from __future__ import annotations

import hashlib
import json
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from engine import protocol
from engine.device import device_name
from engine.errors import Cancelled, EngineError
from engine.media.image import write_atomic
from engine.takes.take import Take

FORMAT = 1
_PACKAGES = ("numpy", "opencv-python-headless", "av", "onnxruntime")


class Timings:
    """Wall-clock seconds by stage, summed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


class Fingerprints:
    """Size and SHA-256 of every input, computed on a thread while the take renders."""

    def __init__(self, inputs: list[tuple[str, Path]]) -> None:
        """``inputs`` are pairs (role, file), each file known to exist."""
        self._entries: list[dict[str, Any]] = [
            {"role": role, "path": str(path), "size": path.stat().st_size, "sha256": None} for role, path in inputs
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def entries(self) -> list[dict[str, Any]]:
        """What is known by now; ``sha256`` is None for files not yet read, or lost since."""
        return [dict(entry) for entry in self._entries]

    def finish(self, wait: bool) -> list[dict[str, Any]]:
        """The entries once all are computed, or at once without the missing ones."""
        if not wait:
            self._stop.set()
        self._thread.join()
        return self.entries()

    def _run(self) -> None:
        for entry in self._entries:
            digest = hashlib.sha256()
            try:
                with open(entry["path"], "rb") as file:
                    while block := file.read(1 << 20):
                        if self._stop.is_set():
                            return
                        digest.update(block)
            except OSError as fault:
                entry["fault"] = str(fault)
                continue
            entry["sha256"] = digest.hexdigest()


class Sidecar:
    """Keeps a take's record: on disk as ``running`` on entry, and as ``done``, ``cancelled`` or ``failed`` on exit.

    Only the process being killed leaves it ``running``; the frames listed on disk are then the truth.
    """

    def __init__(self, take: Take, job: protocol.Job, inputs: list[tuple[str, Path]], timings: Timings) -> None:
        self.take = take
        self.job = job
        self.timings = timings
        self._fingerprints = Fingerprints(inputs)
        self._started = _now()
        self._status: dict[int, str] = {}
        self.warnings: list[dict[str, str]] = []
        self.notes: dict[str, Any] = {}

    def warn(self, code: str, text: str, remedy: str) -> dict[str, str]:
        """Keep a warning; returns it as the protocol's message."""
        self.warnings.append({"code": code, "text": text, "remedy": remedy})
        return {"type": "warning", **self.warnings[-1]}

    def frame_written(self, frame: int, status: str) -> None:
        self._status[frame] = status

    @property
    def written(self) -> int:
        """How many frames are on disk."""
        return len(self._status)

    def __enter__(self) -> Sidecar:
        self._write("running", self._fingerprints.entries())
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        state = "done" if fault is None else "cancelled" if isinstance(fault, Cancelled) else "failed"
        self._write(state, self._fingerprints.finish(wait=fault is None), fault)

    def _write(self, state: str, inputs: list[dict[str, Any]], fault: BaseException | None = None) -> None:
        record = {
            "format": FORMAT,
            "name": self.take.name,
            "state": state,
            "error": _describe(fault),
            "started": self._started,
            "finished": None if state == "running" else _now(),
            "job": self.job.to_json(),
            "inputs": inputs,
            "frames": [[frame, source, self._status.get(frame, "missing")] for frame, source in self.job.frames],
            "warnings": self.warnings,
            "notes": self.notes,
            "seconds": {name: round(seconds, 4) for name, seconds in self.timings.seconds.items()},
            "device": device_name(),
            "versions": _versions(),
        }
        write_atomic(self.take.sidecar, _layout(record))


def _layout(record: dict[str, Any]) -> bytes:
    """JSON for people too: one line a field, and one line for each frame (output, source, status)."""
    lines = []
    for key, value in record.items():
        rows = [json.dumps(row, ensure_ascii=False) for row in value] if key in ("frames", "inputs") else None
        text = json.dumps(value, ensure_ascii=False) if not rows else "[\n  " + ",\n  ".join(rows) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    # File names that are not Unicode reach Python as lone surrogates: JSON can escape them, UTF-8 cannot hold them.
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8", "backslashreplace")


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
