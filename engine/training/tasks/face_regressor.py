"""Trains the face regressor: a crop → landmarks, pose, expression, gaze, confidence and matte."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.face import model as face_model
from engine.face.maths import rotation_from_vector
from engine.tracking.regressor.layout import DENSE, LANDMARKS68, MARGIN, OUTPUTS, POINTS, SIZE
from engine.tracking.regressor.network import FaceRegressor, rotation, upright
from engine.training import augment, crops, losses
from engine.training.batch import Batch
from engine.training.crops import Crops
from engine.training.curves import grid
from engine.training.irises import Irises
from engine.training.recipe import Stage
from engine.training.studio.randomness import draws
from engine.training.task import Graph, Task

ROLES = ("source", "driving")
_LABELS = (
    *("image", "matte", "face", "landmarks68", "visible68", "dense", "dense_visible"),
    *("identity", "expression", "gaze", "rotation", "translation", "focal"),
)
_HIDDEN = 0.3  # weight of a hidden point
_HEADS, _AXES = 800, 160  # random heads of the face model, and principal axes kept of them
_DISTANCE = 60.0  # cm between the camera and the mean face


@dataclass(frozen=True)
class Options:
    """Weights of the losses."""

    points: float = 10.0
    coarse: float = 3.0
    pose: float = 0.3
    expression: float = 30.0
    gaze: float = 4.0
    confidence: float = 1.0
    matte: float = 1.0


class FaceRegressorTask(Task):
    """Uses both frames of every pair, each in a random crop."""

    fields = frozenset(f"{role}_{label}" for role in ROLES for label in _LABELS)
    Options = Options

    def build(self) -> None:
        expressions = len(face_model.load().expression_names)
        self.net = self.add("face", FaceRegressor(torch.from_numpy(mean_points()), expressions, *face_axes()))
        self.irises = Irises()
        weight = torch.ones(POINTS)
        weight[36:LANDMARKS68] = 2.0  # eyes and lips
        weight[LANDMARKS68 + DENSE :] = 2.0
        self.weight = weight

    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        truth = self._cut(batch, *self._random_crops(batch))
        made = self._answers(_seen_by_a_camera(truth["crop"]))
        weight, there = truth["weight"], truth["there"]
        given = self.options
        return {
            "generator": {
                "points": given.points * losses.wing(_points(made), truth["points"], weight),
                "depth": given.points
                * 0.2
                * losses.wing(made["dense"][..., 2:], truth["depth"], there[:, None].expand(-1, DENSE)),
                "coarse": given.coarse * losses.wing(made["coarse"][..., :2], truth["points"], weight),
                "pose": given.pose * _mean((rotation(made["pose"]) - truth["rotation"]).square().sum((1, 2)), there),
                # Cross-entropy: most weights are near 0, where the squared error of a sigmoid has no gradient.
                "expression": given.expression
                * _mean(_entropy(made["expression"], truth["expression"]).mean(1), there),
                "gaze": given.gaze * _mean((made["gaze"] - truth["gaze"]).abs().mean((1, 2)), there),
                "confidence": given.confidence * _confidence_loss(made["confidence"][:, 0], truth["verdict"]),
                "matte": given.matte * _matte_loss(made["matte"], truth["matte"]),
            }
        }

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        truth = self._cut(batch, *self._ideal_crops(batch))
        made = self._answers(truth["crop"])
        return {name: made[name] for name in ("landmarks68", "matte", "expression")}

    @torch.no_grad()
    def measure(self, batch: Batch) -> dict[str, float]:
        truth = self._cut(batch, *self._ideal_crops(batch))
        made = self._answers(truth["crop"])
        return self._errors(made, truth)

    def floor(self, batch: Batch) -> dict[str, float]:
        """The mean face in the ideal crop, looking ahead, and a matte of ones."""
        truth = self._cut(batch, *self._ideal_crops(batch))
        count, device = len(truth["crop"]), truth["crop"].device
        points = torch.from_numpy(mean_points()).to(device).expand(count, -1, -1)
        six = torch.tensor([1.0, 0, 0, 0, 1, 0], device=device).expand(count, -1)
        made = {
            "landmarks68": points[:, :LANDMARKS68, :2],
            "dense": points[:, LANDMARKS68 : LANDMARKS68 + DENSE],
            "iris": points[:, LANDMARKS68 + DENSE :, :2].reshape(-1, 2, 5, 2),
            "pose": six,
            "expression": torch.zeros_like(truth["expression"]),
            "gaze": torch.zeros_like(truth["gaze"]),
            "confidence": torch.full((count, 1), 0.5, device=device),
            "matte": torch.ones_like(truth["matte"]),
        }
        return self._errors(made, truth)

    def preview(self, batch: Batch) -> np.ndarray:
        truth = self._cut(batch, *self._ideal_crops(batch))
        with torch.no_grad():
            made = self._answers(truth["crop"])
        rows = [truth["crop"], truth["crop"].clone(), made["matte"].expand(-1, 3, -1, -1) * 2 - 1]
        for picture, points in zip(rows[1], made["landmarks68"]):
            x, y = ((points + 1) / 2 * (SIZE - 1)).round().long().clamp(0, SIZE - 1).T
            picture[:, y, x] = picture.new_tensor([-1.0, 1.0, -1.0])[:, None]
        return grid(rows)

    def export(self, size: int) -> dict[str, Graph]:
        return {"frame": Graph(self.net, {"crop": torch.zeros(1, 3, SIZE, SIZE)}, OUTPUTS)}

    def _answers(self, crop: Tensor) -> dict[str, Tensor]:
        names: list[str] = [*OUTPUTS, "coarse"]  # the last only while it trains
        return dict(zip(names, self.net(crop.contiguous(memory_format=torch.channels_last))))

    def _random_crops(self, batch: Batch) -> tuple[Crops, Tensor]:
        return crops.sample(_both(batch, "dense"), _both(batch, "face"))

    def _ideal_crops(self, batch: Batch) -> tuple[Crops, Tensor]:
        """The crop of a tracked face; the middle of a picture without a face."""
        face = _both(batch, "face")
        centre, half = crops.ideal(_both(batch, "dense"))
        half = torch.where(face > 0.5, half, torch.full_like(half, 0.7))
        return Crops(centre, half, torch.zeros_like(half)), face

    def _cut(self, batch: Batch, cut: Crops, verdict: Tensor) -> dict[str, Tensor]:
        """The crops and their labels. ``there`` (B,): 1 if the labels of the face count."""
        image = _both(batch, "image")
        size = image.shape[2]
        iris = torch.cat([self.irises(batch, role, size) for role in ROLES])
        dense = cut.into(_both(batch, "dense"))
        there = (verdict > 0.5).float()
        points = torch.cat([cut.into(_both(batch, "landmarks68")), dense[..., :2], cut.into(iris.flatten(1, 2))], dim=1)
        seen = torch.cat(
            [_both(batch, "visible68"), _both(batch, "dense_visible"), torch.ones_like(iris[..., 0]).flatten(1)], 1
        )
        inside = (points.abs() < 1.1).all(dim=2)
        return {
            "crop": cut.cut(image + 1, SIZE) - 1,
            "matte": cut.cut(_both(batch, "matte"), SIZE),
            "points": points,
            "depth": dense[..., 2:],
            "weight": (_HIDDEN + (1 - _HIDDEN) * seen) * inside * self.weight.to(points.device) * there[:, None],
            "rotation": crops.rotation_seen(_both(batch, "rotation"), _both(batch, "translation"), cut),
            "expression": _both(batch, "expression").clamp(0, 1),
            "gaze": _both(batch, "gaze"),
            "verdict": verdict,
            "there": there,
        }

    def _errors(self, made: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, float]:
        """Percent of the mean face's distance between the outer eye corners (a face's own vanishes in profile),
        degrees, or shares."""
        there, points = truth["there"], truth["points"]
        eyes = float(np.linalg.norm(np.subtract(*mean_points()[[36, 45], :2])))
        off = (_points(made) - points).norm(dim=2) * (100 / eyes)
        angle = (rotation(made["pose"]).transpose(1, 2) @ truth["rotation"]).diagonal(dim1=1, dim2=2).sum(1)
        iou = _iou(made["matte"], truth["matte"])
        return {
            "landmarks68_%": float(_mean(off[:, :LANDMARKS68].mean(1), there)),
            "dense_%": float(_mean(off[:, LANDMARKS68 : LANDMARKS68 + DENSE].mean(1), there)),
            "iris_%": float(_mean(off[:, [LANDMARKS68 + DENSE, LANDMARKS68 + DENSE + 5]].mean(1), there)),
            "pose_deg": float(_mean(((angle - 1) / 2).clamp(-1, 1).acos().rad2deg(), there)),
            "gaze_deg": float(_mean((made["gaze"] - truth["gaze"]).rad2deg().norm(dim=2).mean(1), there)),
            "expression_rms": float(_mean((made["expression"] - truth["expression"]).square().mean(1), there)) ** 0.5,
            "mistaken": float(((made["confidence"][:, 0] > 0.5).float() - truth["verdict"]).abs().mean()),
            "matte_miss": float((1 - iou).mean()),
        }


def mean_points() -> np.ndarray:
    """(POINTS, 3) float32: the mean face from the front in its ideal crop; irises in the middle between the lids."""
    points = _seen(face_model.load().vertices, np.eye(3), np.zeros((2, 2)))
    dense = points[LANDMARKS68 : LANDMARKS68 + DENSE, :2]
    low, high = dense.min(axis=0), dense.max(axis=0)
    points[:, :2] -= (low + high) / 2
    return (points / (MARGIN * (high - low).max() / 2)).astype(np.float32)


@functools.cache
def face_axes() -> tuple[Tensor, Tensor]:
    """Mean (POINTS · 3,) and principal axes (_AXES, POINTS · 3), divided by their standard deviations, of random heads
    of the face model, rolled upright."""
    model, draw, faces = face_model.load(), draws(0, "face_axes"), []
    for _ in range(_HEADS):
        weights = np.where(draw.random(len(model.expression_names)) < 0.3, draw.random(len(model.expression_names)), 0)
        neutral = model.neutral(draw.normal(0, 0.8, len(model.identity)))
        turn = rotation_from_vector(draw.normal(0, 1, 3) * [0.25, 0.45, 0.05])
        faces.append(_seen(model.deform(neutral, weights), turn, draw.normal(0, 0.2, (2, 2))))
    points = torch.from_numpy(np.stack(faces)).float()
    laid = upright(points, points.new_tensor([[1.0, 0.0]]).expand(len(points), -1)).flatten(1).numpy()
    rest = laid.mean(axis=0)
    _, sizes, axes = np.linalg.svd(laid - rest, full_matrices=False)
    spread = sizes[:_AXES, None] / np.sqrt(len(laid))
    return torch.from_numpy(rest), torch.from_numpy((axes[:_AXES] / spread).astype(np.float32))


def _seen(vertices: np.ndarray, turn: np.ndarray, gaze: np.ndarray) -> np.ndarray:
    """(POINTS, 3) of a head in front of the camera, y down, z negative towards it; irises shifted by ``gaze`` (2, 2)
    (x, y) in twentieths of the face's size from the middle between the lids."""
    model = face_model.load()
    centre = model.vertices.mean(axis=0)

    def project(points: np.ndarray) -> np.ndarray:
        points = (points - centre) @ turn.T
        depth = _DISTANCE - points[:, 2]
        return np.column_stack([points[:, :2] * (_DISTANCE / depth)[:, None] * [1, -1], depth - _DISTANCE])

    dense, marks = project(model.dense.at(vertices)), project(model.landmarks68.at(vertices))
    face = np.ptp(dense[:, :2], axis=0).max()
    rim = np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]]) * 0.025 * face
    eyes = [marks[eye, :2].mean(axis=0) for eye in (slice(42, 48), slice(36, 42))]
    irises = [middle + shift * 0.05 * face + rim for middle, shift in zip(eyes, gaze)]
    return np.concatenate([marks, dense, np.column_stack([np.concatenate(irises), np.zeros(2 * len(rim))])])


