"""The sidecar: one JSON file in each take that says what it was made from, by whom, and how far it came.

It is merged from the records of all writers and from the frames on disk, and can be made again at any time.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from engine.errors import EngineError
from engine.media.image import write_atomic, write_fault
from engine.takes.frame import DRAWN, MISSING, inspect
from engine.takes.record import DONE, FORMAT, RUNNING, Record, layout, read_records
from engine.takes.take import Take

INCOMPLETE = "incomplete"  # all writers are done, and frames have gone since


def merge(take: Take, to_end: bool = False) -> dict[str, Any]:
    """Write the sidecar anew and return it; ``to_end`` reads every frame's file whole, instead of trusting the records.

    Raises EngineError ``not_a_take`` when there is no record, ``not_writable`` or ``disk_full``.
    """
    while True:
        before = _snapshot(take)
        sidecar = _merged(take, to_end)
        write_atomic(take.sidecar, layout(sidecar))
        if _snapshot(take) == before:  # else a writer has begun or ended, and may have merged before this write
            return sidecar


def _snapshot(take: Take) -> set[tuple[str, int, int]]:
    """Changes whenever a record is written, but not with a writer's heartbeats."""
    try:
        with os.scandir(take.records) as entries:
            return {(e.name, s.st_ino, s.st_size) for e in entries if e.name.endswith(".json") for s in [e.stat()]}
    except OSError as fault:
        raise write_fault(take.records, fault) from fault


def _merged(take: Take, to_end: bool) -> dict[str, Any]:
    records, faults = read_records(take.records)
    if not records:
        raise EngineError("not_a_take", f"{take.folder} has no record that can be read.", "Render a new take.")
    first, states = records[0], [record.current_state(take.records) for record in records]
    frames = _frames(take, records, to_end)
    complete = all(status in DRAWN for _, _, status in frames)
    last = max(zip(records, states), key=lambda pair: (pair[1] != DONE, pair[0].finished or pair[0].started))
    if RUNNING in states:
        state, error, finished = RUNNING, None, None
    else:
        state = DONE if complete else last[1] if last[1] != DONE else INCOMPLETE
        error = None if complete else last[0].error
        finished = max((record.finished or record.started for record in records), default=None)
    return {
        "format": FORMAT,
        "name": take.name,
        "state": state,
        "error": error,
        "started": first.started,
        "finished": finished,
        "fingerprint": first.fingerprint.to_json(),
        "job": replace(first.job, frames=tuple((frame, source) for frame, source, _ in frames)).to_json(),
        "inputs": _inputs(records),
        "frames": frames,
        "writers": [_writer(record, state) for record, state in zip(records, states)],
        "warnings": _each_once([warning for record in records for warning in record.warnings])
        + [{"code": "bad_record", "text": fault, "remedy": "Delete that file."} for fault in faults]
        + _mixed_networks(records),
        "notes": {name: value for record in records for name, value in record.notes.items()},
        "seconds": {
            name: round(sum(record.seconds.get(name, 0.0) for record in records), 4)
            for name in dict.fromkeys(name for record in records for name in record.seconds)
        },
        "device": "; ".join(_each_once([record.device for record in records])),
        "versions": first.versions,
    }


def _frames(take: Take, records: list[Record], to_end: bool) -> list[list[Any]]:
    """Rows (output, source, status) of all frames that the writers were asked for, in output order."""
    asked: dict[int, int] = {}
    known: dict[int, str] = {}
    for record in records:
        asked = dict(record.job.frames) | asked
        known |= record.statuses
    present, fingerprint = set(os.listdir(take.folder)), records[0].fingerprint.sha256
    rows = []
    for frame, source in sorted(asked.items()):
        path = take.frame(frame)
        if path.name not in present:
            status = MISSING
        elif frame in known and not to_end:
            status = known[frame]
        else:  # drawn by a writer that runs, or was killed
            status = inspect(path, fingerprint, source, to_end).status
        rows.append([frame, source, status])
    return rows


def _inputs(records: list[Record]) -> list[dict[str, Any]]:
    """Each file once, with its hash where any writer knows it."""
    inputs: dict[tuple[Any, Any], dict[str, Any]] = {}
    for entry in (entry for record in records for entry in record.inputs):
        key = entry.get("role"), entry.get("path")
        if key not in inputs or not inputs[key].get("sha256"):
            inputs[key] = entry
    return list(inputs.values())


def _writer(record: Record, state: str) -> dict[str, Any]:
    return {
        "name": record.name,
        "host": record.host,
        "pid": record.pid,
        "state": state,
        "started": record.started,
        "finished": record.finished,
        "asked": len(record.job.frames),
        "error": record.error,
    }


def _mixed_networks(records: list[Record]) -> list[dict[str, str]]:
    """A warning where some frames were drawn in another precision or by another runtime than others."""
    networks = _each_once([record.notes["networks"] for record in records if "networks" in record.notes])
    if len(networks) < 2:
        return []
    text = f"Its networks ran differently ({' and '.join(map(str, networks))}), so frames may differ slightly."
    return [{"code": "mixed_networks", "text": text, "remedy": "If it shows, render the take on machines of one kind."}]


def _each_once(items: list[Any]) -> list[Any]:
    return [item for i, item in enumerate(items) if item not in items[:i]]
