"""Networks that look at faces: their features are compared by losses and, with another network, by metrics.

Ours are trained on synthetic heads only (``tasks/perceptual.py``): ``loss`` is a plain stack of convolutions as VGG is,
``metric`` a residual network, so that what is trained to please the one is judged by another. VGG-19 and others of our
own making load from a path.
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
SIDE = 128  # pixels, of pictures in which they learn people
_NETWORK = "eye"  # its name in the task, and so in the file
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Eye(nn.Module):
    """Images (B, 3, H, W) in −1…1 → feature maps, shallow first. ``names`` are the layers'."""

    names: tuple[str, ...]

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]: ...

    def pooled(self, images: Tensor) -> Tensor:
        """(B, D): the mean and the largest value of each of the deepest features."""
        deepest = self(images)[-1].float()
        return torch.cat([deepest.mean(dim=(2, 3)), deepest.amax(dim=(2, 3))], dim=1)


class Sighted(Eye):
    """One of ours: with an embedding of who is seen."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.embed = nn.Linear(2 * widths[-1], EMBEDDING)

    def embedding(self, images: Tensor) -> Tensor:
        """(B, 128) of length 1: its cosine says how alike two people look. Larger pictures are made smaller."""
        shorter = min(images.shape[2:])
        if shorter > SIDE:
            size = [round(side * SIDE / shorter) for side in images.shape[2:]]
            images = functional.interpolate(images, size=size, mode="area")
        return functional.normalize(self.embed(self.pooled(images)), dim=1)


class Plain(Sighted):
    """Five blocks of two convolutions, max-pooled between, as in VGG; layers relu1_1 … relu5_1. From the third block on
    maps are group-normalised, without which so few steps teach the deep ones nothing; the shallow ones keep seeing
    colour and light as they are."""

    names = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

    def __init__(self) -> None:
        widths = WIDTHS["plain"]
        super().__init__(widths)
        before = (3, *widths)
        self.first = nn.ModuleList(_layer(a, b, i >= 2) for i, (a, b) in enumerate(zip(before, widths)))
        self.second = nn.ModuleList(_layer(b, b, i >= 2) for i, b in enumerate(widths[:-1]))

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.first[0](images)]
        for second, first in zip(self.second, self.first[1:]):
            maps.append(first(functional.max_pool2d(second(maps[-1]), 2)))
        return maps


def _layer(before: int, after: int, normed: bool) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, *([nn.GroupNorm(8, after)] if normed else []), nn.ReLU())


class Residual(Sighted):
    """A strided stem and four stages of two residual blocks, group-normalised, SiLU; a layer after every stage."""

    names = ("stage1", "stage2", "stage3", "stage4")

    def __init__(self) -> None:
        widths = WIDTHS["residual"]
        super().__init__(widths)
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(_Block(a, b, 1 if i == 0 else 2), _Block(b, b))
            for i, (a, b) in enumerate(zip((widths[0], *widths), widths))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.stem(images)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return [functional.silu(m) for m in maps[1:]]


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, after, 3, stride, 1))
        self.two = nn.Sequential(nn.GroupNorm(8, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1))
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.two(self.one(x))


class VGG19(Eye):
    """VGG-19 (Simonyan and Zisserman 2015) up to relu5_1, its weights named as torchvision does."""

    names = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    _PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)
    _KEPT = (1, 6, 11, 20, 29)

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


def load(name: str | Path) -> Eye:
    """``loss`` or ``metric`` as shipped, or a safetensors file: one of ours, or VGG-19's. In evaluation mode, frozen.

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
            "bad_network", f"{path} is no perceptual network: {fault}.", "Give one of ours, or VGG-19's."
        ) from fault
    return network.eval().requires_grad_(False)


def _built(header: dict[str, str], tensors: dict[str, Tensor]) -> Eye:
    if "features.0.weight" in tensors:
        network = VGG19()
        network.load_state_dict({key: tensors[key] for key in network.state_dict()})
        return network
    if header.get("task") != "perceptual":
        raise ValueError("it says nothing of how it is built")
    network = KINDS[json.loads(header["options"])["kind"]]()
    network.load_state_dict({key.removeprefix(f"{_NETWORK}."): value for key, value in tensors.items()})
    return network
