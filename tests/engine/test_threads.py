"""The engine's own process keeps small matrices on one thread."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ASK = """
import engine.__main__, json, os, sys
assert "numpy" not in sys.modules
print(os.environ["OPENBLAS_NUM_THREADS"])
"""


def _threads(**environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", _ASK], cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_linear_algebra_has_one_thread_unless_the_user_says_otherwise() -> None:
    assert _threads() == "1"
    assert _threads(OPENBLAS_NUM_THREADS="4") == "4"
