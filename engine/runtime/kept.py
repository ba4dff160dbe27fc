"""Networks that stay open within a process, for comparisons and services of several jobs: opening takes long."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from engine.runtime.session import Session, open

_COUNT = 8  # a few systems' halves, as a comparison takes turns with them


def kept(path: Path) -> Session:
    """The network of an ONNX file, opened with all defaults of :func:`engine.runtime.open`; again when the file has
    changed, or the session, which may have fallen back. All who ask share it: use it from one thread, and leave it
    open. Raises EngineError as that does.
    """
    try:
        stat = path.stat()
    except OSError:
        return open(path)  # which says what is wrong
    stamp = path.resolve(), stat.st_mtime_ns, stat.st_size
    session, state = _opened(*stamp)
    if _state(session) != state:
        forget()  # all of them: memory ran out, or a network's numbers did
        session, _ = _opened(*stamp)
    return session


def forget() -> None:
    """Let go of all that are kept."""
    _opened.cache_clear()


@lru_cache(maxsize=_COUNT)
def _opened(path: Path, changed: int, size: int) -> tuple[Session, object]:
    session = open(path)
    return session, _state(session)


def _state(session: Session) -> object:
    return session.describe(), session.batch
