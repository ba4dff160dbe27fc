"""Extractors that are networks. torch and onnxruntime are imported on use, so that all else works without them.

LPIPS reads safetensors with the tensor names of torchvision's AlexNet or VGG-16 (``features.0.weight`` …) and of the
``lpips`` package's heads (``lin0.model.1.weight`` …). FID and CSIM read ONNX files: one input, NCHW float32 RGB, one
output of features per picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.errors import EngineError
from engine.evaluation.extractors.landmarks import Landmarker, similarity
from engine.evaluation.picture import Extractor, Picture
from engine.tracking.detector import Observation

if TYPE_CHECKING:
    import torch
    from torch import nn

    from engine.training import perceptual

# LPIPS' layers: max pooling (kernel, stride) or None, then convolutions (number in torchvision's `features`, stride,
# padding).
_Block = tuple[tuple[int, int] | None, tuple[tuple[int, int, int], ...]]
_ALEXNET: tuple[_Block, ...] = (
    (None, ((0, 4, 2),)),
    ((3, 2), ((3, 1, 2),)),
    ((3, 2), ((6, 1, 1),)),
    (None, ((8, 1, 1),)),
    (None, ((10, 1, 1),)),
)
_VGG16: tuple[_Block, ...] = (
    (None, ((0, 1, 1), (2, 1, 1))),
    ((2, 2), ((5, 1, 1), (7, 1, 1))),
    ((2, 2), ((10, 1, 1), (12, 1, 1), (14, 1, 1))),
    ((2, 2), ((17, 1, 1), (19, 1, 1), (21, 1, 1))),
    ((2, 2), ((24, 1, 1), (26, 1, 1), (28, 1, 1))),
)
# LPIPS' own normalisation of pictures in −1…1.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# Where ArcFace expects eyes, tip of the nose and corners of the mouth in its 112×112 pictures (insightface).
ARCFACE_POINTS = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)


class Lpips(Extractor):
    """LPIPS v0.1's backbone; ``heads`` are its linear weights (C,) of the five layers."""

    def __init__(self, path: Path) -> None:
        """Raises EngineError ``metric_weights`` when the file is not a backbone with heads."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        self.path = path
        try:
            tensors = {name: tensor.float() for name, tensor in load_file(str(path)).items()}
            # AlexNet's second convolution is its number 3, VGG's is number 2.
            self._blocks = _VGG16 if "features.2.weight" in tensors else _ALEXNET
            self.name = "LPIPS (VGG)" if self._blocks is _VGG16 else "LPIPS"
            self._weights = {
                number: (tensors[f"features.{number}.weight"], tensors[f"features.{number}.bias"])
                for _, convolutions in self._blocks
                for number, _, _ in convolutions
            }
            self.heads = [tensors[f"lin{k}.model.1.weight"].numpy().reshape(-1) for k in range(len(self._blocks))]
            self._shift, self._scale = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (_SHIFT, _SCALE))
            for layer, head in zip(self(Picture(np.zeros((64, 64, 3), np.uint8))), self.heads, strict=True):
                if len(layer) != len(head):
                    raise ValueError("its heads do not fit its layers")
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as fault:
            raise EngineError(
                "metric_weights",
                f"{path} does not hold LPIPS' networks ({fault}).",
                "Give a safetensors file with torchvision's AlexNet or VGG-16 and LPIPS' linear heads.",
            ) from fault

    def __call__(self, picture: Picture) -> list[np.ndarray]:
        import torch
        from torch.nn import functional

        with torch.inference_mode():
            x = (batch(picture.small) * 2 - 1 - self._shift) / self._scale
            layers = []
            for pool, convolutions in self._blocks:
                if pool is not None:
                    x = functional.max_pool2d(x, *pool)
                for number, stride, padding in convolutions:
                    x = functional.relu(functional.conv2d(x, *self._weights[number], stride=stride, padding=padding))
                layers.append(x[0].numpy())
        return layers


class Inception(Extractor):
    """The pool features of FID's Inception-v3; whole pictures are resized to 299×299, once, as clean-fid does; values
    stay 0…255."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._network = OnnxFile(path)

    def __call__(self, picture: Picture) -> np.ndarray:
        from torch.nn import functional

        x = batch(picture.rgb) * 255
        # Bicubic with its kernel widened, as PIL does and clean-fid requires.
        x = functional.interpolate(x, (299, 299), mode="bicubic", align_corners=False, antialias=True)
        return self._network(x.numpy())


