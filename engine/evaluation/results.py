"""``python -m engine evaluate results``: the shipped systems on the standard datasets, printed as one page.

Clips drive their own first frame and other people's portraits; on rendered people the truth is known in both. The
figures of each dataset are written to ``--out`` when it is done, so that an interrupted run continues there.
``--from DIR`` prints the page of such a folder without rendering.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2

from engine import catalog, systems, weights
from engine.device import device_name
from engine.errors import EngineError
from engine.evaluation.compare import RENDERED, add_tools, opened_tools, rendered, require_studio
from engine.evaluation.comparison import FLOOR, Column, Comparison
from engine.evaluation.datasets.base import Dataset
from engine.evaluation.datasets.clips import Clips, clips_in, images_in
from engine.evaluation.extractors.landmarks import REGRESSOR
from engine.evaluation.metrics.base import MetricInfo
from engine.evaluation.runner import Runner
from engine.evaluation.system_spec import FORM, SystemSpec, parse_all
from engine.evaluation.tables import bootstrap, markdown
from engine.evaluation.tables.by_shot import TOLERANCE, losses
from engine.evaluation.tables.by_yaw import by_yaw_markdown
from engine.evaluation.tables.differences import BETTER, EQUAL, WORSE, difference, interval
from engine.evaluation.tables.report import frames, title
from engine.face import model as face_model
from engine.media.image import write_atomic

LINES = 150  # of the page, at most
_LOSSES = 8  # lines kept for where systems lose
_OMITTED = ("SSIM", "MS-SSIM", "bin-", "fd-", "shape-id")  # beginnings of metrics that the page leaves out
_AGAINST_SOURCE = ("idsim", "CSIM", "aed_id_source", "shape-id")  # compare the output with the portrait
_MARKS = {BETTER: " ▲", WORSE: " ▼", EQUAL: " ="}
# Frames of each clip, clips per portrait, rendered pairs, rendered takes.
_FULL: dict[str, Any] = {"frames": "0-99", "drivers": 2, "pairs": 100, "takes": 4}
_QUICK: dict[str, Any] = {"frames": "0-19", "drivers": 1, "pairs": 6, "takes": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clips", type=Path, metavar="DIR", help="a folder of movies, or of folders of images")
    parser.add_argument("--portraits", type=Path, metavar="DIR", help="a folder of images of other people")
    parser.add_argument(
        "--rendered",
        nargs="*",
        choices=RENDERED,
        default=["pairs", "turning"],
        help="(default: pairs turning; without names: clips alone)",
    )
    parser.add_argument("--systems", nargs="+", metavar="SYSTEM", help=f"{FORM} (default: all that ship)")
    parser.add_argument("--quick", action="store_true", help="a few frames of each, to see that it works")
    for name, kind in (("frames", str), ("drivers", int), ("pairs", int), ("takes", int)):
        parser.add_argument(f"--{name}", type=kind, help=f"(default: {_FULL[name]}, quick {_QUICK[name]})")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--from", type=Path, dest="source", metavar="DIR", help="print the page of an earlier run")
    add_tools(parser)


def main(options: argparse.Namespace) -> int:
    if options.source is None:
        _run(options)
    print(page(*read(options.source or options.out)))
    return 0


def _run(options: argparse.Namespace) -> None:
    """Evaluate on every dataset whose file is not there yet."""
    for name, default in (_QUICK if options.quick else _FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    if min(options.drivers, options.pairs, options.takes) < 1:
        raise EngineError("bad_option", "--drivers, --pairs and --takes are 1 or more.", "Correct the number.")
    driven = [info.name for info in catalog.systems(weights.FOLDER) if info.driven]
    specs = parse_all(options.systems or driven)
    datasets = _datasets(options)
    if not datasets:
        raise EngineError("arguments", "There is nothing to evaluate on.", "Give --clips or --rendered.")
    with opened_tools(options) as tools:
        _check_folder(options.out, _describe(options, specs, list(datasets)))
        for name, create in datasets.items():
            path = options.out / f"{name}.json"
            if path.exists():
                print(f"{name}: done before", file=sys.stderr, flush=True)
                continue
            runner = Runner(create(), specs, tools, true_motion=[])
            for _ in runner.run():
                pass
            _save(path, runner.comparison().to_json())


def _check_folder(folder: Path, run: dict[str, Any]) -> None:
    """Begin ``run`` in ``folder``, or continue it there; raises EngineError ``other_run`` for another run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.json"
    if not path.exists():
        _save(path, run)
        return
    known = _load(path)
    changed = [key for key in ("settings", "weights") if known.get(key) != run[key]]
    if changed:
        raise EngineError(
            "other_run",
            f"{folder} holds results of a run with other {' and '.join(changed)}.",
            "Choose another --out, or delete that folder.",
        )


