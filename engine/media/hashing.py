"""SHA-256 of files: remembered while a file stays as it is, and computed while other work goes on."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from engine.errors import EngineError

_BLOCK = 1 << 20
_REMEMBERED = 20_000  # files, such as the images of a few sequences
_POLL = 0.02  # seconds

_known: dict[tuple[str, int, int], str] = {}  # (path, size, mtime_ns) → SHA-256


def sha256(path: Path, stopped: Callable[[], bool] = lambda: False) -> str | None:
    """The SHA-256 of a file, None when ``stopped`` says so before its end. Raises OSError."""
    key = _state(path)
    if key in _known:
        return _known[key]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if stopped():
                return None
            digest.update(block)
    if _state(path) == key:
        while len(_known) >= _REMEMBERED:
            _known.pop(next(iter(_known)), None)
        _known[key] = digest.hexdigest()
    return digest.hexdigest()


def _state(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return str(path.absolute()), state.st_size, state.st_mtime_ns


class Hashes:
    """Size and SHA-256 of the inputs of a take, computed on a thread. Footage, which may be large, comes last."""

    def __init__(self, inputs: list[tuple[str, Path]]) -> None:
        """``inputs`` are pairs (role, file), each file known to exist."""
        self._entries: list[dict[str, Any]] = [
            {"role": role, "path": str(path), "size": path.stat().st_size, "sha256": None} for role, path in inputs
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def entries(self) -> list[dict[str, Any]]:
        """What is known by now; ``sha256`` is None for files that are not read to their end, or lost."""
        return [dict(entry) for entry in self._entries]

    def wait(self, roles: Collection[str], check: Callable[[], None]) -> list[dict[str, Any]]:
        """The entries of these roles once all are known; ``check`` may raise to end the wait.

        Raises EngineError ``missing_file`` for a file that cannot be read.
        """
        entries = [entry for entry in self._entries if entry["role"] in roles]
        while not all(entry["sha256"] or "fault" in entry for entry in entries):
            check()
            time.sleep(_POLL)
        for entry in entries:
            if "fault" in entry:
                raise EngineError(
                    "missing_file", f"{entry['path']} cannot be read ({entry['fault']}).", "Put the file back."
                )
        return entries

    def finish(self, seconds: float, cancelled: Callable[[], bool]) -> None:
        """Wait until all are known, but at most ``seconds`` and not after a cancel."""
        limit = time.monotonic() + seconds
        while self._thread.is_alive() and not cancelled() and time.monotonic() < limit:
            self._thread.join(_POLL)
        self.stop()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        for entry in sorted(self._entries, key=lambda entry: entry["role"] == "driving"):
            try:
                entry["sha256"] = sha256(Path(entry["path"]), self._stop.is_set)
            except OSError as fault:
                entry["fault"] = fault.strerror or str(fault)
            if self._stop.is_set():
                return
