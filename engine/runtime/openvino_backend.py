"""OpenVINO: the runtime to prefer on CPUs. Half precision only where the processor computes in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import device
from engine.runtime.backend import Backend, OutOfMemory, Refused, Request, one_line, ran_out_of_memory, split_shape

_TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
# Without either OpenVINO emulates bf16, at a fifth of the speed of fp32. Only the first makes it faster than fp32.
_FAST_BF16, _BF16 = "amx_bf16", "avx512_bf16"
_core: Any = None


def core() -> Any:
    """The process' OpenVINO; raises :class:`Refused` where there is none."""
    global _core
    if _core is None:
        try:
            import openvino
        except Exception as fault:  # a broken native library may raise anything
            raise Refused(f"OpenVINO cannot be imported ({one_line(fault)})") from fault
        _core = openvino.Core()
        if "CPU" not in _core.available_devices:
            _core = None
            raise Refused("OpenVINO does not support this processor")
    return _core


def precisions() -> tuple[str, ...]:
    """What the processor computes in, as OpenVINO says; bf16 only if the instructions are there too."""
    listed = set(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    bf16 = "BF16" in listed and bool({_FAST_BF16, _BF16} & device.processor_features())
    return ("fp32", *(["bf16"] if bf16 else []), *(["fp16"] if "FP16" in listed else []))


def automatic_precision() -> str:
    return "bf16" if "bf16" in precisions() and _FAST_BF16 in device.processor_features() else "fp32"


class OpenVinoBackend(Backend):
    runtime = "OpenVINO"
    device = "cpu"

    def __init__(self, onnx: bytes, request: Request) -> None:
        """Raises :class:`Refused` or :class:`OutOfMemory`."""
        precision = automatic_precision() if request.precision == "auto" else request.precision
        if precision not in precisions():
            raise Refused(f"this processor has no {precision} (it has {', '.join(precisions())})")
        try:
            model = core().read_model(onnx, b"")
            shapes, split = {}, {}
            for port in model.inputs:
                name = port.get_any_name()
                shape = [size.get_length() if size.is_static else None for size in port.get_partial_shape()]
                split[name] = split_shape(name, shape, request.batch)
                shapes[name] = [split[name][0], *split[name][1]]
            model.reshape(shapes)
            # Compiling adds names of what it has fused; the graph's own is the node's, before "/sink_port_0".
            self._outputs = [port.get_node().get_friendly_name().rpartition("/")[0] for port in model.outputs]
            options = {
                "INFERENCE_PRECISION_HINT": _TYPES[precision],
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": request.threads,
            }
            compiled = core().compile_model(model, "CPU", options)
            self._request = compiled.create_infer_request()
        except RuntimeError as fault:
            if ran_out_of_memory(fault):
                raise OutOfMemory(one_line(fault)) from fault
            raise Refused(f"OpenVINO refuses it ({one_line(fault)})") from fault
        self.inputs = {name: rest for name, (_, rest, _) in split.items()}
        self.batch = min(batch for batch, _, _ in split.values())
        self.flexible = all(left_open for _, _, left_open in split.values())
        got = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = next(name for name, type_ in _TYPES.items() if type_ == got)

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            results = self._request.infer({name: np.ascontiguousarray(array) for name, array in feeds.items()})
        except RuntimeError as fault:
            if ran_out_of_memory(fault):
                raise OutOfMemory(one_line(fault)) from fault
            raise
        return {name: np.array(results[i], np.float32) for i, name in enumerate(self._outputs)}
