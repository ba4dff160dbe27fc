"""The smallest reenactor: a flow that moves a portrait's landmarks to the driver's. An example to read.

It trains in minutes and does not ship. Input of a small U-Net are the portrait and a dense field of landmark motion;
its output is a flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.training import losses
from engine.training.batch import Batch, identity_grid, warp
from engine.training.curves import grid
from engine.training.recipe import Stage
from engine.training.task import Graph, Task

_REACH = 0.12  # standard deviation of a landmark's influence on the grid: a sixteenth of the picture


@dataclass(frozen=True)
class Options:
    width: int = 24

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width should be 1 or more")


class Warp(nn.Module):
    """Portrait (B, 3, S, S) and field of landmark motion (B, 3, S/4, S/4) → flow (B, 2, S, S) on the grid. The output
    layer is zero-initialised: training starts from no motion, the floor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.fine = _block(width + 3, width)
        self.down = _block(width, 2 * width, stride=2)
        self.deep = nn.Sequential(_block(2 * width, 2 * width), _block(2 * width, 2 * width))
        self.join = _block(3 * width, 2 * width)
        self.out = nn.Conv2d(2 * width, 2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, portrait: Tensor, field: Tensor) -> Tensor:
        fine = self.fine(torch.cat([self.look(portrait), field], dim=1))
        deep = functional.interpolate(self.deep(self.down(fine)), scale_factor=2.0)
        flow = self.out(self.join(torch.cat([fine, deep], dim=1)))
        return functional.interpolate(flow.float(), scale_factor=4.0, mode="bilinear", align_corners=False)


def _block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(4, after), nn.LeakyReLU(0.2))


def moved(source: Tensor, driving: Tensor, size: int) -> Tensor:
    """Landmarks (B, 68, 2) of both, on the grid → (B, 3, size, size): for each pixel of the driving picture the offset
    to the source, averaged over nearby landmarks, and their total weight."""
    places = identity_grid(size, size, source).reshape(1, -1, 1, 2)
    weight = torch.exp(-(places - driving[:, None]).square().sum(3) / (2 * _REACH**2))  # (B, size², 68)
    total = weight.sum(2, keepdim=True)
    offset = weight @ (source - driving) / (total + 1e-3)
    return torch.cat([offset, total / (total + 1)], dim=2).transpose(1, 2).unflatten(2, (size, size))


class Toy(Task):
    fields = frozenset(
        {"source_image", "driving_image", "source_landmarks68", "driving_landmarks68", "flow", "flow_visible"}
    )
    Options = Options

    def build(self) -> None:
        self.net = self.add("warp", Warp(self.options.width))

    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        flow = self._flow(batch)
        drawn = warp(batch["source_image"], flow)
        return {
            "generator": {
                "flow": 10 * losses.flow(flow, batch["flow"], batch["flow_visible"]),
                "laplacian": losses.laplacian_l1(drawn, batch["driving_image"], 3, batch["flow_visible"]),
            }
        }

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        flow = self._flow(batch)
        return {"image": warp(batch["source_image"], flow), "flow": flow}

    def measure(self, batch: Batch) -> dict[str, float]:
        made = self.predict(batch)
        return _errors(batch, made["image"], made["flow"])

    def floor(self, batch: Batch) -> dict[str, float]:
        return _errors(batch, batch["source_image"], torch.zeros_like(batch["flow"]))

    def preview(self, batch: Batch) -> np.ndarray:
        return grid([batch["source_image"], batch["driving_image"], self.predict(batch)["image"]])

    def export(self, size: int) -> dict[str, Graph]:
        picture, points = torch.zeros(1, 3, size, size), torch.zeros(1, 3, size // 4, size // 4)
        return {"frame": Graph(self.net, {"portrait": picture, "moved": points}, ("flow",))}

    def _flow(self, batch: Batch) -> Tensor:
        portrait = batch["source_image"]
        field = moved(batch["source_landmarks68"], batch["driving_landmarks68"], portrait.shape[2] // 4)
        return self.net(portrait, field)


def _errors(batch: Batch, image: Tensor, flow: Tensor) -> dict[str, float]:
    """Where both pictures show the same surface: ``seen_l1``, mean |difference| of images in 0…1, and ``flow_px``, mean
    |difference| of flows per axis at 256 px."""
    return {
        "seen_l1": float(losses.l1(image, batch["driving_image"], batch["flow_visible"])) / 2,
        "flow_px": float(losses.flow(flow, batch["flow"], batch["flow_visible"])) * 255 / 2,
    }
