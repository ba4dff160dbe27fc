"""The small networks that the runtime is tested with. ``python -m tests.training.networks`` writes them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from engine.runtime.survey import PROBE

FOLDER = Path(__file__).resolve().parents[1] / "data" / "networks"


class Warp(nn.Module):
    """A picture moved by a flow and mended by two convolutions: what every system's frame network is at heart."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.down = nn.Conv2d(5, 8, 3, stride=2, padding=1)
        self.up = nn.Conv2d(8, 12, 3, padding=1)
        for parameter in self.parameters():
            parameter.data = torch.empty(parameter.shape).uniform_(-0.3, 0.3, generator=generator)
        axis = torch.linspace(-1, 1, 16)
        self.grid = nn.Buffer(torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)[None])

    def forward(self, image: torch.Tensor, flow: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moved = nn.functional.grid_sample(image, self.grid + flow, padding_mode="border", align_corners=True)
        hidden = torch.relu(self.down(torch.cat([moved, flow.permute(0, 3, 1, 2)], 1)))
        mended = moved + nn.functional.pixel_shuffle(self.up(hidden), 2)
        return mended, hidden.mean((2, 3))


def warp() -> bytes:
    """:class:`Warp` as ONNX, its batch left open: image (3, 16, 16) and flow (16, 16, 2) → mended and mean."""
    file: Any = io.BytesIO()
    names = ["image", "flow", "mended", "mean"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Warp(),
            (torch.zeros(1, 3, 16, 16), torch.zeros(1, 16, 16, 2)),
            file,
            dynamo=False,
            opset_version=16,
            input_names=names[:2],
            output_names=names[2:],
            dynamic_axes={name: {0: "batch"} for name in names},
        )
    return file.getvalue()


def cancels() -> bytes:
    """x + 4096 − 4096: exact enough in fp32, all zero in bf16."""
    one = np.ones((1, 1, 1, 1), np.float32)
    bias = np.full(1, 4096, np.float32)
    return _graph([("Conv", one, bias), ("Conv", one, -bias)])


def overflows(dtype: type) -> bytes:
    """(x / 2 + 1) − (x / 2 − 1) = 2: from x = 65,520 on infinite in fp16, and the difference of infinities is NaN."""
    scale = np.full((2, 1, 1, 1), 0.5, dtype)
    difference = np.array([1, -1], dtype).reshape(1, 2, 1, 1)
    return _graph([("Conv", scale, difference.reshape(2)), ("Conv", difference, np.zeros(1, dtype))])


def roots() -> bytes:
    """√x, which no precision has for x < 0."""
    return _graph([("Sqrt",)])


def large(size: int = 512) -> bytes:
    """64 channels at ``size``²: 64 MB an item between two small convolutions."""
    rng = np.random.default_rng(0)
    wide, narrow = (rng.normal(0, 0.1, shape).astype(np.float32) for shape in ((64, 1, 3, 3), (1, 64, 3, 3)))
    layers = [("Conv", wide, np.zeros(64, np.float32)), ("Conv", narrow, np.zeros(1, np.float32))]
    return _graph(layers, size, batch="batch")


def external() -> bytes:
    """x · w + b with w said to lie in the file secret.bin beside the network."""
    model = onnx.load_from_string(_graph([("Conv", np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32))]))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", "4")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    return model.SerializeToString()


def _graph(layers: list[tuple], size: int = 4, batch: int | str = 2) -> bytes:
    """A chain of layers, (operator, *weights), from x to y, both (batch, 1, size, size) in the weights' type."""
    kind = (
        TensorProto.FLOAT16 if any(w.dtype == np.float16 for layer in layers for w in layer[1:]) else TensorProto.FLOAT
    )
    nodes, weights = [], []
    for i, (operator, *arrays) in enumerate(layers):
        names = [f"w{i}{j}" for j in range(len(arrays))]
        weights += [numpy_helper.from_array(array, name) for array, name in zip(arrays, names)]
        pads: dict[str, Any] = {"pads": [arrays[0].shape[2] // 2] * 4} if operator == "Conv" else {}
        given, gives = ("x" if i == 0 else f"h{i}"), ("y" if i == len(layers) - 1 else f"h{i + 1}")
        nodes.append(helper.make_node(operator, [given, *names], [gives], **pads))
    ends = [[helper.make_tensor_value_info(name, kind, [batch, 1, size, size])] for name in "xy"]
    graph = helper.make_graph(nodes, "test", ends[0], ends[1], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def probe() -> bytes:
    """y = x, with a convolution: what the doctor opens to see which runtime really answers."""
    return _graph([("Conv", np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32))], batch=1)


def all_of_them() -> dict[str, bytes]:
    """File name → contents."""
    return {
        "warp.onnx": warp(),
        "cancels.onnx": cancels(),
        "overflows.onnx": overflows(np.float32),
        "overflows.fp16.onnx": overflows(np.float16),
        "roots.onnx": roots(),
        "large.onnx": large(),
        "external.onnx": external(),
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    PROBE.write_bytes(probe())
    for file_name, contents in all_of_them().items():
        (FOLDER / file_name).write_bytes(contents)
        print(file_name, len(contents))
