"""SHA-256 of files: remembered until a file changes, cancelled in the middle, computed while other work goes on."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.errors import Cancelled, EngineError
from engine.media.image import write_atomic

_BLOCK = 1 << 20
_REMEMBERED = 20_000  # files, such as the images of a few sequences
_POLL = 0.02  # seconds
_SETTLED = 2.0  # seconds: a file that changed less than this ago may change again without a new time stamp

_known: dict[tuple[str | int, ...], str] = {}  # by path, size and times of change, within this process


def file_hashes(paths: Sequence[Path], memory: Path, check: Callable[[], None] = lambda: None) -> list[str]:
    """The hexadecimal SHA-256 of every file, read only where ``memory`` does not hold it for the file as it is now.

    A file counts as unchanged while its size and its times of change stay. ``check`` runs between two blocks and may
    raise to cancel; what was hashed until then is remembered. Raises EngineError ``missing_file`` when a file cannot be
    read, and what :func:`write_atomic` raises.
    """
    known = _load(memory)
    changed = False
    hashes = []
    try:
        for path in paths:
            check()
            name = str(path.absolute())
            try:
                state = _state(os.stat(path))
                if name not in known or known[name][:-1] != state:
                    known[name] = [*state, _read(path, check)]
                    changed = True
                _remember(name, state, known[name][-1])
            except OSError as fault:
                raise _unreadable(path, fault.strerror or fault) from fault
            hashes.append(known[name][-1])
    finally:
        if changed:
            oldest_unsettled = (time.time() - _SETTLED) * 1e9
            settled = {name: entry for name, entry in known.items() if max(entry[1:3]) < oldest_unsettled}
            write_atomic(memory, json.dumps(settled, indent=0).encode())
    return hashes


def _state(stat: os.stat_result) -> list[int]:
    """Size, time of change of the content, and on POSIX of the entry, which cannot be set back."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def sha256(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """The hash of one file, read once in this process while it stays as it is.

    ``check`` may raise to cancel. Raises OSError.
    """
    name, state = str(path.absolute()), _state(os.stat(path))
    digest = _known.get((name, *state))
    if digest is None:
        digest = _read(path, check)
        if max(state[1:]) < (time.time() - _SETTLED) * 1e9:
            _remember(name, state, digest)
    return digest


class Hashes:
    """Size and SHA-256 of the inputs of a take, computed on a thread. Footage, which may be large, comes last."""

    def __init__(self, inputs: list[tuple[str, Path]]) -> None:
        """``inputs`` are pairs (role, file); raises EngineError ``missing_file`` where one has gone."""
        self._entries: list[dict[str, Any]] = []
        for role, path in inputs:
            try:
                size = path.stat().st_size
            except OSError as fault:
                raise _unreadable(path, fault.strerror or fault) from fault
            self._entries.append({"role": role, "path": str(path), "size": size, "sha256": None})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def entries(self) -> list[dict[str, Any]]:
        """What is known by now; ``sha256`` is None for files that are not read to their end, or lost."""
        return [dict(entry) for entry in self._entries]

    def wait(self, role: str, check: Callable[[], None]) -> list[dict[str, Any]]:
        """The entries of a role once all are known; ``check`` may raise to end the wait.

        Raises EngineError ``missing_file`` for a file that cannot be read.
        """
        entries = [entry for entry in self._entries if entry["role"] == role]
        while not all(entry["sha256"] or "fault" in entry for entry in entries):
            check()
            time.sleep(_POLL)
        for entry in entries:
            if "fault" in entry:
                raise _unreadable(entry["path"], entry["fault"])
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
                entry["sha256"] = sha256(Path(entry["path"]), self._check)
            except Cancelled:
                return
            except Exception as fault:  # whatever it is, nobody may wait for this thread in vain
                entry["fault"] = str(fault)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled


def _unreadable(path: Path | str, reason: object) -> EngineError:
    return EngineError("missing_file", f"{path} cannot be read ({reason}).", "Find the file, or relink it.")


def _remember(name: str, state: list[int], digest: str) -> None:
    while len(_known) >= _REMEMBERED:
        _known.pop(next(iter(_known)), None)
    _known[(name, *state)] = digest


def _read(path: Path, check: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            check()
            digest.update(block)
    return digest.hexdigest()


def _load(memory: Path) -> dict[str, list]:
    """The entries [size, mtime_ns, ctime_ns, sha256] by path; what is missing or malformed is hashed again."""
    try:
        entries = json.loads(memory.read_bytes())
        return {
            name: entry
            for name, entry in entries.items()
            if [type(value) for value in entry] == [int, int, int, str] and len(entry[3]) == 64
        }
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
