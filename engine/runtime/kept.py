"""Networks that stay open within a process, since opening one takes long."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from engine.runtime.session import Session, open

_COUNT = 8  # a few systems' halves, as a comparison takes turns with them


def kept(path: Path) -> Session:
    """The network of an ONNX file, opened once with the defaults of :func:`engine.runtime.open`, and again when the
    file has changed or the session has fallen back. It is shared: use it from one thread and do not close it. Raises
    EngineError as :func:`engine.runtime.open` does.
    """
    try:
        stat = path.stat()
    except OSError:
        return open(path)  # raises the right error
    stamp = path.resolve(), stat.st_mtime_ns, stat.st_size
    session, state = _opened(*stamp)
    if _state(session) != state:
        forget()  # all of them, since memory may have run out
        session, _ = _opened(*stamp)
    return session


def forget() -> None:
    """Close all that are kept."""
    _opened.cache_clear()


@lru_cache(maxsize=_COUNT)
def _opened(path: Path, changed: int, size: int) -> tuple[Session, object]:
    session = open(path)
    return session, _state(session)


def _state(session: Session) -> object:
    return session.describe(), session.batch
