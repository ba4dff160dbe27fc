"""A .tflite file: its operators, its tensors' shapes, its constants as dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import tflite

OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
TYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}


class TfliteGraph:
    """The operators and constants of a .tflite file; tensors go by their index."""

    def __init__(self, data: bytes) -> None:
        self._model = tflite.Model.GetRootAsModel(data, 0)
        self._graph = self._model.Subgraphs(0)
        self._constants: dict[int, np.ndarray] = {}
        self.operators = [self._graph.Operators(i) for i in range(self._graph.OperatorsLength())]
        self.input = int(self._graph.Inputs(0))
        self.outputs = {self._graph.Tensors(int(i)).Name().decode(): int(i) for i in self._graph.OutputsAsNumpy()}

    def kind(self, operator: Any) -> str:
        """``CONV_2D``, …; MediaPipe's own operators by their own names."""
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        return code.CustomCode().decode() if number == tflite.BuiltinOperator.CUSTOM else OPERATORS[number]

    def shape(self, tensor: int) -> list[int]:
        found = self._graph.Tensors(tensor)
        return found.ShapeAsNumpy().tolist() if found.ShapeLength() else []

    def constant(self, tensor: int) -> np.ndarray:
        """float32 or int32."""
        if tensor not in self._constants:
            found = self._graph.Tensors(tensor)
            data = self._model.Buffers(found.Buffer()).DataAsNumpy().view(TYPES[found.Type()])
            data = _dense(found, data) if found.Sparsity() else data.reshape(self.shape(tensor))
            self.set_constant(tensor, data.astype(np.float32) if data.dtype == np.float16 else data)
        return self._constants[tensor]

    def set_constant(self, tensor: int, value: np.ndarray) -> None:
        self._constants[tensor] = value

    def readers(self, tensor: int) -> list[str]:
        """Kinds of the operators that read a tensor."""
        return [self.kind(operator) for operator in self.operators if tensor in operator.InputsAsNumpy()]


def _dense(tensor: Any, values: np.ndarray) -> np.ndarray:
    """The whole array of a tensor in TensorFlow Lite's sparse format, a tree with a level for each axis and block axis.
    A level is dense or lists the indices that are present."""
    sparsity, shape = tensor.Sparsity(), tensor.ShapeAsNumpy()
    blocks = sparsity.BlockMapAsNumpy().tolist() if sparsity.BlockMapLength() else []
    levels = [sparsity.DimMetadata(i) for i in range(sparsity.DimMetadataLength())]
    block_size = {axis: levels[len(shape) + i].DenseSize() for i, axis in enumerate(blocks)}

    def integers(table: Any, kind: int) -> np.ndarray:
        vector = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}[kind]()
        vector.Init(table.Bytes, table.Pos)
        return vector.ValuesAsNumpy().astype(np.int64)

    path, position = np.zeros((1, 0), np.int64), np.zeros(1, np.int64)  # of each node of the level
    for level in levels:
        if level.Format() == tflite.DimensionType.DENSE:
            count = level.DenseSize()
            children = np.tile(np.arange(count), len(position))
            path = np.repeat(path, count, axis=0)
            position = (position[:, None] * count + np.arange(count)).ravel()
        else:
            segments = integers(level.ArraySegments(), level.ArraySegmentsType())
            indices = integers(level.ArrayIndices(), level.ArrayIndicesType())
            spans = [np.arange(segments[p], segments[p + 1]) for p in position]
            path, position = np.repeat(path, [len(span) for span in spans], axis=0), np.concatenate(spans)
            children = indices[position]
        path = np.concatenate([path, children[:, None]], axis=1)
    index = np.zeros((len(shape), len(path)), np.int64)
    for level, axis in enumerate(sparsity.TraversalOrderAsNumpy().tolist()):
        if axis < len(shape):
            index[axis] += path[:, level] * block_size.get(axis, 1)
        else:
            index[blocks[axis - len(shape)]] += path[:, level]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(index)] = values[position]
    return dense
