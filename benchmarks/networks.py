"""``python -m benchmarks networks``: milliseconds per network, runtime and precision, batch size 1.

Runtimes take turns, so that other load affects all alike. The median says what to expect now, the minimum what the
machine can do, the processor time of all threads what it costs. One run is timed as systems make it, arrays in and
arrays out.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import runtime, weights
from engine.device import device_name
from engine.errors import EngineError
from engine.evaluation.tables import markdown
from engine.media.image import write_atomic
from engine.runtime import openvino_backend
from engine.runtime.backend import Refused
from engine.runtime.session import Session

_ROUNDS = 5  # of all runtimes; each starts with runs that do not count
_WARM = 2
_IN_HALF = ".fp16.onnx"


@dataclass(frozen=True)
class Figures:
    """One network in one runtime, in milliseconds; ``runtime``, ``device`` and ``precision`` as the session says."""

    network: str
    mib: float
    millions: float | None  # of parameters
    runtime: str
    device: str
    precision: str
    median: float
    minimum: float
    processor: float  # mean, all threads together


def main(argv: list[str]) -> int:
    options = _arguments(argv)
    files = [path for given in options.networks or [weights.FOLDER] for path in _networks(given)]
    if not files:
        raise SystemExit("no network found: give ONNX files, or folders of them")
    measured, refusals = [], []
    for path in files:
        found, refused = measure(path, options.device, options.threads, options.repeats)
        measured += found
        refusals += refused
    record = {
        "device": device_name(),
        "threads": options.threads,
        "repeats": options.repeats,
        "networks": [asdict(figures) for figures in measured],
        "refusals": refusals,
    }
    print(report(measured, refusals, options.threads, options.repeats))
    if options.json:
        write_atomic(options.json, (json.dumps(record, indent=1) + "\n").encode())
    return 0


def measure(path: Path, device: str, threads: int, repeats: int) -> tuple[list[Figures], list[str]]:
    """Every runtime and precision that accepts the network, and why others do not."""
    sessions: list[Session] = []
    refusals: list[str] = []
    for name, precision in _ways(path, device):
        try:
            sessions.append(runtime.open(path, device, precision, name, batch=1, warn=lambda _: None, threads=threads))
        except EngineError as fault:
            refusals.append(f"{path.name}, {name} in {precision}: {fault.text}")
    feeds = _feeds(sessions)
    clocks = [_Clock() for _ in sessions]
    for _ in range(_ROUNDS):
        for session, clock in zip(sessions, clocks):
            for _ in range(_WARM):
                session.run(feeds)
            for _ in range(-(-repeats // _ROUNDS)):
                with clock:
                    session.run(feeds)
    size, held = path.stat().st_size / 2**20, _parameters(path)
    figures = [
        Figures(path.name, size, held, s.runtime, s.device, s.precision, *clock.figures())
        for s, clock in zip(sessions, clocks)
    ]
    return figures, refusals


class _Clock:
    """Adds up the milliseconds of ``with`` blocks."""

    def __init__(self) -> None:
        self._walls: list[float] = []
        self._processor = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._processor += 1000 * (time.process_time() - self._since[1])
        self._walls.append(1000 * (time.perf_counter() - self._since[0]))

    def figures(self) -> tuple[float, float, float]:
        """Median and minimum of wall time, mean of processor time."""
        return float(np.median(self._walls)), min(self._walls), self._processor / len(self._walls)


def report(measured: list[Figures], refusals: list[str], threads: int, repeats: int) -> str:
    """The figures as Markdown."""
    lines = [
        f"{device_name()}; {threads} threads, one item at a time, median and minimum of {repeats} runs.",
        "",
        *markdown.head(
            ["network", "MiB", "million parameters", "runtime", "precision", "median ms", "min ms", "processor ms"]
        ),
    ]
    for f in measured:
        millions = markdown.number(f.millions, 2)
        cells = [f.network, f"{f.mib:.1f}", millions, f"{f.runtime}, {f.device}", f.precision]
        cells += [f"{figure:.1f}" for figure in (f.median, f.minimum, f.processor)]
        lines.append(markdown.row(cells))
    return "\n".join([*lines, *(["", *(f"- {refusal}" for refusal in refusals)] if refusals else [])])


def _ways(path: Path, device: str) -> list[tuple[str, str]]:
    """(runtime, precision) to try: fp32 everywhere, half precision where processor or file support it."""
    ways = [("onnxruntime", "fp32")]
    if path.with_suffix(_IN_HALF).is_file():
        ways.append(("onnxruntime", "fp16"))
    if device != "cuda":
        with suppress(Refused):
            ways += [("openvino", precision) for precision in openvino_backend.precisions()]
    return ways


def _feeds(sessions: list[Session]) -> dict[str, np.ndarray]:
    """Uniform noise in 0…1 as a batch of one, the same for every runtime."""
    if not sessions:
        return {}
    draw = np.random.default_rng(0)
    return {name: draw.random((1, *shape), np.float32) for name, shape in sessions[0].inputs.items()}


def _parameters(path: Path) -> float | None:
    """Millions of floating-point constants in the graph, mostly weights; None without OpenVINO."""
    try:
        constants = [node for node in openvino_backend.core().read_model(path).get_ops() if _is_weights(node)]
    except (Refused, RuntimeError):
        return None
    return sum(int(np.prod(node.shape)) for node in constants) / 1e6


def _is_weights(node: Any) -> bool:
    return node.get_type_name() == "Constant" and node.get_element_type().is_real()


def _networks(given: Path) -> list[Path]:
    """The file itself, or the networks in a folder; half-precision copies are measured beside their originals."""
    if given.is_dir():
        return sorted(path for path in given.glob("*.onnx") if not path.name.endswith(_IN_HALF))
    if not given.is_file():
        raise SystemExit(f"{given}: no such network")
    return [given]


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks networks", description=__doc__)
    parser.add_argument("networks", type=Path, nargs="*", metavar="ONNX", help="files or folders (default: weights/)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=50, help="timed runs of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(argv)
    if options.threads < 1 or options.repeats < 1:
        parser.error("--threads and --repeats: 1 or more")
    return options
