"""Performances analysed before, kept beside the takes, so that the next take of the same footage need not wait."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from engine.errors import EngineError
from engine.face import model as face_model
from engine.media.source import FrameSource
from engine.motion.performance import VERSION, Performance
from engine.protocol import VERSION as ENGINE

FOLDER = "performances"


class PerformanceCache:
    """The analysis of ``source`` (its files as they are now: path, size, time of change) over its frames [start, stop).

    One file an analysis, in OUTPUT/performances; any of them may be deleted, or drive a render by itself.
    """

    def __init__(self, output: Path, source: FrameSource, start: int, stop: int, detector: str) -> None:
        files = source.files(range(start, stop))
        states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        made_from = [ENGINE, VERSION, detector, face_model.load().sha256, str(source.fps), start, stop, states]
        key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
        self._range = start, stop
        self.path = output / FOLDER / f"{files[0].stem[:40]}.{key}.performance"

    def find(self) -> Performance | None:
        """The analysis if it was made before and its file is sound."""
        if not self.path.is_file():
            return None
        try:
            known = Performance.load(self.path)
        except EngineError:  # cut short or from another version: it is made again and replaced
            return None
        return known if (known.start, known.stop) == self._range else None

    def keep(self, performance: Performance) -> None:
        self.path.parent.mkdir(exist_ok=True)
        performance.save(self.path)
