"""Is a take whole? Every frame's file is read to its end, and what is wrong is said in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.takes.frame import DRAWN, FOREIGN, MISSING, TORN, inspect
from engine.takes.sidecar import merge
from engine.takes.take import Take


@dataclass(frozen=True)
class Report:
    """Frame numbers by what is wrong with them. ``foreign`` pairs a file's name with the reason; ``faceless`` frames
    are whole, but the driver shows no face there. ``faults`` are sentences about records that cannot be read."""

    sidecar: dict[str, Any]
    missing: list[int]
    torn: list[int]
    foreign: list[tuple[str, str]]
    faceless: list[int]
    faults: list[str]

    @property
    def whole(self) -> bool:
        return not (self.missing or self.torn or self.foreign or self.faults)


def find(path: Path) -> Take | None:
    """The take at ``path``, its folder or its sidecar; None when there is none."""
    take = Take(path.absolute().parent if path.is_file() else path.absolute())
    return take if take.records.is_dir() or take.sidecar.is_file() else None


def verify(take: Take) -> Report:
    """Read every frame, and write the sidecar anew.

    Raises EngineError ``not_a_take``, ``not_writable`` or ``disk_full``.
    """
    sidecar = merge(take, to_end=True)
    by_status: dict[str, list[int]] = {}
    for frame, _, status in sidecar["frames"]:
        by_status.setdefault(status, []).append(frame)
    sources = {frame: source for frame, source, _ in sidecar["frames"]}
    foreign = [
        (path.name, inspect(path, sidecar["fingerprint"]["sha256"], sources[frame], to_end=False).reason)
        for frame in by_status.get(FOREIGN, [])
        for path in [take.frame(frame)]
    ]
    asked = {take.frame(frame).name for frame in sources}
    foreign += [
        (path.name, "no writer was asked for it")
        for path in sorted(take.folder.glob("*.png"))
        if path.name not in asked and not path.name.startswith(".")
    ]
    return Report(
        sidecar=sidecar,
        missing=by_status.get(MISSING, []),
        torn=by_status.get(TORN, []),
        foreign=foreign,
        faceless=sorted(frame for status in DRAWN[1:] for frame in by_status.get(status, [])),
        faults=[warning["text"] for warning in sidecar["warnings"] if warning["code"] == "bad_record"],
    )
