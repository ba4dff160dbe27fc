"""The interface of a task: networks, losses and figures. ``loop`` does everything else.

A task is one class in a file of its own, listed in ``engine/training/tasks/__init__.py``. It takes random numbers
(noise, dropout, augmentation) from torch's generators only, which the loop seeds at every step from the recipe's seed
and the step, and keeps no state outside its networks. Exact resuming depends on both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.training import tables
from engine.training.batch import Batch
from engine.training.recipe import Stage

DISCRIMINATOR = "discriminator"
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Graph:
    """One ONNX file to export: ``module`` called with ``inputs`` (examples, batch 1, static shapes), named as here."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class NoOptions:
    """Options of a task that has none."""


class Task(ABC):
    """``networks`` by name; ``groups`` names the optimiser of each network. The usual groups are ``generator`` and
    ``discriminator``; discriminators are neither averaged nor exported. A network that is not trained, such as a
    perceptual one, is an attribute and not in ``networks``.

    ``fields`` are the keys of the batch that the task needs (``engine.training.batch``); one that ends in ``?`` is
    optional. ``Options`` is a frozen dataclass: the recipe's table ``[options]`` becomes ``self.options``.
    """

    fields: ClassVar[frozenset[str]]
    Options: ClassVar[type] = NoOptions

    def __init__(self, options: dict[str, Any], where: str = "[options]") -> None:
        """Read the options, then :meth:`build`. Raises EngineError ``bad_recipe``."""
        self.options: Any = tables.build(self.Options, options, where)
        self.networks: dict[str, nn.Module] = {}
        self.groups: dict[str, str] = {}
        self.shipped: set[str] = set()
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Fill ``networks``, through :meth:`add`; torch has been seeded."""

    def add(self, name: str, network: N, group: str = "generator", ships: bool = True) -> N:
        """Register ``network`` under ``name`` and return it. Discriminators, and networks added with ``ships`` false,
        are not exported."""
        self.networks[name], self.groups[name] = network, group
        if ships and group != DISCRIMINATOR:
            self.shipped.add(name)
        return network

    @abstractmethod
    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        """For each group its losses by name, weighted scalars. A group minimises their sum, with gradients for its own
        networks only; all groups step together, after all gradients are known. Runs under autocast if the recipe's
        precision is bf16."""

    @abstractmethod
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """The networks' outputs by name, each (B, …), without gradients. Outputs that are the same for all samples
        raise a warning of collapse."""

    @abstractmethod
    def measure(self, batch: Batch) -> dict[str, float]:
        """Errors on a held-out batch by name, with the unit in it (``landmark_px``); means, lower is better."""

    @abstractmethod
    def floor(self, batch: Batch) -> dict[str, float]:
        """The same errors for a trivial answer, such as the copied source or the mean face: a task must beat it."""

    @abstractmethod
    def preview(self, batch: Batch) -> np.ndarray:
        """A picture to look at, (H, W, 3) uint8, one row per sample; see :func:`engine.training.curves.grid`."""

    def export(self, size: int) -> dict[str, Graph]:
        """ONNX files by name for pictures ``size`` wide, such as ``source`` and ``frame``; none by default."""
        return {}

    # Used by the loop.

    def to(self, device: torch.device) -> None:
        """Move all modules and tensors, including those that are not trained."""
        for name, value in vars(self).items():
            if isinstance(value, (nn.Module, Tensor)):
                setattr(self, name, value.to(device))
        for network in self.networks.values():
            network.to(device)

    def train(self, on: bool) -> None:
        for network in self.networks.values():
            network.train(on)

    @property
    def averaged(self) -> set[str]:
        """Names of networks whose weights are averaged: all but discriminators."""
        return {name for name, group in self.groups.items() if group != DISCRIMINATOR}

    def state(self, names: Collection[str] | None = None) -> dict[str, Tensor]:
        """All tensors of these networks (default: all), keys ``network.tensor``."""
        return {
            f"{name}.{key}": tensor
            for name, network in self.networks.items()
            if names is None or name in names
            for key, tensor in network.state_dict().items()
        }

    def load_state(self, tensors: dict[str, Tensor], names: Collection[str] | None = None) -> None:
        """The inverse of :meth:`state`. Raises RuntimeError if names or shapes differ."""
        for name, network in self.networks.items():
            if names is None or name in names:
                own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
                network.load_state_dict(own)
