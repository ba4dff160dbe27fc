"""Writes weights/manifest.toml: replaces the table of one file, keeps all other tables and comments."""

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
        raise EngineError("bad_manifest", f"{path} is damaged: {fault}.", "Restore it from git.") from fault
    assert found == row
    write_atomic(path, text.encode())


def summary(data: dict[str, Any]) -> list[str]:
    """A description of samples in one or two lines; the run's record has all of it."""
    inner = data.get("source")
    form = ("format", "version") if "format" in data else ()  # these describe files, not content
    about = {key: value for key, value in data.items() if isinstance(value, (str, int, float)) and key not in form}
    line = ", ".join(f"{key} {value}" for key, value in about.items())
    return [line, *(summary(inner) if isinstance(inner, dict) else [])]


def _value(value: Any) -> str:
    """A TOML value; JSON strings and numbers are valid TOML."""
    if isinstance(value, list):
        return "[\n" + "".join(f"    {json.dumps(each, ensure_ascii=False)},\n" for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
