"""Trains the perceptual networks on several labels at once: person, expression, rotation, landmarks, parsing.

Colour and light vary strongly, so that features describe faces rather than pictures. Parsing is predicted from layers
of all depths, because losses use features of every depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.face import model as face_model
from engine.geometry.fields import to_pixels
from engine.training import augment, losses
from engine.training.batch import Batch
from engine.training.curves import grid
from engine.training.perceptual import KINDS, WIDTHS, pool
from engine.training.recipe import Stage
from engine.training.studio.stage.scene import Parsing
from engine.training.task import Task

_LABELS = ("image", "face", "expression", "rotation", "landmarks68", "parsing", "person")
_SURROUNDINGS = (Parsing.BACKGROUND, Parsing.CLOTH)  # the same in both pictures of a pair, whoever the person is
_PLACES = 8  # side of the feature grid that landmarks are read from


@dataclass(frozen=True)
class Options:
    """``identity`` is the weight of the contrastive loss between the people of a step, at ``temperature``;
    ``surroundings`` how often background and clothes are replaced, so that they do not identify people; ``strength`` of
    the changes of colour and light."""

    kind: str = "plain"
    identity: float = 1.0
    temperature: float = 0.1
    surroundings: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r} and should be one of {', '.join(KINDS)}")
        if self.temperature <= 0:
            raise ValueError("temperature should be more than 0")


class Heads(nn.Module):
    """Predictions from the features; needed in training only. Parts are refined from deep to shallow layers, as in a
    feature pyramid (Lin et al. 2017)."""

    def __init__(self, widths: tuple[int, ...], expressions: int) -> None:
        super().__init__()
        deepest = widths[-1]
        self.expression = nn.Linear(2 * deepest, expressions)
        self.rotation = nn.Linear(2 * deepest, 6)
        self.landmarks = nn.Linear(32 * _PLACES**2, 2 * 68)
        self.lateral = nn.ModuleList(nn.Conv2d(width, 32, 1) for width in widths)
        self.parsing = nn.Conv2d(32, len(Parsing), 3, padding=1)

    def forward(self, maps: list[Tensor], pooled: Tensor) -> dict[str, Tensor]:
        parts = self.lateral[-1](maps[-1])
        coarse = []  # (B, 32, h, w) each, from the second deepest layer to the shallowest
        for lateral, shallower in zip(reversed(self.lateral[:-1]), reversed(maps[:-1])):
            parts = lateral(shallower) + functional.interpolate(parts, size=shallower.shape[2:])
            coarse.append(parts)
        places = functional.adaptive_avg_pool2d(functional.relu(coarse[1]), _PLACES).flatten(1)
        return {
            "expression": self.expression(pooled).float(),
            "rotation": rotation(self.rotation(pooled).float()),
            "landmarks": self.landmarks(places).float().unflatten(1, (68, 2)),
            "parsing": self.parsing(parts).float(),
        }


def rotation(six: Tensor) -> Tensor:
    """Six numbers, added to the first two columns of the identity → (B, 3, 3) by Gram-Schmidt (Zhou et al. 2019)."""
    x = functional.normalize(six[:, :3] + six.new_tensor([1.0, 0, 0]), dim=1)
    y = six[:, 3:] + six.new_tensor([0, 1.0, 0])
    y = functional.normalize(y - (x * y).sum(1, keepdim=True) * x, dim=1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)


def contrast(embedding: Tensor, person: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) of embeddings (B, D) of people numbered ``person`` (B,);
    pictures without another one of the same person do not count."""
    alone = torch.eye(len(person), dtype=torch.bool, device=person.device)
    likeness = (embedding.float() @ embedding.float().T / temperature).masked_fill(alone, -1e4)
    same = ((person[:, None] == person) & ~alone).float()
    others = same.sum(1)
    found = (functional.log_softmax(likeness, dim=1) * same).sum(1) / others.clamp(min=1)
    return -found.sum() / (others > 0).sum().clamp(min=1)


