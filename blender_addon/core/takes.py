"""Takes on disk: the frames a folder holds, and the list of all takes in an output folder."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ...engine import protocol

MAX_SIDECAR = 64 * 1024 * 1024  # bytes
_FRAME = re.compile(r"\.(\d{4,9})\.png$", re.ASCII)


@dataclass(frozen=True)
class TakeFolder:
    """``OUTPUT/SHOT_understudy_vNNN``; the folder's name is the take's."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def sidecar(self) -> Path:
        return self.folder / f"{self.name}.json"

    def frame(self, number: int) -> Path:
        return self.folder / protocol.frame_name(self.name, number)

    def frames(self) -> list[int]:
        """The numbers of the frames that are there. A frame has its name only once it is whole."""
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries]
        numbers = sorted(int(match[1]) for name in names if (match := _FRAME.search(name)))
        present = set(names)
        return [number for number in numbers if protocol.frame_name(self.name, number) in present]


@dataclass(frozen=True)
class TakeStatus:
    """How far a take is: ``done`` of ``total`` frames that any of its jobs asked for; ``changed`` in epoch seconds."""

    take: TakeFolder
    shot: str
    version: int
    done: int
    total: int
    changed: float

    @property
    def whole(self) -> bool:
        return 0 < self.total == self.done


def find_takes(output: Path) -> list[TakeStatus]:
    """All takes in the folder ``output``, by shot, the newest version first; reads the disk."""
    try:
        with os.scandir(output) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []  # nothing was made there yet
    found = []
    for name in names:
        shot = name.rpartition("_understudy_v")[0]
        version = protocol.take_version(name, shot)
        if version is not None:
            found.append(_status(TakeFolder(output / name), shot, version))
    return sorted(found, key=lambda status: (status.shot, -status.version))


def _status(take: TakeFolder, shot: str, version: int) -> TakeStatus:
    try:
        present = set(take.frames())
        changed = (take.sidecar if take.sidecar.is_file() else take.folder).stat().st_mtime
    except OSError:
        present, changed = set(), 0.0
    asked = _asked(take.sidecar) | present
    return TakeStatus(take, shot, version, len(present), len(asked), changed)


def _asked(sidecar: Path) -> set[int]:
    """The frames that a sidecar lists; none if it cannot be read, since whatever wrote it may have been killed."""
    try:
        if sidecar.stat().st_size > MAX_SIDECAR:
            return set()
        frames = json.loads(sidecar.read_text("utf-8"))["frames"]
        return {int(frame) for frame, _source, _status in frames}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return set()
