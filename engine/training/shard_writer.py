"""``python -m engine train shards``: which pairs are rendered ahead, and what of them is kept."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.cli.console import Console
from engine.errors import EngineError
from engine.face import model as face_model
from engine.geometry.frame_inputs import STORABLE
from engine.progress import Progress
from engine.training import warped
from engine.training.records import FIELDS, MAX_SIZE, Layout, Parts
from engine.training.sample import Samples, source_name
from engine.training.shards import MAX_COUNT, Plan, Records, write

CROSS = ("cross_source", "cross")
USUAL = tuple(name for name in FIELDS if name != "depth")


def command(argv: list[str]) -> int:
    """``python -m engine train shards``."""
    parser = arguments()
    options = parser.parse_args(argv)
    if options.tracked and not options.warp:
        parser.error("--tracked goes with --warp")
    progress = Progress(Console(options.count), "render", options.count)
    plan = {"inputs": options.warp or (), "sources": options.sources, "cross": options.cross}
    wanted = options.count, options.size, options.fields
    build(options.out, _maker(options), *wanted, workers=options.workers, on_record=progress.update, **plan)
    print(f"{options.out}: {options.count} pairs, sha256 {Records(options.out).sha256}")
    return 0


def arguments() -> argparse.ArgumentParser:
    """The command's, with their defaults."""
    parser = argparse.ArgumentParser(
        "python -m engine train shards",
        description="Render samples ahead; an interrupted run continues where it stopped.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of shards")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="pairs of frames")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="(default: %(default)s)")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="head assets (default: the studio's own)")
    parser.add_argument("--split", choices=("train", "held-out"), default="train", help="(default: %(default)s)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="take a folder of clips instead of the studio")
    parser.add_argument("--fields", type=_names, default=USUAL, help=f"commas between (default: {','.join(USUAL)})")
    parser.add_argument("--cross", action="store_true", help="keep the same motion on another identity too")
    parser.add_argument(
        *("--warp", "--inputs"),
        type=_names,
        nargs="?",
        const=warped.USUAL,
        metavar="NAMES",
        help=f"keep these frame inputs too, commas between (default: {','.join(warped.USUAL)})",
    )
    parser.add_argument(
        "--tracked", metavar="DETECTOR", help="drive --warp by what this detector sees, not by the labels"
    )
    parser.add_argument("--negatives", type=float, default=0.0, metavar="SHARE", help="pairs without a face")
    parser.add_argument("--loose", type=float, default=0.0, metavar="SHARE", help="pairs with loose framing")
    parser.add_argument("--blinks", type=float, default=0.0, metavar="SHARE", help="pairs that end in a blink")
    parser.add_argument("--sittings", type=int, default=8, metavar="N", help="pairs of a person (default: %(default)s)")
    parser.add_argument("--sources", type=int, default=1, metavar="K", help="source frames a pair (default: 1)")
    parser.add_argument("--apart", action="store_true", help="the two frames of a pair are taken in different places")
    parser.add_argument("--profile", choices=("training", "full"), default="training", help="full: finer, with shadows")
    parser.add_argument("--workers", type=int, default=2, help="processes that render (default: %(default)s)")
    return parser


def _maker(options: argparse.Namespace) -> Callable[[], Samples]:
    """What makes the samples, as a function that can be sent to another process."""
    if options.warp:
        return functools.partial(_warped, _unwarped(options), options.warp, options.tracked)
    return _unwarped(options)


def _warped(make: Callable[[], Samples], inputs: tuple[str, ...], tracked: str | None) -> Samples:
    from engine.tracking import registry as detectors

    return warped.Warped(make(), inputs, None if tracked is None else detectors.create(tracked))


def _unwarped(options: argparse.Namespace) -> Callable[[], Samples]:
    if options.data is not None:
        from engine.training.footage import FootageSamples

        return functools.partial(FootageSamples, options.data, options.seed)
    from engine.training.studio.dataset import Options, StudioSamples

    wanted = Options(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Options)})
    return functools.partial(StudioSamples, options.assets, options.seed, options.split, wanted)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def build(
    folder: Path,
    make: Callable[[], Samples],
    count: int,
    size: int,
    fields: tuple[str, ...] = USUAL,
    cross: bool = False,
    workers: int = 1,
    on_record: Callable[[int], None] = lambda done: None,
    inputs: tuple[str, ...] = (),
    sources: int = 1,
) -> None:
    """Write the pairs 0…``count`` − 1 of what ``make`` gives; finished shards of the same plan are kept.

    Kept are ``fields`` of every frame and pair, ``sources`` source frames, the ``cross`` frames, the frame ``inputs``.

    ``make`` is called once in every worker, so it must be a function of a module, or a partial of one. Raises
    EngineError ``other_shards`` where the folder holds something else, ``disk_full``, ``not_writable``.
    """
    samples = make()
    plan = plan_of(samples, count, size, fields, cross, inputs, sources)
    write(folder, plan, _PairSource(make, size, samples), workers, on_record)


def plan_of(
    samples: Samples,
    count: int,
    size: int,
    fields: tuple[str, ...] = USUAL,
    cross: bool = False,
    inputs: tuple[str, ...] = (),
    sources: int = 1,
) -> Plan:
    """The plan of a folder of pairs, labelled by the shipped face model; raises EngineError ``arguments``."""
    unknown = set(fields) - set(FIELDS)
    if unknown or "image" not in fields:
        raise EngineError(
            "arguments",
            f"There is no field {', '.join(sorted(unknown))}." if unknown else "Shards must keep the field image.",
            f"Choose image and any of {', '.join(FIELDS)}.",
        )
    if unknown := set(inputs) - set(STORABLE):
        raise EngineError(
            "arguments",
            f"Shards cannot keep the frame inputs {', '.join(sorted(unknown))}.",
            f"Choose any of {', '.join(STORABLE)}.",
        )
    if not (1 <= count <= MAX_COUNT and 16 <= size <= MAX_SIZE and sources >= 1):
        raise EngineError(
            "arguments", f"{count} samples of {size} pixels cannot be made.", f"Ask for 1 or more of 16…{MAX_SIZE}."
        )
    model = face_model.load()
    kept = tuple(name for name in FIELDS if name in fields)
    frames = (*(source_name(k) for k in range(sources)), "driving", *(CROSS if cross else ()))
    layout = Layout(frames, kept, size, len(model.identity), len(model.expression), inputs)
    return Plan.of(layout, count, samples.describe())


class _PairSource:
    """Pairs as the parts of records. Sent to a worker it leaves its samples behind and makes its own."""

    def __init__(self, make: Callable[[], Samples], size: int, samples: Samples | None = None) -> None:
        self._make, self._size, self._samples = make, size, samples

    def __call__(self, number: int) -> Parts:
        if self._samples is None:
            self._samples = self._make()
        return self._samples.pair(number, self._size).parts()

    def __reduce__(self) -> tuple[Any, ...]:
        return _PairSource, (self._make, self._size)
