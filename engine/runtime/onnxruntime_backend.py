"""ONNX Runtime: CUDA where its GPU build finds a card, and the portable choice on CPUs."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.runtime.backend import Backend, OutOfMemory, Refused, Request, one_line, ran_out_of_memory, split_shape

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_BUILDS = ("onnxruntime", "onnxruntime-gpu")


def module() -> Any:
    """The package. Raises :class:`Refused` where there is none, EngineError ``two_onnxruntimes`` where there are two:
    they lie in one folder, and either may be imported."""
    if len(builds := installed()) > 1:
        raise EngineError(
            "two_onnxruntimes",
            f"{' and '.join(builds)} are both installed, and both provide the module onnxruntime.",
            "Uninstall both (pip uninstall onnxruntime onnxruntime-gpu), then install one of them again from its lock.",
        )
    try:
        import onnxruntime
    except Exception as fault:  # a broken native library may raise anything
        raise Refused(f"ONNX Runtime cannot be imported ({one_line(fault)})") from fault
    onnxruntime.set_default_logger_severity(4)  # what matters comes as an exception
    return onnxruntime


def installed() -> list[str]:
    """``name version`` of the distributions that provide the module."""
    found = []
    for name in _BUILDS:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def has_cuda() -> bool:
    """Whether this build knows CUDA. Whether there is a card shows only when a network is opened on it."""
    return _PROVIDERS["cuda"] in module().get_available_providers()


class OnnxRuntimeBackend(Backend):
    """The graph's types are its precision: fp16 is a graph of its own, see :func:`engine.runtime.session.open`."""

    runtime = "ONNX Runtime"

    def __init__(self, onnx: bytes, request: Request) -> None:
        """Raises :class:`Refused`, :class:`OutOfMemory` or EngineError ``no_device``, ``two_onnxruntimes``."""
        ort = module()
        provider = _PROVIDERS[request.device]
        if request.device == "cuda":
            if not has_cuda():
                raise EngineError(
                    "no_device",
                    f"CUDA was asked for, but the ONNX Runtime installed here ({installed()[0]}) has none.",
                    "Choose the device auto or cpu, or install engine/requirements-onnxruntime-gpu.lock in its place.",
                )
            ort.preload_dlls()
        options = ort.SessionOptions()
        options.intra_op_num_threads = request.threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work shares the processor
        if request.device != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        options.add_free_dimension_override_by_name("batch", request.batch or 1)
        try:
            self._session = ort.InferenceSession(onnx, options, providers=[provider])
        except Exception as fault:  # its exceptions have no common base
            if ran_out_of_memory(fault):
                raise OutOfMemory(one_line(fault)) from fault
            raise Refused(f"ONNX Runtime refuses it ({one_line(fault)})") from fault
        got = self._session.get_providers()[0]
        if got != provider:
            raise Refused(f"ONNX Runtime gave {got} instead of {provider}")
        self.device = request.device
        ports = self._session.get_inputs()
        split = {
            port.name: split_shape(
                port.name, [size if isinstance(size, int) else None for size in port.shape], request.batch
            )
            for port in ports
        }
        self._types = {port.name: np.float16 if port.type == "tensor(float16)" else np.float32 for port in ports}
        self._outputs = [port.name for port in self._session.get_outputs()]
        self.precision = "fp16" if np.float16 in self._types.values() else "fp32"
        self.inputs = {name: rest for name, (_, rest, _) in split.items()}
        self.batch = min(batch for batch, _, _ in split.values())
        self.flexible = all(left_open for _, _, left_open in split.values())

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with np.errstate(over="ignore"):  # too large for fp16 is infinity, which the session catches
            feeds = {name: np.ascontiguousarray(array, self._types[name]) for name, array in feeds.items()}
        try:
            results = self._session.run(self._outputs, feeds)
        except Exception as fault:
            if ran_out_of_memory(fault):
                raise OutOfMemory(one_line(fault)) from fault
            raise
        return {name: np.asarray(result, np.float32) for name, result in zip(self._outputs, results)}
