"""Which runtimes work on this machine, found by running a small network."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from engine.errors import EngineError
from engine.runtime import onnxruntime_backend, openvino_backend, session, torch_backend
from engine.runtime.backend import Refused

PROBE = Path(__file__).with_name("probe.onnx")  # one weight


@dataclass
class Survey:
    """Lines for people, as ``python -m engine doctor`` prints them; ``sound`` when networks can be run."""

    lines: list[str] = field(default_factory=list)
    sound: bool = True

    def say(self, kind: str, text: str) -> None:
        self.lines.append(f"{kind:<10} {text}")
        self.sound = self.sound and kind != "MISSING"


def survey() -> Survey:
    """Open a small network in every runtime; each line says what it runs on."""
    found = Survey()
    for name, ask in (("OpenVINO", _openvino), ("ONNX Runtime", _onnxruntime), ("torch", _torch)):
        try:
            found.say("runtime", f"{name} {ask(found)}")
        except Refused as reason:
            found.say("optional", str(reason))
        except EngineError as fault:
            found.say("MISSING", f"{name}: {fault}")
    try:
        opened = session.open(PROBE, warn=lambda text: found.say("warning", text))
        found.say("networks", f"run on {opened.describe()}")
    except EngineError as fault:
        found.say("MISSING", f"networks cannot be run: {fault}")
    return found


def _openvino(_: Survey) -> str:
    precisions = ", ".join(openvino_backend.precisions())
    opened = session.open(PROBE, "cpu", runtime="openvino")
    return f"{version('openvino')}: {opened.device}, {opened.precision} (the processor has {precisions})"


def _onnxruntime(found: Survey) -> str:
    onnxruntime_backend.module()
    opened = session.open(PROBE, runtime="onnxruntime", warn=lambda text: found.say("warning", text))
    return f"({onnxruntime_backend.installed()[0]}): {opened.device}, {opened.precision}"


def _torch(_: Survey) -> str:
    return f"{torch_backend.module().__version__}: {', '.join(torch_backend.devices())}"
