"""MediaPipe's networks as ONNX files; ``scripts/convert_mediapipe`` makes them."""

from __future__ import annotations

from engine import runtime, weights

FOLDER = weights.FOLDER / "mediapipe"


def open_network(name: str) -> runtime.Session:
    """On the CPU in fp32, whose result is the same everywhere: bf16 moves landmarks by up to 2 pixels of the crop.
    ONNX Runtime opens them in a tenth of OpenVINO's time and is as fast. Raises EngineError as :func:`runtime.open`."""
    return runtime.open(FOLDER / f"{name}.onnx", "cpu", "fp32", "onnxruntime", threads=1)
