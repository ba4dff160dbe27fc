"""Writing weights/manifest.toml: one table a file, the others and the comments left as they are."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.media.image import write_atomic


def update(path: Path, name: str, row: dict[str, Any]) -> None:
    """Write or replace the table ``["name"]``: numbers, texts, lists of texts. Raises EngineError ``bad_manifest``."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    table = f'["{name}"]\n' + "".join(f"{key} = {_value(value)}\n" for key, value in row.items())
    old = re.compile(rf'^\["{re.escape(name)}"\]\n.*?(?=\n\[|\Z)', re.MULTILINE | re.DOTALL)
    if old.search(text):
        text = old.sub(lambda _: table, text, count=1)
    else:
        text = f"{text.rstrip()}\n\n{table}" if text.strip() else table
    try:
        found = tomllib.loads(text)[name]
    except (tomllib.TOMLDecodeError, KeyError) as fault:
        raise EngineError("bad_manifest", f"{path} is not as it was left: {fault}.", "Restore it from git.") from fault
    assert found == row
    write_atomic(path, text.encode())


def summary(data: dict[str, Any]) -> list[str]:
    """A line or two that say what a description of samples holds; the whole is in the run's record."""
    inner = data.get("source")
    form = ("format", "version") if "format" in data else ()  # of the files, not of what they show
    about = {key: value for key, value in data.items() if isinstance(value, (str, int, float)) and key not in form}
    line = ", ".join(f"{key} {value}" for key, value in about.items())
    return [line, *(summary(inner) if isinstance(inner, dict) else [])]


def _value(value: Any) -> str:
    """As TOML; JSON's strings and numbers are also TOML's."""
    if isinstance(value, list):
        return "[\n" + "".join(f"    {json.dumps(each, ensure_ascii=False)},\n" for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
