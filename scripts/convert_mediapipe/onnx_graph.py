"""The nodes and weights of an ONNX file in the making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8


class OnnxGraph:
    """Nodes and weights of the ONNX file that is made; tensors go by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, array: np.ndarray, exact: bool = False) -> str:
        """Stored once; float32 of more than a few numbers as fp16, which must hold them, unless ``exact``."""
        array = np.asarray(array, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            half = array.dtype == np.float32 and array.size > 8 and not exact
            stored = array.astype(np.float16) if half else array
            if not np.array_equal(stored, array):
                raise SystemExit("a weight is not exact in fp16: the source is not the file that it was")
            self.weights.append(numpy_helper.from_array(stored, name))
            self._constants[key] = self.node("Cast", [name], to=TensorProto.FLOAT) if half else name
        return self._constants[key]

    def floats(self, values: Any) -> str:
        return self.constant(np.array(values, np.float32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def slice(self, name: str, start: int, stop: int, axis: int) -> str:
        return self.node("Slice", [name, self.ints(start), self.ints(stop), self.ints(axis)])

    def swap(self, name: str) -> str:
        """(1, A, B) → (1, B, A)."""
        return self.node("Transpose", [name], perm=[0, 2, 1])

    def reshape(self, name: str, *shape: int) -> str:
        return self.node("Reshape", [name, self.ints(*shape)])

    def model(self, name: str, image: list[int], results: dict[str, tuple[str, list[int]]]) -> onnx.ModelProto:
        """``image``: the input's shape; ``results``: title → tensor and shape."""
        titled = [helper.make_node("Identity", [tensor], [title]) for title, (tensor, _) in results.items()]
        shapes = [("image", image), *((title, shape) for title, (_, shape) in results.items())]
        first, *others = (helper.make_tensor_value_info(title, TensorProto.FLOAT, shape) for title, shape in shapes)
        graph = helper.make_graph([*self.nodes, *titled], name, [first], others, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.doc_string = "Converted from MediaPipe 0.10.21. Copyright The MediaPipe Authors, Apache-2.0"
        onnx.checker.check_model(model, full_check=True)
        return model
