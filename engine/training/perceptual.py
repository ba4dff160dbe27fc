"""Perceptual networks: losses compare the features of one, metrics those of another.

Ours are trained on rendered heads only (``tasks/perceptual.py``). ``loss`` is a plain stack of convolutions like VGG,
``metric`` a residual network, so that metrics do not use the network that training has optimised for. VGG-19 and
further networks of ours load from a path.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from engine import weights
from engine.errors import EngineError

SHIPPED = {"loss": "perceptual_loss.safetensors", "metric": "perceptual_metric.safetensors"}
WIDTHS = {"plain": (24, 48, 96, 160, 224), "residual": (32, 64, 128, 192)}
EMBEDDING = 128
SIDE = 128  # pixels of the pictures that the embedding is trained on
_NETWORK = "eye"  # the prefix of its tensors in a file
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class FeatureNetwork(nn.Module):
    """Images (B, 3, H, W) in −1…1 → feature maps, shallow first; ``names`` are the layers'."""

    names: tuple[str, ...]

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]: ...

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 2 C): mean and maximum of each of the deepest layer's C features."""
        return pool(self(images)[-1])


def pool(maps: Tensor) -> Tensor:
    """Features (B, C, H, W) → their means and maxima (B, 2 C)."""
    maps = maps.float()
    return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class FaceNetwork(FeatureNetwork):
    """A network of ours, which also has an embedding of the person."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.embed = nn.Linear(2 * widths[-1], EMBEDDING)

    def embedding(self, images: Tensor) -> Tensor:
        """(B, 128) of length 1; the cosine of two tells how alike two people look. Larger images are reduced to SIDE,
        the size it was trained at."""
        shorter = min(images.shape[2:])
        if shorter > SIDE:
            size = [round(side * SIDE / shorter) for side in images.shape[2:]]
            images = functional.interpolate(images, size=size, mode="area")
        return functional.normalize(self.embed(self.pooled(images)), dim=1)


class Plain(FaceNetwork):
    """Blocks of two convolutions with max-pooling between, as in VGG (Simonyan and Zisserman 2015), but narrower; its
    layers are relu1_1 … relu5_1, so the fifth block has one convolution.

    From the third block on there is group normalisation (Wu and He 2018): the few training steps do not reach the deep
    layers without it. The shallow ones go without, so that they keep colour and brightness.
    """

    names = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

    def __init__(self) -> None:
        widths = WIDTHS["plain"]
        super().__init__(widths)
        before = (3, *widths)
        self.first = nn.ModuleList(_layer(a, b, i >= 2) for i, (a, b) in enumerate(zip(before, widths)))
        self.second = nn.ModuleList(_layer(b, b, i >= 2) for i, b in enumerate(widths[:-1]))

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.first[0](images)]  # (B, 24, H, W)
        for second, first in zip(self.second, self.first[1:]):
            maps.append(first(functional.max_pool2d(second(maps[-1]), 2)))
        return maps  # … (B, 48, H/2, W/2), (B, 96, H/4, W/4), (B, 160, H/8, W/8), (B, 224, H/16, W/16)


def _layer(before: int, after: int, normed: bool) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, *([nn.GroupNorm(8, after)] if normed else []), nn.ReLU())


class Residual(FaceNetwork):
    """A strided stem and four stages of two pre-activation residual blocks; each stage is a layer."""

    names = ("stage1", "stage2", "stage3", "stage4")

    def __init__(self) -> None:
        widths = WIDTHS["residual"]
        super().__init__(widths)
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(a, b, 1 if i == 0 else 2), ResidualBlock(b, b))
            for i, (a, b) in enumerate(zip((widths[0], *widths), widths))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)  # (B, 32, H/2, W/2)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(functional.silu(x))
        return maps  # (B, 32, H/2, W/2), (B, 64, H/4, W/4), (B, 128, H/8, W/8), (B, 192, H/16, W/16)


class ResidualBlock(nn.Module):
    """Full pre-activation (He et al. 2016, "Identity mappings in deep residual networks", figure 4e), with group
    normalisation and SiLU."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, after, 3, stride, 1))
        self.two = nn.Sequential(nn.GroupNorm(8, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1))
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.two(self.one(x))


class VGG19(FeatureNetwork):
    """VGG-19 (Simonyan and Zisserman 2015) up to relu5_1, with torchvision's names of weights."""

    names = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    # Output channels of the convolutions; 0 is max-pooling.
    _PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)
    _KEPT = (1, 6, 11, 20, 29)  # indices of those five layers

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in self._PLAN:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            before = width or before
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        mean, deviation = (images.new_tensor(numbers)[:, None, None] for numbers in _IMAGENET)
        x, maps = ((images + 1) / 2 - mean) / deviation, []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self._KEPT:
                maps.append(x)
        return maps


KINDS = {"plain": Plain, "residual": Residual}


def load(name: str | Path) -> FeatureNetwork:
    """The shipped ``loss`` or ``metric`` network, or one from a safetensors file, ours or VGG-19; frozen, in evaluation
    mode.

    Raises EngineError ``missing_network`` or ``bad_network``.
    """
    path = weights.FOLDER / SHIPPED[str(name)] if str(name) in SHIPPED else Path(name)
    if not path.is_file():
        raise EngineError(
            "missing_network",
            f"There is no perceptual network {path}.",
            f"Train it with `python -m engine train run perceptual_{name}` and export it, or give a safetensors file.",
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}
        network = _built(header, tensors)
    except (OSError, LookupError, ValueError, RuntimeError, SafetensorError) as fault:
        raise EngineError(
            "bad_network", f"{path} is not a perceptual network: {fault}.", "Give one of ours, or VGG-19's."
        ) from fault
    return network.eval().requires_grad_(False)


def _built(header: dict[str, str], tensors: dict[str, Tensor]) -> FeatureNetwork:
    if "features.0.weight" in tensors:
        network = VGG19()
        network.load_state_dict({key: tensors[key] for key in network.state_dict()})
        return network
    if header.get("task") != "perceptual":
        raise ValueError("its header does not name the task 'perceptual'")
    network = KINDS[json.loads(header["options"])["kind"]]()
    network.load_state_dict({key.removeprefix(f"{_NETWORK}."): value for key, value in tensors.items()})
    return network
