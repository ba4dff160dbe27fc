"""TensorFlow Lite's operators, and MediaPipe's own, as ONNX's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import tflite
from flatbuffers import flexbuffers
from onnx_graph import OnnxGraph
from tflite_graph import TfliteGraph

UNARY = {"RELU": "Relu", "LOGISTIC": "Sigmoid", "HARD_SWISH": "HardSwish"}
NHWC_TO_NCHW, NCHW_TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


class Converter:
    """Goes through the operators in order; one method an operator, called by its name in lower case."""

    def __init__(self, data: bytes, low: float, high: float) -> None:
        self.source, self.out = TfliteGraph(data), OnnxGraph()
        self.names: dict[int, str] = {}  # tensor of the source → its name in the ONNX file
        self.folded: dict[int, tuple[int, list[int]]] = {}  # padded tensor → what was padded, by how much
        self.grids: dict[int, dict[str, Any]] = {}  # tensor → options of the transform matrix that it comes from
        self.size = self.source.shape(self.source.input)[1:3]
        scaled = self.out.node("Mul", ["image", self.out.floats((high - low) / 255)])
        scaled = self.out.node("Add", [scaled, self.out.floats(low)]) if low else scaled
        self.names[self.source.input] = self.out.node("Transpose", [scaled], perm=NHWC_TO_NCHW)
        for operator in self.source.operators:
            kind = self.source.kind(operator)
            inputs, result = operator.InputsAsNumpy().tolist(), int(operator.OutputsAsNumpy()[0])
            if kind in ("DEQUANTIZE", "DENSIFY"):
                self.source.set_constant(result, self.source.constant(inputs[0]))
            elif kind in UNARY:
                self.names[result] = self.out.node(UNARY[kind], [self.name(inputs[0])])
            elif (name := getattr(self, kind.lower())(operator, inputs, result)) is not None:
                self.names[result] = name

    def name(self, tensor: int) -> str:
        """In the ONNX file; a constant is added to it, in NCHW."""
        if tensor not in self.names:
            array = self.source.constant(tensor)
            self.names[tensor] = self.out.constant(array.transpose(NHWC_TO_NCHW) if array.ndim == 4 else array)
        return self.names[tensor]

    # TensorFlow Lite's operators

    def conv_2d(self, operator: Any, inputs: list[int], result: int) -> str:
        options = _options(operator, "Conv2DOptions")
        return self._convolution(options, inputs, self.source.constant(inputs[1]).transpose(NHWC_TO_NCHW), groups=1)

    def depthwise_conv_2d(self, operator: Any, inputs: list[int], result: int) -> str:
        weight = self.source.constant(inputs[1]).transpose(3, 0, 1, 2)
        return self._convolution(_options(operator, "DepthwiseConv2DOptions"), inputs, weight, groups=len(weight))

    def _convolution(self, options: Any, inputs: list[int], weight: np.ndarray, groups: int) -> str:
        tensor, window = inputs[0], weight.shape[2:]
        strides = [options.StrideH(), options.StrideW()]
        dilations = [options.DilationHFactor(), options.DilationWFactor()]
        pads = _pads(self.source.shape(tensor)[1:3], window, strides, dilations, options.Padding())
        if tensor in self.folded:
            tensor, more = self.folded[tensor]
            pads = [a + b for a, b in zip(pads, more)]
        convolved = self.out.node(
            "Conv",
            [self.name(tensor), self.out.constant(weight), self.out.constant(self.source.constant(inputs[2]))],
            group=groups,
            kernel_shape=window,
            strides=strides,
            dilations=dilations,
            pads=pads,
        )
        return self._activated(convolved, options.FusedActivationFunction())

    def _activated(self, name: str, activation: int) -> str:
        if activation == tflite.ActivationFunctionType.RELU6:
            return self.out.node("Clip", [name, self.out.floats(0), self.out.floats(6)])
        if activation == tflite.ActivationFunctionType.RELU:
            return self.out.node("Relu", [name])
        assert activation == tflite.ActivationFunctionType.NONE
        return name

    def max_pool_2d(self, operator: Any, inputs: list[int], result: int, kind: str = "MaxPool") -> str:
        options = _options(operator, "Pool2DOptions")
        size, window = self.source.shape(inputs[0])[1:3], [options.FilterHeight(), options.FilterWidth()]
        if kind == "AveragePool" and window == size:
            return self.out.node("GlobalAveragePool", [self.name(inputs[0])])
        strides = [options.StrideH(), options.StrideW()]
        pads = _pads(size, window, strides, [1, 1], options.Padding())
        return self.out.node(kind, [self.name(inputs[0])], kernel_shape=window, strides=strides, pads=pads)

    def average_pool_2d(self, operator: Any, inputs: list[int], result: int) -> str:
        return self.max_pool_2d(operator, inputs, result, "AveragePool")

    def mean(self, operator: Any, inputs: list[int], result: int) -> str:
        assert sorted(self.source.constant(inputs[1])) == [1, 2] and _options(operator, "ReducerOptions").KeepDims()
        return self.out.node("GlobalAveragePool", [self.name(inputs[0])])

    def pad(self, operator: Any, inputs: list[int], result: int) -> str | None:
        """Zeros around the picture become the convolution's own padding."""
        before, after = self.source.constant(inputs[1])[list(NHWC_TO_NCHW)].T.tolist()
        if not any(before[:2] + after[:2]) and all("CONV_2D" in kind for kind in self.source.readers(result)):
            self.folded[result] = (inputs[0], before[2:] + after[2:])
            return None
        return self.out.node("Pad", [self.name(inputs[0]), self.out.ints(*before, *after)])

    def add(self, operator: Any, inputs: list[int], result: int) -> str:
        name = self.out.node("Add", [self.name(i) for i in inputs])
        return self._activated(name, _options(operator, "AddOptions").FusedActivationFunction())

    def mul(self, operator: Any, inputs: list[int], result: int) -> str:
        if inputs[0] in self.grids:
            self.grids[result] = self.grids[inputs[0]]
        name = self.out.node("Mul", [self.name(i) for i in inputs])
        return self._activated(name, _options(operator, "MulOptions").FusedActivationFunction())

    def prelu(self, operator: Any, inputs: list[int], result: int) -> str:
        """a·x + (1 − a)·relu(x), the products as depthwise convolutions."""
        slope = self.source.constant(inputs[1]).reshape(-1, 1, 1, 1)
        whole = self.name(inputs[0])
        positive = self.out.node("Relu", [whole])
        names = [(whole, self.out.constant(slope)), (positive, self.out.constant(1 - slope, exact=True))]
        parts = [self.out.node("Conv", pair, group=len(slope), kernel_shape=[1, 1]) for pair in names]
        return self.out.node("Add", parts)

    def resize_bilinear(self, operator: Any, inputs: list[int], result: int) -> str:
        options = _options(operator, "ResizeBilinearOptions")
        pixels = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        mode = "align_corners" if options.AlignCorners() else pixels
        sizes = self.out.ints(*(self.source.shape(result)[axis] for axis in NHWC_TO_NCHW))
        names = [self.name(inputs[0]), "", "", sizes]
        return self.out.node("Resize", names, mode="linear", coordinate_transformation_mode=mode)

    def depth_to_space(self, operator: Any, inputs: list[int], result: int) -> str:
        size = _options(operator, "DepthToSpaceOptions").BlockSize()
        return self.out.node("DepthToSpace", [self.name(inputs[0])], blocksize=size)

    def reshape(self, operator: Any, inputs: list[int], result: int) -> str:
        name, shape = self.name(inputs[0]), self.source.shape(result)
        if len(self.source.shape(inputs[0])) == 4:
            name = self.out.node("Transpose", [name], perm=NCHW_TO_NHWC)
        name = self.out.reshape(name, *shape)
        return self.out.node("Transpose", [name], perm=NHWC_TO_NCHW) if len(shape) == 4 else name

    def concatenation(self, operator: Any, inputs: list[int], result: int) -> str:
        axis = _options(operator, "ConcatenationOptions").Axis()
        axis = NHWC_TO_NCHW.index(axis) if len(self.source.shape(result)) == 4 else axis
        return self.out.node("Concat", [self.name(i) for i in inputs], axis=axis)

    def strided_slice(self, operator: Any, inputs: list[int], result: int) -> str:
        assert self.source.shape(inputs[0]) == self.source.shape(result), "only the whole tensor is ever taken"
        return self.name(inputs[0])

    # MediaPipe's own operators

    def convolution2dtransposebias(self, operator: Any, inputs: list[int], result: int) -> str:
        _, width, height = np.frombuffer(bytes(operator.CustomOptionsAsNumpy()), np.int32).tolist()
        weight = self.source.constant(inputs[1]).transpose(3, 0, 1, 2)
        assert weight.shape[2:] == (height, width), "windows that overlap are not needed by these networks"
        names = [self.name(inputs[0]), self.out.constant(weight), self.name(inputs[2])]
        return self.out.node("ConvTranspose", names, kernel_shape=[height, width], strides=[height, width])

    def landmarks2transformmatrix(self, operator: Any, inputs: list[int], result: int) -> str:
        """The matrix (1, 4, 4) that lays a grid over the bounding box of some points, rotated until two of them are
        level. Cosine and sine come from the normalised difference of the two: ONNX has no atan2."""
        out = self.out
        options = self.grids[result] = flexbuffers.Loads(bytes(operator.CustomOptionsAsNumpy()))
        assert options["target_rotation_radians"] == 0
        half = np.array([options["output_width"] / 2, options["output_height"] / 2], np.float32)
        factor = np.array([options["scale_x"], options["scale_y"]], np.float32) / (2 * half)

        def points(ids: list[int]) -> str:  # (1, N, 2)
            return out.slice(out.node("Gather", [self.name(inputs[0]), out.ints(*ids)], axis=1), 0, 2, axis=2)

        ends = points([options["left_rotation_idx"], options["right_rotation_idx"]])
        across = out.node("MatMul", [out.floats([[[-1, 1]]]), ends])  # (1, 1, 2)
        x_axis = out.node("Div", [across, out.node("ReduceL2", [across], axes=[2])])
        y_axis = out.node("Mul", [out.node("Gather", [x_axis, out.ints(1, 0)], axis=2), out.floats([-1, 1])])
        axes = out.node("Concat", [x_axis, y_axis], axis=1)  # (1, 2, 2)
        turned = out.node("MatMul", [points(options["subset_idxs"]), out.swap(axes)])
        low, high = (out.node(kind, [turned], axes=[1]) for kind in ("ReduceMin", "ReduceMax"))
        step = out.node("Mul", [out.node("Sub", [high, low]), out.floats(factor)])
        middle = out.node("Mul", [out.node("Add", [high, low]), out.floats(0.5)])
        corner = out.node("Sub", [middle, out.node("Mul", [step, out.floats(half)])])
        linear = out.node("Mul", [out.swap(axes), step])
        shift = out.swap(out.node("MatMul", [corner, axes]))
        rows = out.node("Concat", [linear, out.floats(np.zeros((1, 2, 1))), shift], axis=2)
        return out.node("Concat", [rows, out.floats(np.eye(4)[None, 2:])], axis=1)

    def transformtensorbilinear(self, operator: Any, inputs: list[int], result: int) -> str:
        """Samples at the grid's cell centres. A sample that lies outside at all is 0, where GridSample would fade, so
        it is sent far away first."""
        out = self.out
        height, width = self.source.shape(result)[1:3]
        size = np.array(self.source.shape(inputs[0])[2:0:-1], np.float32)
        y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
        cells = out.floats(np.stack([x, y, 0 * x, 0 * x + 1], axis=-1).reshape(1, -1, 4))
        at = out.node("MatMul", [cells, out.swap(out.slice(self.name(inputs[1]), 0, 2, axis=1))])
        at = out.node("Mul", [out.node("Sub", [at, out.floats(0.5)]), out.floats(2 / (size - 1))])
        at = out.node("Sub", [at, out.floats(1)])  # −1…1
        farthest = out.node("ReduceMax", [out.node("Abs", [at])], axes=[2])
        at = out.node("Where", [out.node("Greater", [farthest, out.floats(1)]), out.floats(-9), at])
        names = [self.name(inputs[0]), out.reshape(at, 1, height, width, 2)]
        return out.node("GridSample", names, mode="bilinear", padding_mode="zeros", align_corners=1)

    def transformlandmarks(self, operator: Any, inputs: list[int], result: int) -> str:
        self.grids[result] = self.grids[inputs[1]]
        rows = self.out.slice(self.name(inputs[1]), 0, 2, axis=1)
        linear, shift = self.out.slice(rows, 0, 2, axis=2), self.out.slice(rows, 3, 4, axis=2)
        points = self.out.node("MatMul", [self.name(inputs[0]), self.out.swap(linear)])
        return self.out.node("Add", [points, self.out.swap(shift)])

    # The whole

    def refined_points(self) -> str:
        """The face mesh's outputs → (1, 478, 3) in the crop's pixels. Lips and eyes replace x and y of their points;
        the irises come last and get their eye's mean z. A part's grid options list its points."""
        out, outputs = self.out, self.source.outputs
        flat_from = {
            int(op.OutputsAsNumpy()[0]): int(op.InputsAsNumpy()[0])
            for op in self.source.operators
            if self.source.kind(op) == "RESHAPE"
        }
        mesh = out.reshape(self.name(outputs["output_mesh_identity"]), 1, 468, 3)
        planes, order, start = [out.slice(mesh, 0, 2, axis=2)], np.arange(478), 468
        mean_of_eye = np.zeros((1, 10, 468), np.float32)
        for part, slot in (("lips", 0), ("left_eye", 0), ("right_eye", 0), ("left_iris", 468), ("right_iris", 473)):
            points = flat_from[outputs[f"output_{part}"]]
            ids = self.grids[points]["subset_idxs"]
            if slot:
                mean_of_eye[0, slot - 468 : slot - 463, ids[:16]] = 1 / 16  # its first 16 are the eye's contour
                ids = range(slot, slot + 5)
            order[list(ids)] = range(start, start + len(ids))
            start += len(ids)
            planes.append(out.reshape(self.name(points), 1, len(ids), 2))
        depth = out.slice(mesh, 2, 3, axis=2)
        depth = out.node("Concat", [depth, out.node("MatMul", [out.constant(mean_of_eye), depth])], axis=1)
        plane = out.node("Gather", [out.node("Concat", planes, axis=1), out.ints(*order)], axis=1)
        return out.node("Concat", [plane, depth], axis=2)

    def finish(self, name: str) -> onnx.ModelProto:
        outputs = self.source.outputs
        if name == "face_mesh":
            presence = self.out.node("Sigmoid", [self.out.reshape(self.name(outputs["conv_faceflag"]), 1, 1)])
            results = {"points": (self.refined_points(), [1, 478, 3]), "presence": (presence, [1, 1])}
        elif name == "selfie_segmentation":
            (mask,) = outputs.values()
            results = {"mask": (self.out.reshape(self.name(mask), 1, *self.size), [1, *self.size])}
        else:
            boxes, logits = outputs.values()
            shape = self.source.shape(boxes)
            scores = self.out.reshape(self.out.node("Sigmoid", [self.name(logits)]), *shape[:2])
            results = {"boxes": (self.name(boxes), shape), "scores": (scores, shape[:2])}
        return self.out.model(name, [1, *self.size, 3], results)


def _options(operator: Any, name: str) -> Any:
    options, table = getattr(tflite, name)(), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def _pads(
    size: Sequence[int], window: Sequence[int], strides: Sequence[int], dilations: Sequence[int], padding: int
) -> list[int]:
    """TensorFlow's SAME or VALID as ONNX's (top, left, bottom, right)."""
    if padding == tflite.Padding.VALID:
        return [0, 0, 0, 0]
    total = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) for n, k, s, d in zip(size, window, strides, dilations)]
    return [n // 2 for n in total] + [n - n // 2 for n in total]
