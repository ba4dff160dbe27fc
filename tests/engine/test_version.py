"""One version: ``engine/protocol.py`` says it, the files that cannot import it repeat it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from engine.protocol import VERSION

ROOT = Path(__file__).resolve().parents[2]


def toml(name: str) -> dict:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def test_every_file_says_the_same_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION), "Blender accepts no other form"
    assert toml("blender_manifest.toml")["version"] == VERSION
    assert toml("pyproject.toml")["project"]["version"] == VERSION


def test_the_changelog_knows_the_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased" and headings[1].startswith(VERSION)


def test_the_command_line_prints_the_version() -> None:
    command = [sys.executable, "-m", "engine", "--version"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert run.stdout == f"understudy {VERSION}\n"
