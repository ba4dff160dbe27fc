"""The training loop of all tasks. Read :meth:`Trainer.run`, then :meth:`Trainer.step`."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor, nn

from engine.errors import EngineError
from engine.media.image import write_atomic, write_fault
from engine.training import checkpoint
from engine.training.batch import Batch
from engine.training.feed import Feed, Opener, position
from engine.training.recipe import Optimiser, Recipe, fingerprint
from engine.training.report import Report
from engine.training.task import Task
from engine.training.tasks import create

RECIPE = "recipe.json"


class Trainer:
    """A run in ``folder``: recipe.json, log.jsonl, curves.png, samples/, and the two latest checkpoints.

    ``task`` is being trained; ``average`` is its copy with averaged weights (EMA), which is measured, shown and
    exported. All randomness follows from the recipe's seed and ``done``, the number of steps so far.
    """

    def __init__(self, recipe: Recipe, folder: Path, opener: Opener) -> None:
        self.folder, self.done, self.seconds = folder, 0, 0.0
        torch.set_num_threads(recipe.threads)
        self.device = choose_device(recipe.device)
        self._opener, self.samples = opener, opener()
        self.data: dict[str, Any] = json.loads(json.dumps(self.samples.describe()))
        seed(recipe.seed, -1)
        self.task: Task = create(recipe.task, recipe.options, f"{recipe.name}.toml, [options]")
        self.recipe = replace(recipe, options=asdict(self.task.options))  # the task's defaults decide the result too
        self.task.to(self.device)
        if recipe.channels_last:
            for network in self.task.networks.values():
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.task)
        self.average.train(False)
        self.parameters = {group: _parameters(self.task, group) for group in sorted({*self.task.groups.values()})}
        self.optimisers = {group: _adam(self.parameters[group], recipe.optimiser(group)) for group in self.parameters}
        self.began_from: dict[str, Any] | None = None
        self._stop = False

    def run(self, report: Report, minutes: float | None = None) -> bool:
        """Train until the recipe ends, ``minutes`` have passed or a signal (SIGINT, SIGTERM) arrives; returns True at
        the end of the recipe.

        Always leaves a checkpoint. Raises EngineError ``diverged``, and errors of data and disk.
        """
        self._claim_folder(report)
        report.open(self.done)
        began, recipe = time.monotonic(), self.recipe
        workers = Feed(self._opener, self.samples, recipe, self.task.fields, self.done)
        with self._signals(), workers as feed, contextlib.closing(report):
            while self.done < recipe.steps:
                stage, started = recipe.stage_at(self.done), time.monotonic()
                losses, norms = self.step(self.on_device(feed.take()))
                report.add(losses, norms, stage, time.monotonic() - started, feed)
                self.seconds += time.monotonic() - started
                over = self._stop or (minutes is not None and time.monotonic() - began > 60 * minutes)
                last = over or self.done == recipe.steps
                measure = last or self.done % recipe.measure_every == 0
                keep = last or self.done % recipe.checkpoint_every == 0
                if measure or keep or self.done % recipe.log_every == 0:
                    report.row(self.done, self.seconds, self.average if measure else None)
                if keep:  # after the row, which raises for values that are not finite
                    self.save()
                if over:
                    break
        return self.done == recipe.steps

    def step(self, batch: Batch) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
        """One step of every group on its own losses; returns losses and gradient norms by group."""
        recipe = self.recipe
        seed(recipe.seed, self.done)
        self.task.train(True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            losses = self.task.losses(batch, recipe.stage_at(self.done))
        for group, parameters in self.parameters.items():
            for parameter in parameters:
                parameter.grad = None
            total = torch.stack([loss.float() for loss in losses[group].values()]).sum()
            total.backward(inputs=parameters, retain_graph=len(self.parameters) > 1)
        norms = {}
        for group, optimiser in self.optimisers.items():
            norms[group] = nn.utils.clip_grad_norm_(self.parameters[group], recipe.clip or float("inf"))
            optimiser.param_groups[0]["lr"] = recipe.learning_rate(self.done) * recipe.optimiser(group).rate
            optimiser.step()
        self.done += 1
        self._update_average()
        return losses, norms

    @torch.no_grad()
    def _update_average(self) -> None:
        """Update the averaged weights. Early on the decay is small, so that the random initialisation is forgotten."""
        decay = min(self.recipe.ema, self.done / (self.done + 10))
        trained = self.task.state(self.task.averaged)
        for name, tensor in self.average.state(self.task.averaged).items():
            if tensor.is_floating_point():
                tensor.lerp_(trained[name], 1 - decay)
            else:
                tensor.copy_(trained[name])

    def save(self) -> Path:
        """Write a checkpoint of the current state."""
        state = {
            "position": position(self.recipe, self.done),
            "seconds": round(self.seconds, 2),
            "recipe": fingerprint(self.recipe),
            "data": self.data,
        }
        return checkpoint.write(self.folder, self.done, state, self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint: networks, averages, optimisers."""
        tensors = {f"network.{name}": tensor for name, tensor in self.task.state().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state(self.task.averaged).items()}
        for group, optimiser in self.optimisers.items():
            tensors |= checkpoint.optimiser_tensors(f"optimiser.{group}", optimiser)
        return tensors

    def resume(self) -> int:
        """Continue from the folder's newest checkpoint; returns its step. Raises EngineError ``no_checkpoint``,
        ``bad_checkpoint``, or ``other_run`` if recipe or data differ from those of the checkpoint."""
        path = checkpoint.newest(self.folder)
        if path is None:
            raise EngineError("no_checkpoint", f"{self.folder} holds no checkpoint.", "Leave --resume out.")
        found = checkpoint.read(path)
        for name, now in (("recipe", fingerprint(self.recipe)), ("data", self.data)):
            if found.state.get(name) != now:
                raise EngineError(
                    "other_run",
                    f"{path} was made with another {name}.",
                    f"Undo the change of the {name}, or train into another --out folder.",
                )
        try:
            self.task.load_state(_under("network.", found.tensors))
            self.average.load_state(_under("average.", found.tensors), self.task.averaged)
            for group, optimiser in self.optimisers.items():
                checkpoint.restore_optimiser(f"optimiser.{group}", optimiser, found.tensors)
        except (RuntimeError, KeyError, ValueError) as fault:
            raise EngineError(
                "bad_checkpoint", f"{path} does not fit the networks: {fault}.", "Train again from the start."
            ) from fault
        self.done, self.seconds = int(found.state["step"]), float(found.state["seconds"])
        return self.done

    def start_from(self, path: Path) -> None:
        """Initialise the networks from an exported file, to continue on other data or with another recipe. Tensors
        that are missing from the file keep their initialisation, unknown ones are ignored; the record of the run names
        both.

        Raises EngineError ``bad_weights`` for a file that is no export or does not fit.
        """
        try:
            data = path.read_bytes()
            given = {name: tensor.float() for name, tensor in load(data).items()}
            with safe_open(str(path), "pt") as file:
                steps = (file.metadata() or {}).get("steps")
            own = self.task.state(self.task.shipped)
            fresh, left = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
            if len(fresh) > len(own) // 2:
                raise RuntimeError(f"it lacks {len(fresh)} of {len(own)} tensors")
            for task in (self.task, self.average):
                task.load_state({name: given.get(name, own[name]) for name in own}, task.shipped)
        except (OSError, RuntimeError, SafetensorError) as fault:
            raise EngineError(
                "bad_weights", f"{path} does not fit this recipe: {fault}.", "Give an export of the same task."
            ) from fault
        self.began_from = {
            "file": path.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            **({"steps": int(steps)} if steps and steps.isdecimal() else {}),
            "begun_anew": fresh,
            "left_out": left,
        }

    def on_device(self, batch: Batch) -> Batch:
        """The batch on the networks' device, in their memory format."""
        moved = {key: tensor.to(self.device, non_blocking=True) for key, tensor in batch.items()}
        if self.recipe.channels_last:
            maps = {key: tensor for key, tensor in moved.items() if tensor.ndim == 4}
            moved |= {key: tensor.contiguous(memory_format=torch.channels_last) for key, tensor in maps.items()}
        return moved

    def _claim_folder(self, report: Report) -> None:
        if self.done == 0 and checkpoint.newest(self.folder) is not None:
            raise EngineError(
                "run_exists", f"{self.folder} holds a run already.", "Add --resume, or choose another --out folder."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise write_fault(self.folder, fault) from fault
        record = {"recipe": asdict(self.recipe), "data": self.data, "torch": torch.__version__}
        if start := recorded(self.folder, "start") if self.done else self.began_from:
            record["start"] = start
        if self.recipe.data.held_out:
            record["held_out"] = report.measured_on()
        write_atomic(self.folder / RECIPE, (json.dumps(record, indent=1) + "\n").encode())

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run after the current step, with a checkpoint; a second one ends it at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        previous = {}
        with contextlib.suppress(ValueError):  # signals need the main thread
            previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA if available, else the CPU. Raises EngineError ``no_device``."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as fault:
        raise EngineError("no_device", f"The device {name!r} is not available.", "Use --device cpu or auto.") from fault


def seed(number: int, step: int) -> None:
    """Set torch's random state for ``step``."""
    digest = hashlib.sha256(f"{number} {step}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7], "little"))


def _parameters(task: Task, group: str) -> list[nn.Parameter]:
    networks = [task.networks[name] for name in sorted(task.groups) if task.groups[name] == group]
    return [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]


def _adam(parameters: list[nn.Parameter], chosen: Optimiser) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if chosen.kind == "adamw" else torch.optim.Adam
    return kind(parameters, lr=0.0, betas=chosen.betas, eps=chosen.eps, weight_decay=chosen.weight_decay)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def recorded(folder: Path, key: str) -> dict[str, Any] | None:
    """An entry of the run's record: ``start``, the weights it started from, or ``held_out``, the description of another
    folder that it was measured on; None if there is none."""
    path = folder / RECIPE
    return json.loads(path.read_bytes()).get(key) if path.exists() else None
