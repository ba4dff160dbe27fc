"""Samples rendered ahead: a folder of memory-mapped files of fixed-size records, which a seed rebuilds byte for byte.

``shards.json`` describes the records and what made them, with size and sha256 of every finished ``NNNNN.shard``. An
interrupted build continues where it stopped. A shard is hashed when it is first read, so damage is never trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.media.image import whole_file, write_atomic, write_fault
from engine.training import workers
from engine.training.records import Layout, Parts
from engine.training.resize import smaller_pair
from engine.training.sample import Pair, Samples

INDEX = "shards.json"
FORMAT = "understudy-shards"
VERSION = 2  # raised whenever records of the same plan are laid out otherwise
PAIR = ("source", "driving")
MAX_COUNT = 10**9
_SHARD_BYTES = 64 << 20  # what an interruption may cost, and what is hashed at once
_OPEN = 128  # shards mapped at one time, each of which holds a file open
_AGAIN = "Delete it and make it again with `python -m engine train shards --out {folder} …`."


@dataclass(frozen=True)
class Plan:
    """What a folder is to hold: ``count`` records of ``layout``, made by ``source`` (its JSON description)."""

    layout: Layout
    count: int
    per_shard: int
    source: dict[str, Any]

    @classmethod
    def of(cls, layout: Layout, count: int, source: dict[str, Any]) -> Plan:
        """In shards of the usual size."""
        return cls(layout, count, max(1, _SHARD_BYTES // layout.dtype.itemsize), source)

    @property
    def shards(self) -> int:
        return -(-self.count // self.per_shard)

    def numbers(self, shard: int) -> range:
        """The records of a shard."""
        return range(shard * self.per_shard, min(self.count, (shard + 1) * self.per_shard))

    def to_json(self) -> dict[str, Any]:
        numbers = {"version": VERSION, "count": self.count, "per_shard": self.per_shard}
        plan = {"format": FORMAT, **numbers, "layout": self.layout.to_json(), "source": self.source}
        return json.loads(json.dumps(plan))


class Records:
    """The finished records of a folder, by number."""

    def __init__(self, folder: Path) -> None:
        """Raises EngineError ``missing_file``, ``bad_shards`` or ``unfinished_shards``."""
        self.folder = folder
        self.plan, self._rows = read_index(folder)
        missing = [shard for shard in range(self.plan.shards) if shard not in self._rows]
        if missing:
            raise EngineError(
                "unfinished_shards",
                f"{folder} holds {len(self._rows)} of {self.plan.shards} shards: making it was interrupted.",
                "Run the command that made it again; it continues where it stopped.",
            )
        for shard, (_, size) in self._rows.items():
            self._check_size(self._path(shard), size)
        self._open: OrderedDict[int, np.ndarray] = OrderedDict()
        self._sound: set[int] = set()

    def __len__(self) -> int:
        return self.plan.count

    @property
    def sha256(self) -> str:
        """Of all records: it names these data."""
        return hashlib.sha256("".join(self._rows[k][0] for k in sorted(self._rows)).encode()).hexdigest()

    def parts(self, number: int) -> dict[str, Any]:
        """Frames and motion of one record; raises EngineError ``bad_shards`` if its file is not what was written."""
        shard, place = divmod(number, self.plan.per_shard)
        return self.plan.layout.unpack(self._mapped(shard)[place])

    def _mapped(self, shard: int) -> np.ndarray:
        if shard not in self._open:
            path, (digest, size) = self._path(shard), self._rows[shard]
            self._check_size(path, size)
            data = np.memmap(path, np.uint8, "r")
            if shard not in self._sound:
                if hashlib.sha256(data.data).hexdigest() != digest:
                    raise damaged(path, "its content is not what was written")
                self._sound.add(shard)
            self._open[shard] = data.view(self.plan.layout.dtype)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(shard)
        return self._open[shard]

    def _path(self, shard: int) -> Path:
        return self.folder / shard_name(shard)

    def _check_size(self, path: Path, size: int) -> None:
        try:
            actual = path.stat().st_size
        except OSError as fault:
            raise damaged(path, f"it cannot be read ({fault.strerror})") from fault
        if actual != size:
            raise damaged(path, f"it has {actual} bytes instead of {size}")


class ShardSamples(Samples):
    """Pairs from a folder of shards; after the last comes the first again."""

    def __init__(self, folder: Path) -> None:
        self._records = Records(folder)
        if not set(PAIR) <= set(self._records.plan.layout.frames):
            raise EngineError("bad_shards", f"{folder} holds no pairs of frames.", "Choose a folder made by `shards`.")

    def __len__(self) -> int:
        return len(self._records)

    def pair(self, number: int, size: int) -> Pair:
        stored = self._records.plan.layout.size
        if size > stored:
            raise EngineError(
                "shard_size",
                f"{self._records.folder} holds pictures of {stored} pixels, {size} were asked for.",
                f"Train at {stored} or less, or make shards with --size {size}.",
            )
        return smaller_pair(Pair.of_parts(self._records.parts(number % len(self._records))), size)

    def describe(self) -> dict[str, object]:
        plan = self._records.plan
        return {"kind": "shards", "sha256": self._records.sha256, **plan.to_json()}


def read_index(folder: Path) -> tuple[Plan, dict[int, tuple[str, int]]]:
    """The plan of a folder, and (sha256, bytes) of its finished shards by number."""
    path = folder / INDEX
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise ValueError(f"it is {data['format']}, not {FORMAT}")
        if data["version"] != VERSION:
            raise EngineError(
                "old_shards",
                f"{path} has version {data['version']} of the format; this engine reads version {VERSION}.",
                _AGAIN.format(folder=folder),
            )
        plan = Plan(Layout.of_json(data["layout"]), int(data["count"]), int(data["per_shard"]), dict(data["source"]))
        rows = {int(shard): (str(row[0]), int(row[1])) for shard, row in dict(data["shards"]).items()}
        if not 1 <= plan.count <= MAX_COUNT or plan.per_shard < 1 or not set(rows) <= set(range(plan.shards)):
            raise ValueError("its count does not fit its shards")
        for shard, (_, size) in rows.items():
            if size != len(plan.numbers(shard)) * plan.layout.dtype.itemsize:
                raise ValueError(f"its shard {shard} has an impossible size")
        return plan, rows
    except FileNotFoundError as fault:
        raise EngineError(
            "missing_file",
            f"{folder} holds no shards: there is no {INDEX}.",
            f"Choose a folder with shards, or make them with `python -m engine train shards --out {folder} …`.",
        ) from fault
    except (OSError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as fault:
        raise damaged(path, f"it cannot be read: {fault}") from fault


def shard_name(shard: int) -> str:
    return f"{shard:05d}.shard"


def damaged(path: Path, reason: str) -> EngineError:
    return EngineError("bad_shards", f"{path} is damaged: {reason}.", _AGAIN.format(folder=path.parent))


def write(
    folder: Path,
    plan: Plan,
    record: Callable[[int], Parts],
    processes: int = 1,
    on_record: Callable[[int], None] = lambda done: None,
) -> None:
    """Write what is missing of ``plan`` into ``folder``; ``record`` gives the parts of any number."""
    rows = _resume(folder, plan)
    missing = [shard for shard in range(plan.shards) if shard not in rows]
    done = sum(len(plan.numbers(shard)) for shard in rows)
    on_record(done)
    try:
        for shard, row in _finished(folder, plan, record, missing, processes):
            rows[shard] = row
            _write_index(folder, plan, rows)
            done += len(plan.numbers(shard))
            on_record(done)
    except EngineError as fault:
        if fault.code != "disk_full":
            raise
        remedy = f"Free some space and run the same command again: the {len(rows)} finished shards stay."
        raise EngineError("disk_full", fault.text, remedy) from fault


def _finished(
    folder: Path, plan: Plan, record: Callable[[int], Parts], shards: list[int], processes: int
) -> Iterator[tuple[int, tuple[str, int]]]:
    if processes <= 1 or len(shards) <= 1:
        for shard in shards:
            yield shard, _write_shard(folder, plan, record, shard)
        return
    with workers.pool(processes, _start_worker, record) as pool:
        jobs = {pool.submit(_work, folder, plan, shard): shard for shard in shards}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_RECORD: Callable[[int], Parts] | None = None


def _start_worker(record: Callable[[int], Parts]) -> None:
    global _RECORD
    _RECORD = record


def _work(folder: Path, plan: Plan, shard: int) -> tuple[str, int]:
    assert _RECORD is not None
    return _write_shard(folder, plan, _RECORD, shard)


def _write_shard(folder: Path, plan: Plan, record: Callable[[int], Parts], shard: int) -> tuple[str, int]:
    """(sha256, bytes) of the shard now on disk."""
    digest, size = hashlib.sha256(), 0
    with whole_file(folder / shard_name(shard)) as file:
        for number in plan.numbers(shard):
            data = plan.layout.pack(record(number)).tobytes()
            file.write(data)
            digest.update(data)
            size += len(data)
    return digest.hexdigest(), size


def _resume(folder: Path, plan: Plan) -> dict[int, tuple[str, int]]:
    """The finished shards of a folder that is made or has begun to be made by the same plan."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise write_fault(folder, fault) from fault
    if not (folder / INDEX).exists():
        _write_index(folder, plan, {})
        return {}
    there, rows = read_index(folder)
    if there.to_json() != plan.to_json():
        raise EngineError(
            "other_shards",
            f"{folder} holds shards of another kind: {_difference(there.to_json(), plan.to_json())}.",
            "Choose another folder, or delete this one.",
        )
    sizes = {shard: folder / shard_name(shard) for shard in rows}
    return {k: rows[k] for k, path in sizes.items() if path.is_file() and path.stat().st_size == rows[k][1]}


def _difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    for name in sorted({*there, *wanted}):
        a, b = there.get(name), wanted.get(name)
        if isinstance(a, dict) and isinstance(b, dict) and a != b:
            return f"{name}, {_difference(a, b)}"
        if a != b:
            return f"{name} is {a} and not {b}"
    return "nothing"


def _write_index(folder: Path, plan: Plan, rows: dict[int, tuple[str, int]]) -> None:
    index = {**plan.to_json(), "shards": {str(shard): rows[shard] for shard in sorted(rows)}}
    write_atomic(folder / INDEX, (json.dumps(index, indent=1) + "\n").encode())
