"""torch, where it is installed: the reference for the other runtimes, and the only one for Apple's GPUs."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.runtime.backend import Backend, OutOfMemory, Refused, Request, TorchNetwork, one_line, ran_out_of_memory


def module() -> Any:
    """torch; raises :class:`Refused` where there is none."""
    try:
        import torch
    except Exception as fault:  # a broken native library may raise anything
        raise Refused(f"torch cannot be imported ({one_line(fault)})") from fault
    return torch


def devices() -> tuple[str, ...]:
    """What torch can compute on here, best first."""
    torch = module()
    cuda = ["cuda"] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return (*cuda, *mps, "cpu")


class TorchBackend(Backend):
    runtime = "torch"
    flexible = True

    def __init__(self, network: TorchNetwork, request: Request) -> None:
        """Raises :class:`Refused`, :class:`OutOfMemory` or EngineError ``no_device``."""
        torch = self._torch = module()
        if request.device not in devices():
            raise EngineError(
                "no_device",
                f"{request.device} was asked for, but torch finds only {', '.join(devices())} here.",
                "Choose the device auto or cpu, or install a build of torch for that device.",
            )
        self.precision = "fp32" if request.precision == "auto" else request.precision
        self._half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        try:
            self._network = network.make().eval().requires_grad_(False).to(request.device)
        except RuntimeError as fault:
            if ran_out_of_memory(fault):
                raise OutOfMemory(one_line(fault)) from fault
            raise
        self.device = next((p.device.type for p in self._network.parameters()), request.device)
        self.inputs = dict(network.inputs)
        self.batch = request.batch or 1
        self._outputs = network.outputs

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        torch = self._torch
        tensors = [torch.from_numpy(np.array(feeds[name], np.float32)).to(self.device) for name in self.inputs]
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self.device, dtype=self._half, enabled=self._half is not None),
            ):
                results = self._network(*tensors)
            results = results if isinstance(results, tuple | list) else (results,)
            return {name: result.float().cpu().numpy() for name, result in zip(self._outputs, results)}
        except RuntimeError as fault:  # torch.OutOfMemoryError is one
            if ran_out_of_memory(fault):
                raise OutOfMemory(one_line(fault)) from fault
            raise
