"""A lock between processes: a file that names its owner (host, process, time). Standard library only."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .fault import Fault
from .process import is_alive

MAX_AGE = 6 * 3600.0  # seconds; an older lock was left behind, whatever process has that number today


@dataclass(frozen=True)
class Owner:
    host: str
    pid: int
    since: float  # seconds since the epoch

    @property
    def gone(self) -> bool:
        """Whether the owner has left its lock behind."""
        here = self.host == socket.gethostname()
        return time.time() - self.since > MAX_AGE or (here and not is_alive(self.pid))

    def __str__(self) -> str:
        minutes = max(time.time() - self.since, 0.0) / 60.0
        return f"process {self.pid} on {self.host}, for {minutes:.0f} minutes"


@contextmanager
def locked(path: Path, code: str, doing: str) -> Iterator[None]:
    """Hold the lock file ``path``; its folder exists. A lock whose owner is gone is taken over.

    Raises :class:`Fault` ``code`` with the owner if another process has it: "Another Blender is ``doing``"; and
    ``not_writable`` where no file can be made.
    """
    ours = json.dumps(asdict(Owner(socket.gethostname(), os.getpid(), time.time()))).encode("ascii")
    while not _create(path, ours):
        found = _read(path)
        if found is None:
            continue  # released in this moment
        if not (owner := _owner(found, path)).gone:
            raise Fault(
                code,
                f"Another Blender is {doing} ({owner}).",
                f"Wait until it is done. If that Blender is gone, delete {path}.",
            )
        _remove(path, found)
    try:
        yield
    finally:
        _remove(path, ours)


def _create(path: Path, content: bytes) -> bool:
    """Whether the file is new, and so ours."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    except OSError as error:
        raise Fault("not_writable", f"{path.parent} cannot be written: {error}.", "Check its permissions.") from error
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _owner(content: bytes, path: Path) -> Owner:
    """What the lock says; of one that is being written or damaged, only the age is known."""
    try:
        data = json.loads(content)
        return Owner(str(data["host"]), int(data["pid"]), float(data["since"]))
    except (ValueError, TypeError, KeyError):
        since = time.time()
        with suppress(OSError):
            since = path.stat().st_mtime
        return Owner("an unknown host", 0, since)


def _remove(path: Path, content: bytes) -> None:
    """Delete the lock if it is still the one with this ``content``."""
    if _read(path) == content:
        path.unlink(missing_ok=True)
