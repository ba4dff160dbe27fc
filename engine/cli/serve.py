"""``python -m engine serve``: speak the protocol on stdin and stdout."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from engine.service import serve


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m engine serve", description="Speak the protocol on stdin and stdout.")
    parser.add_argument("--log", type=Path, help="write the log to this file as well")
    options = parser.parse_args(argv)
    # Ctrl-C in the terminal that started Blender reaches this process too; Blender decides what becomes of its jobs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return serve(options.log)
