"""A lock between processes and hosts that share a folder: a file that names its owner, touched while it is held."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path

from engine.media.image import retried, write_fault
from engine.processes import process_exists

HEARTBEAT = 10.0  # seconds between two touches
STALE = 120.0  # seconds without a touch after which the owner counts as dead; network shares cache times for a minute


class FileLock:
    """At most one owner holds the lock at ``path``. Not for two threads at once.

    The lock of a dead owner is removed: on this host once its process is gone, on another (or where processes cannot be
    looked up, as on Windows) once this process has seen no heartbeat for ``stale_after`` seconds. Clocks of hosts are
    never compared.
    """

    def __init__(self, path: Path, heartbeat: float = HEARTBEAT, stale_after: float = STALE) -> None:
        self.path, self._heartbeat, self._stale_after = path, heartbeat, stale_after
        self._content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": secrets.token_hex(8)})
        self._released = threading.Event()
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def acquire(self) -> bool:
        """Try once, without waiting; raises EngineError ``not_writable`` or ``disk_full``."""
        created = False
        try:
            with open(self.path, "x", encoding="utf-8") as file:
                created = True
                file.write(self._content)
        except FileExistsError:
            self._remove_if_dead()
            return False
        except OSError as fault:
            if created:  # on a full disk: nobody must wait for a lock without an owner
                self.path.unlink(missing_ok=True)
            elif isinstance(fault, PermissionError) and self.path.exists():
                return False  # Windows refuses so while the old file is being deleted
            raise write_fault(self.path.parent, fault) from fault
        self._released.clear()
        threading.Thread(target=self._beat, daemon=True).start()
        return True

    def release(self) -> None:
        self._released.set()
        if self._read(self.path) == self._content:
            with contextlib.suppress(OSError):  # what was done under the lock counts, and the lock goes stale
                retried(lambda: self.path.unlink(missing_ok=True))

    def owner(self) -> str:
        """Who holds the lock, for people."""
        owner = _parsed(self._read(self.path) or "")
        return f"process {owner['pid']} on {owner['host']}" if owner else "another process"

    def _beat(self) -> None:
        while not self._released.wait(self._heartbeat):
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def _remove_if_dead(self) -> None:
        content = self._read(self.path)
        if content is None or not self._is_dead(content):
            return
        # Another process may have done the same and hold the lock by now: move first, then look what was moved.
        moved = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        with contextlib.suppress(OSError):
            os.rename(self.path, moved)
            if self._read(moved) != content:
                os.link(moved, self.path)
        with contextlib.suppress(OSError):
            moved.unlink()

    def _is_dead(self, content: str) -> bool:
        owner = _parsed(content)
        if owner and owner["host"] == socket.gethostname() and not process_exists(owner["pid"]):
            return True
        try:
            touched = self.path.stat().st_mtime_ns
        except OSError:
            return False
        if (content, touched) != self._seen:
            self._seen, self._since = (content, touched), time.monotonic()
        return time.monotonic() - self._since > self._stale_after

    @staticmethod
    def _read(path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8", errors="replace")[:1000]
        except OSError:
            return None


def _parsed(content: str) -> dict | None:
    """``host`` and ``pid``; None where the owner was stopped before it wrote them."""
    try:
        owner = json.loads(content)
        return owner if isinstance(owner["host"], str) and type(owner["pid"]) is int else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
