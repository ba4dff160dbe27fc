"""``python -m benchmarks``: speed, memory and start-up time of a render on this machine, beside simple baselines.

``python -m benchmarks networks`` times networks alone, see :mod:`benchmarks.networks`; ``python -m benchmarks tracker``
the face tracker, see :mod:`benchmarks.tracker`.

Run it in the engine's environment on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import material, networks, processes, speed
from engine.device import device_name
from engine.evaluation.tables import markdown
from engine.media.image import write_atomic

SAMPLE = Path(__file__).resolve().parent.parent / "tests" / "data" / "driving_sample.mp4"


def main(argv: list[str]) -> int:
    if argv[:1] == ["networks"]:
        return networks.main(argv[1:])
    if argv[:1] == ["tracker"]:
        from benchmarks import tracker  # it needs the mediapipe package

        return tracker.main(argv[1:])
    options = _arguments(argv)
    with tempfile.TemporaryDirectory(prefix="understudy-benchmark-") as folder:
        record = _measure(options, Path(folder))
    print(report(record))
    if options.json:
        write_atomic(options.json, (json.dumps(record, indent=1) + "\n").encode())
    return 0


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    busy = processes.load()

    def made(size: tuple[int, int], frames: int) -> material.Material:
        return material.make(options.clip, options.portrait, size, frames, folder)

    sizes = {}
    for size in options.sizes:
        _say(f"{size[0]}×{size[1]}: {options.repeats} × {options.frames} frames")
        sizes[f"{size[0]}×{size[1]}"] = speed.measure(made(size, options.frames), options.system, options.repeats)
    memory = {}
    for frames in options.memory:
        _say(f"memory of {frames} frames")
        memory[str(frames)] = processes.peak_memory(made(options.memory_size, frames), options.system)
    _say("first frame")
    waits = [processes.first_frame(made((512, 512), options.frames), options.system) for _ in range(options.repeats)]
    return {
        "device": device_name(),
        "load_before": busy,
        "opencv": cv2.__version__,
        "system": options.system,
        "clip": options.clip.name,
        "frames": options.frames,
        "repeats": options.repeats,
        "sizes": sizes,
        "memory_size": f"{options.memory_size[0]}×{options.memory_size[1]}",
        "memory_mib": memory,
        "first_frame_seconds": {name: float(np.median([wait[name] for wait in waits])) for name in waits[0]},
    }


def report(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    sizes: dict[str, dict[str, float]] = record["sizes"]
    rows: list[tuple[str, list[str]]] = [
        (f"{label}, ms a frame", [f"{figures[key]:.1f}" for figures in sizes.values()])
        for label, key in (
            ("decode", "decode"),
            ("detect", "detect"),
            ("fit", "fit"),
            ("warp", "warp"),
            ("encode + fsync (beside the others)", "write"),
            ("piecewise-affine warp", "affine_warp"),
        )
    ]
    rows += [
        (f"**{label}, frames/s**", [f"**{figures[key]:.1f}**" for figures in sizes.values()])
        for label, key in (
            (f"{record['system']}, end to end", "fps"),
            ("piecewise affine instead", "affine_fps"),
            ("limit: decode + encode alone", "limit_fps"),
        )
    ]
    rows += [
        ("end to end / piecewise affine", [f"{f['fps'] / f['affine_fps']:.2f}" for f in sizes.values()]),
        ("end to end / limit", [f"{f['fps'] / f['limit_fps']:.2f}" for f in sizes.values()]),
        ("warp / piecewise-affine warp, time", [f"{f['warp'] / f['affine_warp']:.2f}" for f in sizes.values()]),
        ("portrait fitted and prepared, once, s", [f"{f['once']:.2f}" for f in sizes.values()]),
    ]
    lines = [
        f"{record['device']}; OpenCV {record['opencv']}; {record['clip']}, {record['frames']} frames, median of "
        f"{record['repeats']} warm runs; load before the run {record['load_before']:.1f}.",
        "",
        *markdown.head(["", *sizes]),
        *(markdown.row([label, *cells]) for label, cells in rows),
    ]
    if record["memory_mib"]:
        memory = ", ".join(f"{mib:.0f} MiB at {frames} frames" for frames, mib in record["memory_mib"].items())
        lines += ["", f"Peak memory of one render process at {record['memory_size']}: {memory}."]
    wait = record["first_frame_seconds"]
    lines += [
        "",
        f"From Reenact, with no engine running yet, {record['frames']} frames at 512×512: process up after "
        f"{wait['hello']:.2f} s, portrait ready after {wait['take']:.2f} s, "
        f"first frame on disk after {wait['frame']:.2f} s.",
    ]
    return "\n".join(lines)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--system", default="mesh_warp")
    parser.add_argument("--clip", type=Path, default=SAMPLE, help="a movie with one face (default: a rendered head)")
    parser.add_argument("--portrait", type=Path, help="an image with one face (default: the clip's first frame)")
    parser.add_argument("--sizes", type=_size, nargs="+", default=[(256, 256), (512, 512), (1920, 1080)], metavar="WxH")
    parser.add_argument("--frames", type=int, default=100, help="frames of one run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs; the median is reported (default: %(default)s)")
    parser.add_argument("--memory", type=int, nargs="*", default=[200, 2000], metavar="N", help="frames; none: skip")
    parser.add_argument("--memory-size", type=_size, default=(256, 256), metavar="WxH")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args(argv)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or int(match[1]) % 2 or int(match[2]) % 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 512x512, both even")
    return int(match[1]), int(match[2])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # MediaPipe logs to standard error; the table goes to standard output.
    os.environ.setdefault("GLOG_minloglevel", "2")
    sys.exit(main(sys.argv[1:]))
