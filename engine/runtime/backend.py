"""The interface of ONNX Runtime, OpenVINO and torch to :mod:`engine.runtime.session`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

HALF = ("bf16", "fp16")


class Refused(Exception):
    """This backend cannot open the network as asked; its text says why."""


class OutOfMemory(Exception):
    """The device has too little memory for this batch."""


@dataclass(frozen=True)
class TorchNetwork:
    """A network given as torch code: ``make()`` returns a module with its weights in it, whose ``forward`` takes
    tensors in the order of ``inputs`` (name → shape without the batch) and returns one or a tuple, ``outputs``."""

    make: Callable[[], Any]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """What a backend is asked for. ``precision`` may be ``auto``. ``batch`` fixes a graph whose first dimension is
    open; None is the graph's own."""

    device: str
    precision: str
    batch: int | None
    threads: int


class Backend(ABC):
    """One opened network. ``device`` and ``precision`` are those it really runs on, ``batch`` the items of a run.

    ``inputs``: name → shape without the batch. ``flexible``: the batch can be made smaller.
    """

    runtime: str
    device: str
    precision: str
    batch: int
    flexible: bool
    inputs: dict[str, tuple[int, ...]]

    @abstractmethod
    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One batch, float32 in and out. Raises :class:`OutOfMemory`."""

    def describe(self) -> str:
        """For people: ``OpenVINO, cpu, bf16``."""
        return f"{self.runtime}, {self.device}, {self.precision}"

    def zeros(self) -> dict[str, np.ndarray]:
        """A batch to warm up with."""
        return {name: np.zeros((self.batch, *shape), np.float32) for name, shape in self.inputs.items()}


def split_shape(name: str, shape: list[int | None], wanted: int | None) -> tuple[int, tuple[int, ...], bool]:
    """A graph's input shape → (batch, the rest, whether the batch was left open); raises :class:`Refused`."""
    if not shape:
        raise Refused(f"its input {name} has no batch dimension")
    batch, rest = shape[0], [size for size in shape[1:] if size is not None]
    if len(rest) != len(shape) - 1:
        raise Refused(f"the size of its input {name} is not fixed")
    return batch or wanted or 1, tuple(rest), batch is None


def ran_out_of_memory(fault: BaseException) -> bool:
    """Whether a runtime's exception means that memory ran out; only torch has a type for it."""
    text = str(fault).lower()
    signs = ("out of memory", "allocate memory", "bad_alloc", "bad allocation", "cannot allocate", "alloc_failed")
    return isinstance(fault, MemoryError) or any(sign in text for sign in signs)


def one_line(fault: BaseException) -> str:
    """The last line of a runtime's message, which states the reason without C++ file names."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return lines[-1][:300] if lines else repr(fault)
