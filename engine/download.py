"""Fetch a published file once: verified, written whole, continued where an earlier try broke off. Stdlib only."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path

from engine.errors import EngineError

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20

log = logging.getLogger("understudy")


def fetch(url: str, path: Path, sha256: str) -> Path:
    """Make sure that ``path`` is the file published at ``url`` with that ``sha256`` (64 hex digits); returns ``path``.

    A file already there is only verified. Bytes received before a failure wait in ``path`` + ``.part`` for the next
    call. Raises EngineError ``download`` when the server cannot be reached, breaks off or lacks the file,
    ``checksum`` when what came is another file, ``weights_folder`` when it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        if path.is_file() and digest(path) == sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, path, part)
        if digest(part) != sha256:
            part.unlink()
            raise EngineError(
                "checksum",
                f"{url} is not the file it should be: its SHA-256 is not {sha256}.",
                "Try again; if that does not help, the publisher has changed the file, and this version of Understudy "
                "cannot use it.",
            )
        part.replace(path)
    except OSError as fault:
        raise EngineError(
            "weights_folder", f"{path} cannot be written: {fault}.", "Make room there, or make the folder writable."
        ) from fault
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive(url: str, path: Path, part: Path) -> None:
    """Fill ``part``, from where it ends if the server can do that; it is complete and on disk on return."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    log.info("downloading %s to %s", url, path.parent)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            continued = response.status == http.client.PARTIAL_CONTENT
            received = _copy(response, part, "ab" if continued else "wb")
            expected = response.length  # what is still missing: None if the server never said
        if expected:
            raise http.client.IncompleteRead(b"", expected)
    except urllib.error.HTTPError as fault:
        if fault.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is missing, or it is another file
            return
        raise _unreachable(url, path, fault) from fault
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as fault:
        raise _unreachable(url, path, fault) from fault
    log.info("received %d bytes", received)


def _copy(response: http.client.HTTPResponse, part: Path, mode: str) -> int:
    received = 0
    with part.open(mode) as file:
        while block := response.read(CHUNK):
            file.write(block)
            received += len(block)
        file.flush()
        os.fsync(file.fileno())
    return received


def _unreachable(url: str, path: Path, fault: Exception) -> EngineError:
    return EngineError(
        "download",
        f"{url} could not be downloaded: {fault}.",
        f"Connect to the network and try again, or fetch that file on another machine and put it at {path}.",
    )