class ArcFace(Extractor):
    """The embedding of the aligned face, None without one; input (x − 127.5) / 127.5 at 112×112, as insightface."""

    def __init__(self, path: Path, landmarker: Landmarker) -> None:
        self.path = path
        self._network = OnnxFile(path)
        self._landmarker = landmarker

    def __call__(self, picture: Picture) -> np.ndarray | None:
        seen: Observation | None = picture.extract(self._landmarker)
        if seen is None:
            return None
        face = cv2.warpAffine(picture.rgb, similarity(_five(seen.landmarks68), ARCFACE_POINTS), (112, 112))
        return self._network((face.astype(np.float32).transpose(2, 0, 1)[None] - 127.5) / 127.5)


class MetricNet:
    """Our own network for metrics, not the one used by losses, as three extractors.

    ``layers`` gives its layer features and ``pooled`` the mean and maximum (D,) of the deepest, both of whole pictures.
    ``embedding`` gives a unit vector (D,) of who is visible in what ``head`` cuts out, None without a head. It was
    trained on heads framed as in the studio, so it needs that framing.
    """

    def __init__(self, head: Extractor, path: Path | None = None) -> None:
        """The shipped one, or a file; raises EngineError ``missing_package``, ``missing_network``, ``bad_network``."""
        try:
            from engine.training import perceptual
        except ImportError as fault:
            raise EngineError(
                "missing_package", f"torch cannot be imported ({fault}).", "Use the training environment."
            ) from fault
        network = perceptual.load(path or "metric")
        self.layers: Extractor = _Layers(network)
        self.pooled: Extractor = _Pooled(self.layers)
        self.embedding: Extractor | None = None
        if isinstance(network, perceptual.FaceNetwork):
            self.embedding = _Embedding(network, head)


class _Layers(Extractor):
    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(self, picture: Picture) -> list[np.ndarray]:
        import torch

        with torch.inference_mode():
            return [layer[0].float().numpy() for layer in self._network(batch(picture.small) * 2 - 1)]


class _Pooled(Extractor):
    def __init__(self, layers: Extractor) -> None:
        self._layers = layers

    def __call__(self, picture: Picture) -> np.ndarray:
        deepest = picture.extract(self._layers)[-1]
        return np.concatenate([deepest.mean(axis=(1, 2)), deepest.max(axis=(1, 2))])


class _Embedding(Extractor):
    def __init__(self, network: perceptual.FaceNetwork, head: Extractor) -> None:
        self._network, self._head = network, head

    def __call__(self, picture: Picture) -> np.ndarray | None:
        import torch

        head: np.ndarray | None = picture.extract(self._head)
        if head is None:
            return None
        with torch.inference_mode():
            return self._network.embedding(batch(head) * 2 - 1)[0].numpy()


class OnnxFile:
    """A network in a file: (1, 3, H, W) float32 → (D,) float32."""

    def __init__(self, path: Path) -> None:
        """Raises EngineError ``missing_package`` or ``metric_weights``."""
        try:
            import onnxruntime
        except ImportError as fault:
            raise EngineError(
                "missing_package",
                f"onnxruntime cannot be imported ({fault}).",
                "Leave out the metrics from ONNX files.",
            ) from fault
        self._path = path
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0].name
        except Exception as fault:  # onnxruntime's own errors have no common base
            raise EngineError(
                "metric_weights", f"{path} is not a network that can be run ({fault}).", "Give an ONNX file."
            ) from fault

    def __call__(self, x: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(self._session.run(None, {self._input: x})[0], np.float32).reshape(-1)
        except Exception as fault:
            raise EngineError(
                "metric_weights",
                f"{self._path} does not take a picture of shape {x.shape} ({fault}).",
                "Give a network for this metric.",
            ) from fault


def batch(rgb: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 → (1, 3, H, W) float32 in 0…1."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255


def _five(landmarks68: np.ndarray) -> np.ndarray:
    eyes = landmarks68[36:42].mean(axis=0), landmarks68[42:48].mean(axis=0)
    return np.array([*eyes, landmarks68[30], landmarks68[48], landmarks68[54]])
