"""``python -m engine evaluate compare A B …``: systems side by side, on the same shots, in one run.

Beside the systems stand the floor, a copy of the source, and the ceiling, the truth compressed as JPEG. On rendered
people every system is driven by a fit to the driver, as in use, and in a second column by exact labels. A system may
appear several times with options: ``null:delay_ms=5``, or with a label, ``slow=null:delay_ms=5``. Differences from the
copy and from the first system follow; takes and clips are also listed one by one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from engine import protocol, systems
from engine.errors import EngineError
from engine.evaluation.comparison import Comparison
from engine.evaluation.datasets.base import Dataset
from engine.evaluation.datasets.clips import Clips
from engine.evaluation.datasets.pairs import Pairs, rendered_pairs
from engine.evaluation.extractors.landmarks import create_landmarker, create_witness
from engine.evaluation.metrics.suite import MetricSuite, WeightPaths
from engine.evaluation.runner import Runner, Tools
from engine.evaluation.system_spec import FORM, parse_all
from engine.evaluation.tables.report import report
from engine.media.image import encode_png, write_atomic
from engine.tracking import registry as detectors

RENDERED = ("pairs", "acting", "turning")
_SAVE_EVERY = 25  # shots, so that an interrupted run leaves its figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    help_text = (
        f"{FORM}, SYSTEM one of {', '.join(systems.names())}; each may take identity=driver, which moves the driver's "
        "own head instead of the portrait's"
    )
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help=help_text)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--clips", type=Path, metavar="DIR", help="a folder of movies, or of folders of images")
    source.add_argument(
        "--rendered", choices=RENDERED, help="held-out people of the studio: pairs of frames, takes, turning heads"
    )
    source.add_argument("--shards", type=Path, metavar="DIR", help="pairs from `train realism` or `train shards`")
    parser.add_argument(
        "--portraits", type=Path, metavar="DIR", help="for the clips to drive in cross; else each other"
    )
    parser.add_argument("--drivers", type=int, default=2, help="clips that drive each portrait (default: %(default)s)")
    parser.add_argument("--frames", help="of each clip, like 0-199x5; default: all")
    parser.add_argument("--motion", choices=protocol.MOTION_PRESETS, help="of cross on clips (default: mixed)")
    parser.add_argument("--direction", choices=("self", "cross", "both"), default="both", help="(default: both)")
    parser.add_argument("--count", type=int, default=24, metavar="N", help="pairs or takes (default: %(default)s)")
    parser.add_argument(
        "--against", nargs="+", metavar="LABEL", help="of differences: labels, or copy (default: copy, the first)"
    )
    parser.add_argument(
        "--true-motion", nargs="*", metavar="LABEL", help="systems that are also driven by exact labels (default: all)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write compare.md, .json and contact sheets here")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="render here, and leave the takes")
    add_tools(parser)


def add_tools(parser: argparse.ArgumentParser) -> None:
    """Arguments that say what drives, what scores, and how rendered people are made."""
    parser.add_argument("--size", type=int, default=256, help="side of rendered pictures (default: %(default)s)")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="the studio's head assets; none: its own heads")
    parser.add_argument("--detector", default="builtin", help="drives the systems (default: %(default)s)")
    parser.add_argument("--landmarker", default="auto", help="scores them; auto: one that did not drive (default)")
    parser.add_argument("--regressor", type=Path, metavar="FILE", help="another face regressor of ours, ONNX")
    parser.add_argument("--metric-net", type=Path, metavar="FILE", help="another network for metrics of ours")
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="LPIPS' backbone and heads, safetensors")
    parser.add_argument("--inception", type=Path, metavar="FILE", help="FID's Inception-v3, ONNX")
    parser.add_argument("--arcface", type=Path, metavar="FILE", help="ArcFace for CSIM, ONNX")


@contextlib.contextmanager
def opened_tools(options: argparse.Namespace, keep: Path | None = None) -> Iterator[Tools]:
    paths = WeightPaths(options.metric_net, options.lpips, options.inception, options.arcface)
    with ExitStack() as used:
        scorer = create_landmarker(options.landmarker, options.detector, options.regressor)
        landmarker = used.enter_context(closing(scorer))
        witness = used.enter_context(closing(create_witness(landmarker, options.regressor)))
        driver = used.enter_context(closing(detectors.create(options.detector)))
        if keep is None:
            folder = Path(used.enter_context(tempfile.TemporaryDirectory(prefix="understudy-evaluate-")))
        else:
            folder = keep
            folder.mkdir(parents=True, exist_ok=True)
        suite = MetricSuite(landmarker, witness, paths, options.detector)
        yield Tools(suite, driver, folder, keep is not None)


def main(options: argparse.Namespace) -> int:
    if options.count < 1 or options.size < 64 or options.drivers < 1:
        raise EngineError(
            "bad_option", "--count and --drivers are 1 or more, --size 64 or more.", "Correct the number."
        )
    specs = parse_all(options.systems)
    labels = {spec.label for spec in specs}
    for option, given, known in (
        ("--true-motion", options.true_motion, labels),
        ("--against", options.against, {*labels, "copy"}),
    ):
        if unknown := set(given or []) - known:
            raise EngineError("arguments", f"{option}: {unknown.pop()!r} is not compared here.", "Correct the label.")
    datasets = list(_datasets(options))
    if options.true_motion and not all(dataset.exact for dataset in datasets):
        raise EngineError("no_labels", "The true motion of this dataset is unknown.", "Leave out --true-motion.")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    done: list[Comparison] = []
    with opened_tools(options, options.keep) as tools:
        for dataset in datasets:
            runner = Runner(dataset, specs, tools, options.true_motion)
            for count in runner.run():
                if options.out is not None and count % _SAVE_EVERY == 0:
                    _write(options, [*done, runner.comparison()], runner)
            done.append(runner.comparison())
            print(report(done[-1], options.against), end="\n\n", flush=True)
            if options.out is not None:
                _write(options, done, runner)
    return 0


def _write(options: argparse.Namespace, done: list[Comparison], runner: Runner) -> None:
    """All comparisons so far, and the contact sheets of the last."""
    out = options.out
    write_atomic(out / "compare.md", ("\n\n".join(report(one, options.against) for one in done) + "\n").encode())
    write_atomic(out / "compare.json", (json.dumps([one.to_json() for one in done], indent=1) + "\n").encode())
    for name, sheet in (("", runner.whole), ("_regions", runner.regions)):
        picture = sheet.picture()
        if picture is not None:
            write_atomic(out / f"compare_{done[-1].direction}{name}.png", encode_png(picture))


def _datasets(options: argparse.Namespace) -> Iterator[Dataset]:
    directions = ("self", "cross") if options.direction == "both" else (options.direction,)
    if options.shards is not None:
        from engine.evaluation.datasets.shards import ShardPairs  # reads with the training's packages

        pairs = ShardPairs(options.shards, options.count)
        if not pairs.cross and options.direction == "both":
            print(f"{options.shards} has no second person: no cross.", file=sys.stderr, flush=True)
            directions = ("self",)
        for direction in directions:
            yield Pairs(options.shards.name, pairs, len(pairs), min(options.size, pairs.size), direction)
        return
    if options.rendered is not None:
        require_studio()
    for direction in directions:
        if options.rendered is not None:
            yield rendered(options.rendered, options.assets, options.count, options.size, direction)
        else:
            yield Clips(options.clips, direction, options.frames, options.motion, options.portraits, options.drivers)


def require_studio() -> None:
    """Raises EngineError ``missing_package`` without torch."""
    if importlib.util.find_spec("torch") is None:
        raise EngineError(
            "missing_package",
            "Rendered people come from the studio, which needs torch.",
            "Use the training environment (scripts/setup training), or clips alone.",
        )


def rendered(kind: str, assets: Path | None, count: int, size: int, direction: str) -> Dataset:
    """One of RENDERED, see :func:`require_studio`."""
    if kind == "pairs":
        return Pairs("rendered pairs", rendered_pairs(assets, direction == "cross"), count, size, direction)
    from engine.evaluation.datasets.rendered_takes import RenderedTakes

    return RenderedTakes(kind, assets, count, size, direction)