class Perceptual(Task):
    fields = frozenset(f"{role}_{label}" for role in ("source", "driving") for label in _LABELS)
    Options = Options

    def build(self) -> None:
        options = self.options
        expressions = len(face_model.load().expression)
        self.network = self.add("eye", KINDS[options.kind]())
        self.heads = self.add("heads", Heads(WIDTHS[options.kind], expressions), ships=False)

    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        truth = _both(batch)
        truth = self._without_surroundings(truth)
        seen = augment.hidden(augment.photometric(truth["image"], self.options.strength))
        said, embedding = self._look(seen)
        return {
            "generator": {
                "identity": self.options.identity * contrast(embedding, truth["person"], self.options.temperature),
                # Squared: most weights are 0, so an absolute error would only teach zeros.
                "expression": 4 * (said["expression"] - truth["expression"]).square().mean(),
                "rotation": 2 * (said["rotation"] - truth["rotation"]).abs().mean(),
                "landmarks": 10 * losses.wing(said["landmarks"], truth["landmarks68"]),
                "parsing": functional.cross_entropy(said["parsing"], _at(truth["parsing"], said["parsing"])),
            }
        }

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        said, embedding = self._look(_both(batch)["image"])
        return {**said, "embedding": embedding}

    def measure(self, batch: Batch) -> dict[str, float]:
        said = self.predict(batch)
        return _errors(said, _both(batch)) | {"verification_eer": _eer(said["embedding"], _both(batch)["person"])}

    def floor(self, batch: Batch) -> dict[str, float]:
        """The mean of the labels, the commonest class everywhere, and chance for the person."""
        truth = _both(batch)
        count = len(truth["image"])
        commonest = functional.one_hot(truth["parsing"].flatten().mode().values, len(Parsing)).float()
        mean = functional.normalize(truth["rotation"].mean(0)[:, :2], dim=0).T.reshape(1, 6)
        constant = {
            "expression": truth["expression"].mean(0, keepdim=True),
            "rotation": rotation(mean - mean.new_tensor([1.0, 0, 0, 0, 1.0, 0])),
            "landmarks": truth["landmarks68"].mean(0, keepdim=True),
            "parsing": commonest[:, None, None].expand(-1, *truth["parsing"].shape[1:])[None],
        }
        same = {name: value.expand(count, *value.shape[1:]) for name, value in constant.items()}
        return _errors(same, truth) | {"verification_eer": 0.5}

    def preview(self, batch: Batch) -> np.ndarray:
        truth, said = _both(batch), self.predict(batch)
        pale = truth["image"] * 0.5
        return grid(
            [
                truth["image"],
                _dotted(pale, truth["landmarks68"], 1.0),
                _dotted(pale, said["landmarks"], 1.0),
                _coloured(truth["parsing"]),
                functional.interpolate(_coloured(said["parsing"].argmax(1)), size=pale.shape[2:]),
            ]
        )

    def _without_surroundings(self, truth: Batch) -> Batch:
        """Some pictures with blotches of colour in place of background and clothes, and their parsing to match."""
        if not self.options.surroundings:
            return truth
        away = torch.stack([truth["parsing"] == part for part in _SURROUNDINGS]).any(0)[:, None]
        away = away & (torch.rand(len(away), 1, 1, 1, device=away.device) < self.options.surroundings)
        parsing = truth["parsing"].masked_fill(away[:, 0], Parsing.BACKGROUND)
        return {**truth, "image": augment.blotched(truth["image"], away), "parsing": parsing}

    def _look(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        maps = self.network(images)
        pooled = pool(maps[-1])
        return self.heads(maps, pooled), functional.normalize(self.network.embed(pooled).float(), dim=1)


def _both(batch: Batch) -> Batch:
    """Source and driving pictures as one batch, without pictures that show no face."""
    both = {label: torch.cat([batch[f"source_{label}"], batch[f"driving_{label}"]]) for label in _LABELS}
    return {label: values[both["face"] > 0.5] for label, values in both.items()}


def _at(parsing: Tensor, like: Tensor) -> Tensor:
    """Classes (B, S, S) sampled at the pixels of ``like`` (B, C, h, w)."""
    stride = parsing.shape[1] // like.shape[2]
    return parsing[:, stride // 2 :: stride, stride // 2 :: stride]


def _errors(said: dict[str, Tensor], truth: Batch) -> dict[str, float]:
    """``expression_rms``: root of the mean squared difference of weights; ``pose_deg``: angle between rotations;
    ``landmark_px``: distance at 256 px; ``parsing``: share of pixels with another class."""
    trace = (said["rotation"] * truth["rotation"]).sum(dim=(1, 2))
    angle = torch.acos(((trace - 1) / 2).clamp(-1, 1)).mean() * 180 / math.pi
    distance = (to_pixels(said["landmarks"], 256) - to_pixels(truth["landmarks68"], 256)).norm(dim=2).mean()
    wrong = said["parsing"].argmax(1) != _at(truth["parsing"], said["parsing"])
    return {
        "expression_rms": float((said["expression"] - truth["expression"]).square().mean().sqrt()),
        "pose_deg": float(angle),
        "landmark_px": float(distance),
        "parsing": float(wrong.float().mean()),
    }


def _eer(embedding: Tensor, person: Tensor) -> float:
    """Equal error rate of verification: do two pictures of the batch show one person? Scored by the cosine."""
    one, other = torch.triu_indices(len(person), len(person), 1, device=person.device)
    cosine = (embedding[one] * embedding[other]).sum(1)
    same = person[one] == person[other]
    if not same.any() or same.all():
        return 0.5
    order = cosine.argsort(descending=True)
    hits = same[order].float().cumsum(0) / same.sum()
    alarms = (~same[order]).float().cumsum(0) / (~same).sum()
    crossing = (alarms - (1 - hits)).abs().argmin()
    return float((alarms[crossing] + 1 - hits[crossing]) / 2)


def _dotted(images: Tensor, points: Tensor, value: float) -> Tensor:
    images, size = images.clone(), images.shape[2]
    x, y = to_pixels(points, size).floor().long().clamp(0, size - 1).unbind(2)
    for image, across, down in zip(images, x, y):
        image[:, down, across] = value
    return images


def _coloured(parsing: Tensor) -> Tensor:
    """Classes (B, h, w) → (B, 3, h, w) in −1…1; classes next in number get different colours."""
    number = parsing[:, None].float()
    return torch.cat([torch.sin(number * step) for step in (2.4, 1.3, 0.7)], dim=1)
