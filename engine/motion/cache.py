"""Performances analysed before, kept beside the takes, so that the next take of the same footage need not wait."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from engine.errors import EngineError
from engine.face import model as face_model
from engine.motion.performance import VERSION, Performance

FOLDER = "performances"


class PerformanceCache:
    """Analyses of ``files`` (as they are now: path, size and time of change) over source frames [start, stop).

    One file an analysis, in OUTPUT/performances; any of them may be deleted, or drive a render by itself.
    """

    def __init__(self, output: Path, files: Sequence[Path], start: int, stop: int, detector: str) -> None:
        states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        made_from = [VERSION, detector, face_model.load().sha256, start, stop, states]
        key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
        self.path = output / FOLDER / f"{files[0].stem}.{key}.performance"

    def find(self) -> Performance | None:
        """The analysis if it was made before and its file is sound."""
        if not self.path.is_file():
            return None
        try:
            return Performance.load(self.path)
        except EngineError:  # cut short or from another version: it is made again and replaced
            return None

    def keep(self, performance: Performance) -> None:
        self.path.parent.mkdir(exist_ok=True)
        performance.save(self.path)
