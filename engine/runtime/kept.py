"""Networks that stay open from take to take: to open one takes longer than to draw several frames with it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from engine.errors import EngineError
from engine.runtime.session import Session, open

_COUNT = 8  # a few systems' halves, as a comparison takes turns with them; who was used longest ago goes


def kept(path: Path) -> Session:
    """The network of an ONNX file, opened with all defaults of :func:`engine.runtime.open` the first time, and again
    when the file has changed. All who ask share it: use it from one thread, and leave it open. Raises EngineError.
    """
    try:
        known = path.stat()
    except OSError as fault:
        raise EngineError(
            "missing_network", f"The network {path} cannot be read ({fault.strerror}).", "Install Understudy again."
        ) from fault
    return _opened(path.resolve(), known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=_COUNT)
def _opened(path: Path, changed: int, size: int) -> Session:
    return open(path)
