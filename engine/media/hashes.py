"""SHA-256 of files, remembered in a small JSON file until a file changes; long files can be cancelled."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import EngineError
from engine.media.image import write_atomic

_BLOCK = 1 << 20
_SETTLED = 2.0  # seconds: a file that changed less than this ago may change again without a new time stamp


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
                    known[name] = [*state, _sha256(path, check)]
                    changed = True
            except OSError as fault:
                reason = fault.strerror or fault
                raise EngineError(
                    "missing_file", f"{path} cannot be read ({reason}).", "Find the file, or relink it."
                ) from fault
            hashes.append(known[name][-1])
    finally:
        if changed:
            oldest_unsettled = (time.time() - _SETTLED) * 1e9
            settled = {name: entry for name, entry in known.items() if max(entry[1:3]) < oldest_unsettled}
            write_atomic(memory, json.dumps(settled, indent=0).encode())
    return hashes


def _state(stat: os.stat_result) -> list[int]:
    """Size, time of change of the content, and on POSIX of the entry, which no one can set back."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _sha256(path: Path, check: Callable[[], None]) -> str:
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
