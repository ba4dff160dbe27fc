"""Checkpoints: ``checkpoint-00001000.safetensors`` and a ``.json``, written last, with its size and hash.

A checkpoint counts once its JSON exists, and only then an older one is deleted: an interrupted write leaves a complete
one. To resume exactly, tensors (networks, averages, optimisers) and the step suffice: learning rate, random state and
position in the data follow from the step and the recipe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from engine.errors import EngineError
from engine.media.image import write_atomic

FORMAT = "understudy-checkpoint"
VERSION = 1
_KEPT = 2
_NAME = re.compile(r"checkpoint-(\d{8})\.json")


@dataclass(frozen=True)
class Checkpoint:
    """``state`` is plain JSON: step, position, seconds, fingerprint of the recipe, description of the data."""

    path: Path
    state: dict[str, Any]
    tensors: dict[str, Tensor]


def write(folder: Path, step: int, state: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Write the checkpoint of ``step`` and delete all but the previous one; returns the path of the JSON.

    Raises EngineError ``disk_full`` or ``not_writable``; older checkpoints stay intact.
    """
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    path = folder / f"checkpoint-{step:08d}.json"
    state = {
        "format": FORMAT,
        "version": VERSION,
        "step": step,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **state,
    }
    try:
        write_atomic(path.with_suffix(".safetensors"), data)
        write_atomic(path, (json.dumps(state, indent=1) + "\n").encode())
    except EngineError as fault:
        if not path.exists():
            with contextlib.suppress(OSError):
                path.with_suffix(".safetensors").unlink()
        kept = newest(folder)
        safe = f"The checkpoint before it, {kept.name}, is intact" if kept else "There is no earlier checkpoint"
        raise EngineError(
            fault.code, f"{fault.text} The checkpoint of step {step} was not written.", f"{safe}; free some space and "
            "run the same command with --resume."
        ) from fault  # fmt: skip
    for old in _all(folder)[:-_KEPT]:
        old.unlink(missing_ok=True)
        old.with_suffix(".safetensors").unlink(missing_ok=True)
    return path


def newest(folder: Path) -> Path | None:
    """The JSON of the latest checkpoint in ``folder``, or None."""
    return (_all(folder) or [None])[-1]


def read(path: Path) -> Checkpoint:
    """The checkpoint of the JSON ``path``. Raises EngineError ``bad_checkpoint``, naming the previous one."""
    try:
        state = json.loads(path.read_bytes())
        if state["format"] != FORMAT or state["version"] != VERSION:
            raise ValueError(f"it is {state['format']} {state['version']}, not {FORMAT} {VERSION}")
        data = path.with_suffix(".safetensors").read_bytes()
        if len(data) != state["size"] or hashlib.sha256(data).hexdigest() != state["sha256"]:
            raise ValueError(f"{path.stem}.safetensors does not match its hash")
        return Checkpoint(path, state, load(data))
    except (OSError, LookupError, TypeError, ValueError, RecursionError, SafetensorError) as fault:
        before = [other for other in _all(path.parent) if other != path]
        other = f" to resume from {before[-1].name}" if before else " and train again from the start"
        raise EngineError(
            "bad_checkpoint", f"The checkpoint {path} is damaged: {fault}.", f"Delete it{other}."
        ) from fault


def optimiser_tensors(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts by ``prefix.parameter.name``."""
    return {
        f"{prefix}.{index}.{name}": value
        for index, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimiser(prefix: str, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of :func:`optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(f"{prefix}."):
            index, name = key.removeprefix(f"{prefix}.").split(".")
            state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _all(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*.json") if _NAME.fullmatch(path.name))
