"""Peak memory of a render process, and the time until its first frame. Linux only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.material import Material
from benchmarks.speed import job_for
from engine import protocol

ROOT = Path(__file__).resolve().parent.parent
# The kernel's high-water mark of this process; getrusage would include the process that started it.
_RENDER = """
import sys
from engine.__main__ import main
status = main(["render", *sys.argv[1:]])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1], file=sys.stderr)
sys.exit(status)
"""


def peak_memory(material: Material, system: str) -> float:
    """MiB at the peak of ``python -m engine render`` over the whole material."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--system", system, "--portrait", str(material.portrait), "--driving", str(material.clip)]
        done = subprocess.run(
            [sys.executable, "-c", _RENDER, *arguments, "--out", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"the render failed:\n{done.stderr}")
    return int(done.stderr.split()[-1]) / 1024


def first_frame(material: Material, system: str) -> dict[str, float]:
    """Seconds from starting an engine process and sending it a job, as Reenact does, until each event.

    ``hello``: the process is ready; ``take``: the portrait is fitted; ``frame``: the first frame is on disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = job_for(material, system, Path(folder))
        started = time.perf_counter()
        engine = subprocess.Popen(
            [sys.executable, "-m", "engine", "serve"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert engine.stdin is not None and engine.stdout is not None
        seconds: dict[str, float] = {}
        try:
            engine.stdin.write(protocol.encode({"type": "job", **job.to_json()}))
            engine.stdin.flush()
            for line in engine.stdout:
                message = json.loads(line)
                if message["type"] == "error":
                    raise SystemExit(f"{message['text']} {message['remedy']}")
                if message["type"] in ("hello", "take", "frame"):
                    seconds.setdefault(message["type"], time.perf_counter() - started)
                if message["type"] == "frame":
                    break
        finally:
            engine.stdin.close()
            engine.stdout.close()
            engine.terminate()
            engine.wait()
    return seconds


def load() -> float:
    """The machine's load average over the last minute."""
    return os.getloadavg()[0]