def _seen_by_a_camera(crop: Tensor) -> Tensor:
    """The crop after augmentation: resolution, occluding rectangles, colour, blur, noise, JPEG."""
    crop = augment.resampled(augment.hidden(augment.hidden(crop, 0.6, 0.25), 0.3, 0.15))
    return augment.coded(augment.photometric(crop, 0.8))


def _both(batch: Batch, label: str) -> Tensor:
    return torch.cat([batch[f"{role}_{label}"] for role in ROLES])


def _points(made: dict[str, Tensor]) -> Tensor:
    return torch.cat([made["landmarks68"], made["dense"][..., :2], made["iris"].flatten(1, 2)], dim=1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1)


def _confidence_loss(confidence: Tensor, verdict: Tensor) -> Tensor:
    """Cross-entropy where ``verdict`` is known, that is, not negative."""
    decided = (verdict >= 0).float()
    confidence = confidence.clamp(1e-6, 1 - 1e-6)
    return -_mean(torch.where(verdict > 0.5, confidence, 1 - confidence).log(), decided)


def _entropy(made: Tensor, truth: Tensor) -> Tensor:
    """Elementwise cross-entropy of probabilities 0…1."""
    likely = made.clamp(1e-4, 1 - 1e-4)
    return -(truth * likely.log() + (1 - truth) * (1 - likely).log())


def _matte_loss(made: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy for the region, L1 and gradients for the edge."""
    return 0.5 * _entropy(made, truth).mean() + losses.l1(made, truth) + losses.gradient_l1(made, truth)


def _iou(made: Tensor, truth: Tensor) -> Tensor:
    """Soft intersection over union, (B,)."""
    both, either = torch.minimum(made, truth).sum((1, 2, 3)), torch.maximum(made, truth).sum((1, 2, 3))
    return (both + 1) / (either + 1)
