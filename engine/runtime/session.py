"""One call for every runtime: open a network, run it, and report what it really runs on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine import device as machine
from engine.errors import EngineError
from engine.runtime.backend import HALF, Backend, OutOfMemory, Refused, Request, TorchNetwork
from engine.runtime.onnxruntime_backend import OnnxRuntimeBackend, has_cuda
from engine.runtime.openvino_backend import OpenVinoBackend
from engine.runtime.torch_backend import TorchBackend
from engine.runtime.torch_backend import devices as torch_devices

log = logging.getLogger("understudy")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
RUNTIMES = ("auto", "openvino", "onnxruntime", "torch")
Warn = Callable[[str], object]
_CPU_MAY_HELP = ("no_device", "network_refused")
_BLACK = "an all-zero picture"


def open(
    network: Path | TorchNetwork,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    batch: int | None = None,
    allow_fallback: bool = False,
    warn: Warn = log.warning,
    threads: int | None = None,
) -> Session:
    """Open a network and warm it up.

    ``network``: an ONNX file of static shapes, whose first dimension may be left open under the name ``batch``
    (``batch`` then fixes it), or torch code. ``name.fp16.onnx`` beside ``name.onnx`` is that network in fp16: ONNX
    Runtime takes it when fp16 is asked for, and on CUDA unless fp32 is.

    ``device`` ``auto`` is CUDA where it works, else the CPU, with a warning if CUDA is there and fails. Another device
    that is not available is an EngineError, or with ``allow_fallback`` a warning and the CPU. ``precision`` ``auto``
    is bf16 on processors with AMX, else fp32, which is faster than AVX-512's bf16.

    Raises EngineError: ``missing_network``, ``network_refused``, ``no_device``, ``out_of_memory``,
    ``two_onnxruntimes``.
    """
    for value, known in ((device, DEVICES), (precision, PRECISIONS), (runtime, RUNTIMES)):
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
    return Session(network, device, precision, runtime, batch, allow_fallback, warn, threads or machine.thread_count())


class Session:
    """A network ready to run; made by :func:`open`. Not safe to share between threads.

    What it really runs on: ``runtime``; ``device`` ``cpu``, ``cuda`` or ``mps``; ``precision`` ``fp32``, ``bf16`` or
    ``fp16``; ``batch``, the items computed at a time. These change when memory runs out or half precision fails.
    """

    runtime: str
    device: str
    precision: str
    batch: int

    def __init__(
        self,
        network: Path | TorchNetwork,
        device: str,
        precision: str,
        runtime: str,
        batch: int | None,
        allow_fallback: bool,
        warn: Warn,
        threads: int,
    ) -> None:
        self._network = network
        self._name = network.name if isinstance(network, Path) else "The network"
        self._runtimes = _runtimes(network, runtime)
        self._threads = threads
        self._warn = warn
        self._may_fall_back = allow_fallback or device == "auto"
        self._black_is_right = False
        self._wanted = Request(self._best_device() if device == "auto" else device, precision, batch, threads)
        self._backend: Backend | None = None
        self._ready()

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """What a run takes: name → shape without the batch."""
        return dict(self._ready().inputs)

    def describe(self) -> str:
        """For people: ``OpenVINO, cpu, bf16``."""
        return f"{self.runtime}, {self.device}, {self.precision}"

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Name → float32 (B, …) in and out, for any B; an input of one item serves every item of the others.

        In half precision a batch with NaN, infinity or an all-zero picture is done again in fp32, and if fp32 disagrees
        the session stays there. Raises EngineError ``out_of_memory``, or ``not_finite`` when fp32 gives no numbers
        either.
        """
        inputs = self._ready().inputs
        if set(feeds) != set(inputs):
            raise ValueError(f"{self._name} takes {', '.join(inputs)}, not {', '.join(feeds)}")
        for name, shape in inputs.items():
            if feeds[name].shape[1:] != shape:
                raise ValueError(f"{self._name} takes {name} of shape (B, {', '.join(map(str, shape))})")
        count = max(len(array) for array in feeds.values())
        parts: list[dict[str, np.ndarray]] = []
        done = 0
        while done < count:
            size = self._ready().batch
            try:
                result = self._checked({name: _items(array, done, size, count) for name, array in feeds.items()})
            except (OutOfMemory, MemoryError) as fault:
                self._retreat(fault)
                continue
            parts.append({name: array[: count - done] for name, array in result.items()})
            done += size
        try:
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        except MemoryError as fault:
            raise self._starved(fault) from fault

    def release(self) -> None:
        """Give the memory back; the next run opens the network again as it was."""
        self._wanted = Request(self.device, self.precision, self.batch, self._threads)
        self._backend = None

    def _ready(self) -> Backend:
        """The opened network; opens it first if need be."""
        while self._backend is None:
            try:
                self._adopt(self._open(self._wanted))
            except OutOfMemory as fault:
                self._retreat(fault)
            except EngineError as fault:
                if self._wanted.device == "cpu" or not self._may_fall_back or fault.code not in _CPU_MAY_HELP:
                    raise
                self._warn(f"{fault.text} It runs on the CPU instead.")
                self._wanted = replace(self._wanted, device="cpu")
        return self._backend

    def _adopt(self, backend: Backend) -> None:
        self._backend = backend
        self.runtime, self.device = backend.runtime, backend.device
        self.precision, self.batch = backend.precision, backend.batch

    def _checked(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One batch, checked for NaN, infinity and black pictures."""
        result = self._ready().run(feeds)
        half = self.precision in HALF
        wrong = _wrong(result, black=half and not self._black_is_right)
        if wrong is None:
            return result
        if not half:
            raise EngineError(
                "not_finite",
                f"{self._name} gave {wrong} ({self.describe()}).",
                "Its weights are damaged, or its input is unlike its training data: try another system.",
            )
        full = self._open(Request(self.device, "fp32", self.batch, self._threads))
        again = full.run(feeds)
        if wrong == _BLACK and _wrong(again, black=True) == _BLACK:
            self._black_is_right = True
            return again
        self._warn(f"{self._name} gave {wrong} in {self.precision}; from here on it runs in fp32.")
        self._adopt(full)
        return self._checked(feeds)

    def _retreat(self, fault: OutOfMemory | MemoryError) -> None:
        """Out of memory: half the batch, then the CPU, then an error."""
        wanted = self._wanted
        flexible = self._backend is None or self._backend.flexible
        smaller = (wanted.batch or 1) // 2
        self._backend = None
        if flexible and smaller:
            self._warn(f"{self._name}: too little memory ({wanted.device}), now {smaller} at a time.")
            self._wanted = replace(wanted, batch=smaller)
        elif wanted.device != "cpu" and self._may_fall_back:
            self._warn(f"{self._name}: too little memory ({wanted.device}), now on the CPU.")
            self._wanted = replace(wanted, device="cpu")
        else:
            raise self._starved(fault) from fault

    def _starved(self, fault: Exception) -> EngineError:
        return EngineError(
            "out_of_memory",
            f"{self._name} needs more memory than there is ({self._wanted.device}: {fault}).",
            "Close other programs, or choose a smaller size or the device cpu.",
        )

    def _best_device(self) -> str:
        try:
            if "torch" in self._runtimes:
                return torch_devices()[0]
            return "cuda" if "onnxruntime" in self._runtimes and has_cuda() else "cpu"
        except Refused:
            return "cpu"

    def _open(self, request: Request) -> Backend:
        """The network opened and warmed up by the first runtime that takes it."""
        refusals: list[str] = []
        for runtime in self._runtimes:
            if runtime == "openvino" and request.device != "cpu":
                continue
            try:
                backend = self._backend_of(runtime, request)
                backend.run(backend.zeros())
            except Refused as fault:
                refusals.append(str(fault))
                continue
            for refusal in refusals:
                self._warn(f"{self._name}: {refusal}. {backend.runtime} runs it instead.")
            return backend
        raise EngineError(
            "network_refused",
            f"{self._name} cannot be opened on {request.device}: {'; '.join(refusals)}.",
            "If the file is damaged, install Understudy again; else choose another device or precision.",
        )

    def _backend_of(self, runtime: str, request: Request) -> Backend:
        if isinstance(self._network, TorchNetwork):
            return TorchBackend(self._network, request)
        if runtime == "openvino":
            return OpenVinoBackend(_read(self._network), request)
        if request.precision == "bf16":
            raise Refused("ONNX Runtime does not compute in bf16")
        in_half = self._network.with_suffix(".fp16.onnx")
        wants_half = request.precision == "fp16" or (request.precision == "auto" and request.device == "cuda")
        if request.precision == "fp16" and not in_half.is_file():
            raise Refused(f"ONNX Runtime finds no {in_half.name} beside it")
        return OnnxRuntimeBackend(_read(in_half if wants_half and in_half.is_file() else self._network), request)


def _runtimes(network: Path | TorchNetwork, runtime: str) -> tuple[str, ...]:
    """Which to try, best first."""
    if isinstance(network, TorchNetwork) != (runtime == "torch") and runtime != "auto":
        raise ValueError(f"{runtime} does not run a {type(network).__name__}")
    if isinstance(network, TorchNetwork):
        return ("torch",)
    return ("openvino", "onnxruntime") if runtime == "auto" else (runtime,)


def _read(path: Path) -> bytes:
    """The file's bytes: a graph read from memory cannot name further files. Raises EngineError ``missing_network``."""
    try:
        return path.read_bytes()
    except OSError as fault:
        raise EngineError(
            "missing_network", f"The network {path} cannot be read ({fault.strerror}).", "Install Understudy again."
        ) from fault


def _items(array: np.ndarray, start: int, size: int, count: int) -> np.ndarray:
    """``size`` items from ``start`` on; past the end the last one again."""
    if len(array) == 1:
        return np.broadcast_to(array, (size, *array.shape[1:]))
    if len(array) != count:
        raise ValueError(f"inputs of {len(array)} and of {count} items do not go together")
    return array[np.minimum(np.arange(start, start + size), count - 1)]


def _wrong(result: dict[str, np.ndarray], black: bool) -> str | None:
    """What is wrong with a network's numbers, None when nothing is."""
    for array in result.values():
        if not np.isfinite(array).all():
            return "NaN" if np.isnan(array).any() else "infinity"
    pictures = (array for array in result.values() if array.ndim == 4)
    if black and any(not array.any(axis=(1, 2, 3)).all() for array in pictures):
        return _BLACK
    return None
