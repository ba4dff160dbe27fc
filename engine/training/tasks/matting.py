"""Trains the matte of a person, hair and clothes included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.tracking.matting.network import Matte, MatteNetwork
from engine.tracking.network_matte import SIZE
from engine.training import augment, losses
from engine.training.batch import Batch
from engine.training.crops import Crops
from engine.training.curves import grid
from engine.training.recipe import Stage
from engine.training.task import Graph, Task

_ROLES = ("source", "driving")
_EDGE = 3  # pixels on each side of the edge that get a higher weight


@dataclass(frozen=True)
class Options:
    """Weights of the losses; ``edge`` is the additional weight of pixels at the edge of the person."""

    entropy: float = 1.0
    l1: float = 1.0
    gradient: float = 1.0
    edge: float = 4.0


class MattingTask(Task):
    """Uses both frames of every pair, each with its own framing: scaled, shifted, rotated, mirrored."""

    fields = frozenset(f"{role}_{label}" for role in _ROLES for label in ("image", "matte", "face"))
    Options = Options

    def build(self) -> None:
        self.net = self.add("matte", MatteNetwork())

    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        image, truth, there = _both(batch)
        size = image.shape[2]
        cut = _framings(len(image), image.device)
        image, truth = cut.cut(image + 1, size) - 1, cut.cut(truth, size)
        if torch.rand(()) < 0.5:
            image, truth = image.flip(3), truth.flip(3)
        logits = self.net(_seen_by_a_camera(image)).float()
        made, weight = torch.sigmoid(logits), there[:, None, None, None] * (1 + self.options.edge * _rim(truth))
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        given, total = self.options, weight.sum().clamp(min=1)
        return {
            "generator": {
                "entropy": given.entropy * (entropy * weight).sum() / total,
                "l1": given.l1 * ((made - truth).abs() * weight).sum() / total,
                "gradient": given.gradient * losses.gradient_l1(made * there[:, None, None, None], truth),
            }
        }

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        return {"matte": torch.sigmoid(self.net(_both(batch)[0]).float())}

    @torch.no_grad()
    def measure(self, batch: Batch) -> dict[str, float]:
        image, truth, there = _both(batch)
        return _errors(torch.sigmoid(self.net(image).float()), truth, there)

    def floor(self, batch: Batch) -> dict[str, float]:
        """A matte of ones."""
        _, truth, there = _both(batch)
        return _errors(torch.ones_like(truth), truth, there)

    def preview(self, batch: Batch) -> np.ndarray:
        image, truth, _ = _both(batch)
        made = self.predict(batch)["matte"]
        return grid([image, *(matte.expand(-1, 3, -1, -1) * 2 - 1 for matte in (made, truth))])

    def export(self, size: int) -> dict[str, Graph]:
        return {"frame": Graph(Matte(self.net), {"picture": torch.zeros(1, 3, SIZE, SIZE)}, ("matte",))}


def _both(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, mattes, and 1 where the matte is known: pictures without a face may show a person from behind."""
    image, matte, face = (
        torch.cat([batch[f"{role}_{name}"] for role in _ROLES]) for name in ("image", "matte", "face")
    )
    return image, matte, face


def _framings(count: int, device: torch.device) -> Crops:
    zoom = (torch.rand(count, device=device) * 1.2 - 0.8).exp()  # 0.45…1.5 of the picture
    centre = (torch.rand(count, 2, device=device) * 2 - 1) * (0.15 + (1 - zoom).abs() * 0.6)[:, None]
    return Crops(centre, zoom, 0.12 * torch.randn(count, device=device))


def _seen_by_a_camera(image: Tensor) -> Tensor:
    return augment.coded(augment.photometric(augment.resampled(image), 0.8))


def _rim(truth: Tensor) -> Tensor:
    """1 near edges of the mattes (B, 1, S, S), else 0."""
    side = 2 * _EDGE + 1
    high = functional.max_pool2d(truth, side, 1, _EDGE)
    return ((high + functional.max_pool2d(-truth, side, 1, _EDGE)) > 0.5).float()


def _errors(made: Tensor, truth: Tensor, there: Tensor) -> dict[str, float]:
    """``iou_miss``: 1 − IoU at the threshold ½; ``edge``: mean |difference| near the edge."""
    rim = _rim(truth) * there[:, None, None, None]
    a, b = made > 0.5, truth > 0.5
    either = (a | b).sum((1, 2, 3)).clamp(min=1)
    miss = 1 - (a & b).sum((1, 2, 3)) / either
    return {
        "iou_miss": float((miss * there).sum() / there.sum().clamp(min=1)),
        "edge": float(((made - truth).abs() * rim).sum() / rim.sum().clamp(min=1)),
    }
