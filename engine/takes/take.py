"""Takes on disk: one versioned folder each, which nothing ever overwrites and several processes may fill."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from engine import protocol
from engine.errors import EngineError
from engine.media.image import retried, write_atomic, write_fault
from engine.protocol import LATEST, NEW, Job
from engine.takes.fingerprint import Fingerprint
from engine.takes.record import Record, read_records


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

    @property
    def records(self) -> Path:
        return self.folder / "records"

    def frame(self, number: int) -> Path:
        return self.folder / protocol.frame_name(self.name, number)


def prepare_output(output: Path) -> None:
    """Create the output folder and check that it can be written; raises EngineError ``not_writable``, ``disk_full``."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise write_fault(output, fault) from fault
    probe = output / f".understudy-{os.getpid()}"
    write_atomic(probe, b"")
    retried(lambda: probe.unlink(missing_ok=True))


def locate(output: Path, shot: str, which: str) -> Take:
    """The take that ``which`` (:attr:`Job.take`) means now; its folder need not exist yet.

    Raises EngineError ``not_writable`` when the output folder cannot be read.
    """
    try:
        entries = [(entry, protocol.take_version(entry.name, shot)) for entry in output.iterdir()]
        versions = {version: entry for entry, version in entries if version is not None}
        version = max(versions, default=0) + 1
        if which == LATEST:
            version = max((number for number, entry in versions.items() if entry.is_dir()), default=version)
        elif which != NEW:
            version = int(which[1:])
    except OSError as fault:
        raise write_fault(output, fault) from fault
    return Take(output / protocol.take_name(shot, version))


def create(take: Take, record: Record) -> bool:
    """Create a take's folder with its first record in it; False when there is one already, or a file of that name.

    The folder is filled under a temporary name and renamed, which fails where something exists: when several processes
    or hosts create the same take, one succeeds, and no take is ever without a record. Raises EngineError
    ``not_writable`` or ``disk_full``.
    """
    beside = Take(take.folder.with_name(f".{take.name}.{secrets.token_hex(4)}.tmp"))
    try:
        beside.records.mkdir(parents=True)
        record.save(beside.records)
        retried(lambda: os.rename(beside.folder, take.folder))
        return True
    except OSError as fault:
        shutil.rmtree(beside.folder, ignore_errors=True)
        if take.folder.exists():
            return False
        raise write_fault(take.folder.parent, fault) from fault


def admit(take: Take, job: Job, fingerprint: Fingerprint) -> None:
    """Check that frames of ``job`` belong to an existing take.

    Raises EngineError ``not_a_take``, ``other_take`` when the fingerprints differ, ``other_frames`` when the take draws
    one of the frames from another source frame.
    """
    records, faults = read_records(take.records)
    if not records:
        raise EngineError(
            "not_a_take",
            f"{take.folder} has no record of what it was made from, so no frames can be added to it."
            + "".join(f" {fault}" for fault in faults),
            "Render a new take.",
        )
    for record in records:
        if differences := record.fingerprint.differences(fingerprint):
            raise EngineError(
                "other_take",
                f"{take.name} does not match this job: {differences}. "
                f"Its fingerprint is {record.fingerprint.sha256[:12]}, the job's {fingerprint.sha256[:12]}.",
                "Render a new take, or ask for what that take was made from.",
            )
        sources = dict(record.job.frames)
        for frame, source in job.frames:
            if sources.get(frame, source) != source:
                raise other_frame(take, frame, f"it is drawn from source frame {sources[frame]}, not {source}")


def other_frame(take: Take, frame: int, reason: str) -> EngineError:
    return EngineError(
        "other_frames",
        f"Frame {frame} in {take.folder} is not what this job asks for: {reason}.",
        "Render a new take, or move that file away.",
    )
