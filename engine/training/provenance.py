"""The commands that repeat a run, derived from its record, ``weights/training/NAME/run.json``.

Placeholders replace the folders of the machine it ran on: DIR and HELD for the folders that the ``shards`` commands
fill, HEADS for the head assets, CLIPS for footage, FILE for the weights that ``start`` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.face import model as face_model
from engine.training import manifest, recipe, shard_writer, tasks, warped
from engine.training.studio.library import builtin
from engine.training.studio.library.items import digest_of

_TRAIN = "python -m engine train"
_KEPT_BACK = {
    "studio": "the studio's own held-out split",
    "shards": "the last sixteenth of the same shards",
    "footage": "other pairs of the same clips",
}


def origin(record: dict[str, Any]) -> dict[str, Any]:
    """The manifest's keys ``recipe``, ``shards`` (commands that draw the data), ``studio`` (its version: another one
    draws other pictures), ``start``, ``data`` and ``held_out``, without those that do not apply to this run."""
    data, held_out, start = record["data"], record.get("held_out"), record.get("start")
    folders = {"DIR": data, "HELD": held_out or {}}
    keys = {
        "recipe": _run(record),
        "shards": [command for folder, held in folders.items() if (command := _shards(held, folder))],
        "studio": _studio(data).get("version"),
        "start": _start(start) if start else None,
        "data": manifest.summary(data),
        "held_out": manifest.summary(held_out) if held_out else [_KEPT_BACK[_kind(data)]],
    }
    return {key: value for key, value in keys.items() if value}


def _run(record: dict[str, Any]) -> str:
    data, words = record["data"], [_TRAIN, "run", record["recipe"]["name"]]
    if _kind(data) == "studio":
        words += _assets(data)
    else:
        words += ["--data", "DIR" if _kind(data) == "shards" else "CLIPS"]
    if record.get("held_out"):
        words += ["--held-out", "HELD"]
    if record.get("start"):
        words += ["--start", "FILE"]
    return " ".join(words + _options(record["recipe"]))


def _options(ran: dict[str, Any]) -> list[str]:
    """``--option`` for each value that differs from the shipped recipe or the task's default; options that the task no
    longer has are left out."""
    name = Path(ran["name"])
    if "options" not in ran or not (recipe.FOLDER / f"{name}.toml").is_file():
        return []
    said = dict(_flat(tasks.options(ran["task"], recipe.read(name).options)))
    changed = {key: did for key, did in _flat(ran["options"]) if key in said and said[key] != did}
    return [word for key, did in sorted(changed.items()) for word in ("--option", f"{key}={json.dumps(did)}")]


def _flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _shards(data: dict[str, Any], folder: str) -> str | None:
    """The command that draws these shards into ``folder``, or None if no command does."""
    if _kind(data) != "shards" or _kind(data["source"]) not in ("studio", "footage"):
        return None
    source, layout = data["source"], data["layout"]
    words = [_TRAIN, "shards", "--out", folder, "--count", data["count"], "--size", layout["size"]]
    words += ["--seed", source["seed"]]
    usual = shard_writer.arguments()
    for name in ("split", "sittings", "negatives", "loose", "blinks", "sources", "profile", "tracked"):
        if source.get(name, usual.get_default(name)) != usual.get_default(name):
            words += [f"--{name}", source[name]]
    fields = tuple(name for name in layout["fields"] if name != "warp")
    if fields != shard_writer.USUAL:
        words += ["--fields", ",".join(fields)]
    words += [f"--{name}" for name in ("cross", "warp", "apart") if source.get(name)]
    if (inputs := tuple(layout.get("inputs") or warped.USUAL)) != warped.USUAL:
        words.insert(words.index("--warp") + 1, ",".join(inputs))
    words += _assets(source) if _kind(source) == "studio" else ["--data", "CLIPS"]
    return " ".join(map(str, words))


def _start(start: dict[str, Any]) -> str:
    steps = f", after {start['steps']} steps" if "steps" in start else ""
    return f"{start['file']}, sha256 {start['sha256']}{steps}"


def _assets(studio: dict[str, Any]) -> list[str]:
    return [] if studio["library"] == digest_of(face_model.load(), builtin.VERSION) else ["--assets", "HEADS"]


def _studio(data: dict[str, Any]) -> dict[str, Any]:
    """The studio's description, or an empty one if it did not draw these data."""
    source = data.get("source", data)
    return source if _kind(source) == "studio" else {}


def _kind(description: dict[str, Any]) -> str:
    return str(description.get("kind"))
