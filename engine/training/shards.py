"""Samples rendered ahead: a folder of memory-mapped files of fixed-size records, which a seed rebuilds byte for byte.

``shards.json`` describes the records and what made them, with size and sha256 of every finished ``NNNNN.shard``. An
interrupted build continues where it stopped. A shard is hashed when it is first read, so damage is never trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.training.records import Layout
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
                f"{folder} holds {len(self._rows)} of {self.plan.shards} shards: its making was interrupted.",
                "Run the command that made it again; it goes on where it stopped.",
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
