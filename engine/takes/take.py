"""Takes on disk: one new versioned folder for each render, which nothing ever overwrites."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine import protocol
from engine.media.image import write_atomic, write_fault


@dataclass(frozen=True)
class Take:
    """``OUTPUT/SHOT_understudy_vNNN``; ``name`` is the folder's own name."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def sidecar(self) -> Path:
        return self.folder / f"{self.name}.json"

    def frame(self, number: int) -> Path:
        return self.folder / protocol.frame_name(self.name, number)


def prepare_output(output: Path) -> None:
    """Create the output folder and prove that it can be written; raises EngineError ``not_writable``, ``disk_full``."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise write_fault(output, fault) from fault
    probe = output / f".understudy-{os.getpid()}"
    write_atomic(probe, b"")
    probe.unlink(missing_ok=True)


def allocate(output: Path, shot: str) -> Take:
    """Create the folder of the next version.

    ``mkdir`` either creates a folder or fails, also between hosts that share a disk, so two allocations never get the
    same one. Raises EngineError ``not_writable`` or ``disk_full``.
    """
    try:
        taken = [protocol.take_version(entry.name, shot) or 0 for entry in output.iterdir()]
        version = max(taken, default=0) + 1
        while True:
            folder = output / protocol.take_name(shot, version)
            try:
                folder.mkdir()
                return Take(folder)
            except FileExistsError:
                version += 1
    except OSError as fault:
        raise write_fault(output, fault) from fault