def _datasets(options: argparse.Namespace) -> dict[str, Callable[[], Dataset]]:
    datasets: dict[str, Callable[[], Dataset]] = {}
    if options.clips is not None:
        for direction in ("self", "cross"):
            clips = Clips(options.clips, direction, options.frames, None, options.portraits, options.drivers)
            datasets[f"clips_{direction}"] = lambda clips=clips: clips
    if options.rendered:
        require_studio()
    for kind in options.rendered:
        count = options.pairs if kind == "pairs" else options.takes
        for direction in ("self", "cross") if kind == "pairs" else ("self",):
            datasets[f"{kind}_{direction}"] = partial(rendered, kind, options.assets, count, options.size, direction)
    return datasets


def _describe(options: argparse.Namespace, specs: list[SystemSpec], datasets: list[str]) -> dict[str, Any]:
    """What was run, and with what. Settings and weights decide the figures."""
    files = {face_model.load().path, options.regressor or REGRESSOR}
    files.add(options.metric_net or weights.FOLDER / "perceptual_metric.safetensors")
    files |= {path for spec in specs for path in systems.create(spec.system, spec.options).weights}
    files |= {path for path in (options.lpips, options.inception, options.arcface) if path}
    files |= {weights.FOLDER / name for name in catalog.DETECTORS_BY_NAME[options.detector].weights}
    packages = ("numpy", "onnxruntime", "torch")
    settings = {name: getattr(options, name) for name in ("frames", "drivers", "pairs", "takes", "size", "detector")}
    return {
        "command": shlex.join(["python", "-m", "engine", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": device_name(),
        "versions": {
            "Python": platform.python_version(),
            "OpenCV": cv2.__version__,
            **{name: found for name in packages if (found := _version(name))},
        },
        "weights": {path.name: _hash(path) for path in sorted(files) if path.is_file()},
        "settings": {
            **settings,
            "landmarker": options.landmarker,
            "assets": None if options.assets is None else str(options.assets),
            "clips": [path.name for path in clips_in(options.clips)] if options.clips else [],
            "portraits": [path.name for path in images_in(options.portraits)] if options.portraits else [],
            "systems": [asdict(spec) for spec in specs],
        },
        "datasets": datasets,
    }


def read(folder: Path) -> tuple[dict[str, Any], list[Comparison]]:
    """What was run, and the figures of the datasets that are done. Raises EngineError ``results``."""
    run = _load(folder / "run.json")
    try:
        paths = [folder / f"{name}.json" for name in run["datasets"]]
        return run, [Comparison.from_json(_load(path)) for path in paths if path.exists()]
    except (KeyError, TypeError) as fault:
        raise EngineError(
            "results", f"{folder} holds results of another version ({fault!r}).", "Run it again."
        ) from fault


def page(run: dict[str, Any], comparisons: list[Comparison]) -> str:
    """At most LINES lines of Markdown."""
    lines = [*_header(run, comparisons), ""]
    for comparison in comparisons:
        lines += _table(comparison)
    for comparison in comparisons:
        turned = by_yaw_markdown(comparison)
        if turned and len(lines) + len(turned) + 2 + _LOSSES <= LINES:
            lines += [f"## {comparison.dataset}, {comparison.direction}: by head angle", "", *turned]
    lost = _where_they_lose(comparisons)
    if lost:
        lines += ["## Where they lose", "", *lost[: max(LINES - len(lines) - 2, 0)]]
    return "\n".join(lines)


def _header(run: dict[str, Any], comparisons: list[Comparison]) -> list[str]:
    seconds = sum(comparison.seconds for comparison in comparisons)
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    files = ", ".join(f"`{name}` {sha256[:12]}" for name, sha256 in run["weights"].items())
    waiting = len(run["datasets"]) - len(comparisons)
    return [
        "# Results",
        "",
        f"    {run['command']}",
        "",
        f"{run['date']}, {seconds:.0f} s on {run['machine']}; {versions}."
        + (f" {markdown.counted(waiting, 'dataset')} of {len(run['datasets'])} not done yet." if waiting else ""),
        f"Weights (start of SHA-256): {files}.",
        "",
        "Means of frames, then of shots; ± is half the width of the 95 % interval (bootstrap over people, from "
        f"{bootstrap.LEAST} people on). ▲ better, ▼ worse, = equal: the interval of the paired difference excludes, or "
        "is, 0. The first system is compared with the copy, the others with the first system. † scored by the detector "
        "that drove.",
    ]


def _table(comparison: Comparison) -> list[str]:
    lines = [title(comparison).removeprefix("#"), ""]
    lines += [" ".join(comparison.remarks), ""] if comparison.remarks else []
    lines += markdown.head(["metric", "n", *(column.label for column in comparison.columns)])
    for metric in comparison.measured:
        if not metric.name.startswith(_OMITTED):
            cells = [_cell(comparison, column, metric) for column in comparison.columns]
            lines.append(markdown.row([metric.title, frames(comparison, metric), *cells]))
    return [*lines, ""]


def _cell(comparison: Comparison, column: Column, metric: MetricInfo) -> str:
    text = markdown.number(column.figures[metric.name].value, metric.digits)
    spread = interval(comparison, column, metric)
    if spread is not None:
        text += f" ±{(spread[1] - spread[0]) / 2:.{metric.digits}f}"
    return text + _MARKS.get(_verdict(comparison, column, metric), "")


def _base(comparison: Comparison, column: Column) -> Column:
    first = comparison.systems[0]
    return next(c for c in comparison.columns if c.name == FLOOR) if column is first else first


def _verdict(comparison: Comparison, column: Column, metric: MetricInfo) -> str:
    """Empty for floor and ceiling, and where the floor is perfect by definition."""
    base = None if column.system is None else _base(comparison, column)
    if base is None or (base.system is None and metric.name.startswith(_AGAINST_SOURCE)):
        return ""
    found = difference(comparison, metric, column, base)
    return found.verdict if found is not None else ""


def _where_they_lose(comparisons: list[Comparison]) -> list[str]:
    """One line per dataset: in which metrics each system is worse, and the shot that loses most."""
    lines = []
    for comparison in comparisons:
        shots, parts = losses(comparison) if comparison.takes else [], []
        for column in comparison.systems:
            worse = [m.name for m in comparison.measured if _verdict(comparison, column, m) == WORSE]
            if worse:
                parts.append(f"{column.label} is worse than {_base(comparison, column).label} in {', '.join(worse)}")
        if shots:
            parts.append(f"worst shot: {shots[0].text()} ({len(shots)} in all beyond {TOLERANCE:.0%})")
        if parts:
            lines.append(f"- {comparison.dataset}, {comparison.direction}: {'; '.join(parts)}.")
    return lines


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _load(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as fault:
        raise EngineError("results", f"{path} is unreadable ({fault}).", "Give the --out of an earlier run.") from fault
    return record


def _save(path: Path, record: dict[str, Any]) -> None:
    write_atomic(path, (json.dumps(record, indent=1) + "\n").encode())
