"""What a recipe trains: a task brings networks, losses and figures; ``loop`` brings everything else.

A task is one class in a file of its own, named in ``engine/training/tasks/__init__.py``. Random numbers (noise,
dropout, augmentation) come from torch's own generators, which the loop seeds afresh at every step from the recipe's
seed and the step's number: nothing else may be random, and a task keeps no state beside its networks.
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
    """One ONNX file to export: ``module`` called with ``inputs`` (examples, batch 1, static shapes) by these names."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class NoOptions:
    """For tasks without any."""


class Task(ABC):
    """``networks`` by name; ``groups`` says which optimiser steps each network. The usual groups are ``generator`` and
    ``discriminator``; networks of the latter are neither averaged nor exported. A network that is only used (a
    perceptual one) is an attribute, not in ``networks``.

    ``fields`` are the keys of the batch that the task needs (``engine.training.batch``); without one that ends in ``?``
    it can do. ``Options`` is a frozen dataclass: the recipe's table ``[options]`` becomes ``self.options``.
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
        """Fill ``networks``, through :meth:`add`; torch is seeded by then."""

    def add(self, name: str, network: N, group: str = "generator", ships: bool = True) -> N:
        """Register ``network`` under ``name`` and return it. One that is only needed to train the others, and every
        discriminator, does not ship: it is not exported."""
        self.networks[name], self.groups[name] = network, group
        if ships and group != DISCRIMINATOR:
            self.shipped.add(name)
        return network

    @abstractmethod
    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        """For each group its losses by name, scalars that are already weighted; a group is stepped down their sum,
        with gradients to its own networks alone. All groups step together, after all gradients are known. Runs under
        autocast where the recipe says bf16."""

    @abstractmethod
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """What the networks say, by name, each (B, …); without gradients. Also watched: outputs that no longer differ
        from one sample to the next are a collapse."""

    @abstractmethod
    def measure(self, batch: Batch) -> dict[str, float]:
        """Errors on held-out data, by name with their unit (``landmark_px``): lower is better, means over the batch."""

    @abstractmethod
    def floor(self, batch: Batch) -> dict[str, float]:
        """The same errors of the answer that costs nothing: the source copied, the mean face. To be beaten."""

    @abstractmethod
    def preview(self, batch: Batch) -> np.ndarray:
        """A picture for people, (H, W, 3) uint8: one row a sample. ``engine.training.curves.grid`` lays it out."""

    def export(self, size: int) -> dict[str, Graph]:
        """ONNX files by name for pictures ``size`` wide, such as ``source`` and ``frame``; none by default."""
        return {}

    # What the loop does to a task as a whole.

    def to(self, device: torch.device) -> None:
        """Move all modules and tensors, also those that are only used."""
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
        """Networks whose weights are averaged: all but discriminators."""
        return {name for name, group in self.groups.items() if group != DISCRIMINATOR}

    def state(self, names: Collection[str] | None = None) -> dict[str, Tensor]:
        """All tensors of these networks (of all), ``network.tensor``."""
        return {
            f"{name}.{key}": tensor
            for name, network in self.networks.items()
            if names is None or name in names
            for key, tensor in network.state_dict().items()
        }

    def load_state(self, tensors: dict[str, Tensor], names: Collection[str] | None = None) -> None:
        """The inverse of :meth:`state`. Raises RuntimeError where names or shapes differ."""
        for name, network in self.networks.items():
            if names is None or name in names:
                own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
                network.load_state_dict(own)
