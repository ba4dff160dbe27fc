"""A take's job, read back from its sidecar to make the take again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import weights
from engine.errors import EngineError
from engine.media.hashes import sha256
from engine.protocol import Job


def read_job(path: Path, output: Path | None, take: str) -> tuple[Job, list[str]]:
    """The job in a sidecar, for another take, and a sentence for each of its inputs that has changed since.

    ``output`` replaces the sidecar's folder. Raises EngineError ``not_a_sidecar``, ``missing_file``.
    """
    try:
        data = json.loads(path.read_bytes())
        job = replace(Job.from_json(data["job"]), take=take)
        inputs = [_input(entry) for entry in data["inputs"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as fault:
        raise EngineError(
            "not_a_sidecar", f"{path} is not the sidecar of a take: {fault}.", "Choose the JSON file inside a take."
        ) from fault
    if output is not None:
        job = replace(job, output=str(output.absolute()))
    driving = Path(job.driving.path)
    named = {driving, *(driving / name for name in job.driving.files), *map(Path, job.portraits)}
    changed = []
    for role, file, size, digest in inputs:
        if role == "weights" and not file.is_file():  # made elsewhere: this engine has its own
            file = weights.FOLDER / file.name
            if not file.is_file():
                continue
        elif role != "weights" and file not in named:
            continue  # another writer's path of the same file
        if not file.is_file():
            raise EngineError("missing_file", f"{file}, from which {path.stem} was made, is missing.", "Put it back.")
        if file.stat().st_size != size or (digest is not None and sha256(file) != digest):
            changed.append(f"{file} has changed since {path.stem} was made from it.")
    return job, changed


def _input(entry: dict[str, Any]) -> tuple[str, Path, int, str | None]:
    return str(entry["role"]), Path(entry["path"]), int(entry["size"]), entry["sha256"]
