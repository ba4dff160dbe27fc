"""Networks that stay open within a process, for comparisons and services of several jobs: opening takes long."""

from __future__ import annotations

from pathlib import Path

from engine.runtime.session import Session, open

_COUNT = 8  # a few systems' halves, as a comparison takes turns with them
_known: dict[tuple[Path, int, int], tuple[Session, object]] = {}  # with how each was opened; used last, at the end


def kept(path: Path) -> Session:
    """The network of an ONNX file, opened with all defaults of :func:`engine.runtime.open`; again when the file has
    changed, or the session, which may have fallen back. All who ask share it: use it from one thread, and leave it
    open. Raises EngineError as that does.
    """
    try:
        stat = path.stat()
    except OSError:
        return open(path)  # which says what is wrong
    key = (path.resolve(), stat.st_mtime_ns, stat.st_size)
    known = _known.pop(key, None)
    if known is None or known[1] != _state(known[0]):
        session = open(path)
        known = session, _state(session)
    _known[key] = known
    while len(_known) > _COUNT:
        del _known[next(iter(_known))]
    return known[0]


def forget() -> None:
    """Let go of all that are kept."""
    _known.clear()


def _state(session: Session) -> object:
    return session.describe(), session.batch
