"""Recipes: a training run as one TOML file, which may extend another. :mod:`engine.training.loop` runs them."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.training import tables

FOLDER = Path(__file__).resolve().parent / "recipes"
SOURCES = ("studio", "shards", "footage")
PRECISIONS = ("fp32", "bf16")
SCHEDULES = ("constant", "cosine")
KINDS = ("adam", "adamw")


def _need(ok: bool, text: str) -> None:
    if not ok:
        raise ValueError(text)


@dataclass(frozen=True)
class Stage:
    """Part of a run at one picture size; ``learning_rate`` is what every optimiser's own ``rate`` multiplies."""

    size: int
    steps: int
    batch: int
    learning_rate: float

    def __post_init__(self) -> None:
        _need(self.size >= 16 and self.size % 8 == 0, f"size is {self.size} and should be a multiple of 8, 16 or more")
        _need(self.steps >= 1 and self.batch >= 1, "steps and batch should be 1 or more")
        _need(0 < self.learning_rate < 1, "learning_rate should lie between 0 and 1")


@dataclass(frozen=True)
class Data:
    """Where pairs come from: the ``studio``, which renders on the fly, rendered ``shards``, or the user's ``footage``.

    ``path`` is the folder of shards or footage (``--data`` overrides it), ``held_out`` another folder to measure on.
    Without ``held_out`` the studio measures on its held-out split, shards on their last sixteenth, whose people are not
    trained on, and footage on other pairs of the same clips. ``seed`` draws people, pairs and their order; ``options``
    are the studio's. ``workers`` make batches ahead of the loop: 0 none, 1 a thread, more that many processes. Their
    number does not change the data.
    """

    source: str = "studio"
    path: str = ""
    held_out: str = ""
    seed: int = 1
    workers: int = 1
    options: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        _need(self.source in SOURCES, f"source is {self.source!r} and should be one of {', '.join(SOURCES)}")
        _need(0 <= self.workers <= 64, "workers should lie between 0 and 64")


@dataclass(frozen=True)
class Optimiser:
    """The optimiser of one group of networks. ``rate`` multiplies the stage's learning rate (TTUR: discriminator 4,
    generator 1)."""

    kind: str = "adam"
    rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _need(self.kind in KINDS, f"kind is {self.kind!r} and should be one of {', '.join(KINDS)}")
        _need(self.rate > 0 and self.eps > 0 and self.weight_decay >= 0, "rate and eps should be above 0")
        _need(all(0 <= beta < 1 for beta in self.betas), "betas should lie in 0…1")


@dataclass(frozen=True)
class Recipe:
    """``threads`` are torch's on the CPU; a run repeats bit by bit only with the same number. ``ema`` is the decay per
    step of the averaged weights, which are measured and exported; it ramps up, so that early steps are forgotten.
    ``clip`` bounds each group's gradient norm (0: no bound). ``channels_last`` sets the memory format: faster for most
    convolutions, slower for some other operations.
    """

    task: str
    stages: tuple[Stage, ...]
    licence: str = "GPL-3.0-or-later"
    seed: int = 1
    threads: int = 2
    device: str = "auto"
    precision: str = "fp32"
    channels_last: bool = False
    ema: float = 0.999
    clip: float = 1.0
    schedule: str = "cosine"
    warmup: int = 100
    log_every: int = 20
    measure_every: int = 500
    measure_batches: int = 4
    checkpoint_every: int = 500
    options: dict = field(default_factory=dict)
    data: Data = field(default_factory=Data)
    optimisers: dict[str, Optimiser] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        _need(bool(self.stages), "there are no [[stages]]")
        _need(self.precision in PRECISIONS, f"precision should be one of {', '.join(PRECISIONS)}")
        _need(self.schedule in SCHEDULES, f"schedule should be one of {', '.join(SCHEDULES)}")
        _need(0 <= self.ema < 1, "ema should lie in 0…1")
        _need(self.clip >= 0 and self.warmup >= 0, "clip and warmup should not be negative")
        counts = (self.threads, self.log_every, self.measure_every, self.measure_batches, self.checkpoint_every)
        _need(all(n >= 1 for n in counts), "threads, measure_batches and every …_every should be 1 or more")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that step number ``step`` (from 0) belongs to; the last one from its end on."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def learning_rate(self, step: int) -> float:
        """The stage's rate times a linear warm-up and, with the cosine schedule, a cosine that ends at zero."""
        rate = self.stage_at(step).learning_rate * min(1.0, (step + 1) / max(self.warmup, 1))
        return rate * (0.5 + 0.5 * math.cos(math.pi * step / self.steps) if self.schedule == "cosine" else 1.0)

    def optimiser(self, group: str) -> Optimiser:
        return self.optimisers.get(group, Optimiser())


def read(path: Path) -> Recipe:
    """The recipe in a TOML file, or the shipped recipe of that name. Raises EngineError ``bad_recipe``."""
    path = _file(path)
    return parse(_table(path, ()), path.name, path.stem)


def parse(table: dict[str, Any], where: str, name: str) -> Recipe:
    """A recipe from a table without ``extends``, such as the one that a run records."""
    return tables.build(Recipe, {"name": name, **table}, where)


def merged(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``table`` with ``changes``: tables are merged key by key, everything else, lists too, is replaced."""
    out = {**table, **changes}
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(table.get(name), dict):
            out[name] = merged(table[name], value)
    return out


def _file(path: Path, beside: Path = Path()) -> Path:
    """A path without a suffix that does not exist names a shipped recipe."""
    shipped = not path.suffix and not (beside / path).exists()
    return FOLDER / f"{path}.toml" if shipped else beside / path


def _table(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """The table of a file, on top of the one that it ``extends``: a name or a path beside it. ``children`` are the
    files that led here. Every file of the chain must be a valid recipe, so that an error names the file it is in."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        asked = f", which {children[-1].name} extends," if children else ""
        raise EngineError(
            "bad_recipe",
            f"The recipe {path}{asked} cannot be read ({reason.strerror or reason}).",
            f"Give a TOML file, or one of: {names}.",
        ) from reason
    except ValueError as reason:  # also text that is not UTF-8
        raise tables.fault(str(path), f"it is not TOML ({reason})", "Correct the line.") from reason
    if "extends" not in table:
        return table
    parent = table.pop("extends")
    if not isinstance(parent, str):
        raise tables.fault(path.name, f"extends is {parent!r} and should be a text", "Name one recipe.")
    above, chain = _file(Path(parent), path.parent), (*children, path)
    if above.resolve() in [file.resolve() for file in chain]:
        circle = " extends ".join(file.name for file in (*chain, above))
        raise tables.fault(path.name, f"it extends itself ({circle})", "Remove one extends.")
    base = _table(above, chain)
    parse(base, above.name, above.stem)
    return merged(base, table)


def fingerprint(recipe: Recipe) -> str:
    """A hash of everything that decides the trained weights: not of where a run runs or how often it reports."""
    decides = asdict(recipe)
    for name in ("licence", "threads", "device", "log_every", "measure_every", "measure_batches", "checkpoint_every"):
        del decides[name]
    decides["data"] = {name: decides["data"][name] for name in ("source", "seed", "options")}
    del decides["name"]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
