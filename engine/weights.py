"""The trained files that come with the engine, and the manifest that says what each must be."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "weights"
MANIFEST = FOLDER / "manifest.toml"
JUDGE = "judge"  # subfolder of networks that score takes and never render


@dataclass(frozen=True)
class Weights:
    """One table of the manifest, named after its file: ``["face_model.safetensors"]`` with ``size`` and ``sha256``.
    Files whose ``use`` is ``training`` are not in the extension: only training and evaluation read them."""

    path: Path
    size: int
    sha256: str
    training: bool = False

    def state(self) -> str | None:
        """None when the file is what the manifest says, else a line for people that says what is wrong."""
        if not self.path.is_file():
            return None if self.training else f"MISSING    {self.path}"
        data = self.path.read_bytes()
        if len(data) != self.size or hashlib.sha256(data).hexdigest() != self.sha256:
            return f"DAMAGED    {self.path} is not the file that {MANIFEST.name} describes"
        return None


def manifest() -> list[Weights]:
    """Raises OSError when there is no manifest and ValueError when it is malformed."""
    tables = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    try:
        return [
            Weights(FOLDER / name, int(table["size"]), str(table["sha256"]), table.get("use") == "training")
            for name, table in tables.items()
        ]
    except (KeyError, TypeError) as fault:
        raise ValueError(f"a table lacks {fault}") from fault
