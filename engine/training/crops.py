"""Random square crops of labelled pictures, as a detector sees faces: tight, loose, tilted, or without the face.

Places are on the grid of a picture (``engine.geometry.fields``): its first and last pixel centres are −1 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.tracking.regressor.layout import MARGIN

_TIGHT, _LOOSE, _PIECE = 0.55, 0.2, 0.1  # shares of crops; pieces are close-ups of anything, the rest lie anywhere
# A crop shows the face: least and greatest side as a multiple of the ideal one, greatest offset as a share of its side.
_SEEN = 0.6, 3.5, 0.35
_UNSEEN = 0.42, 5.0, 0.6  # beyond these it does not; between the two it has no label


@dataclass(frozen=True)
class Crops:
    """``centre`` (B, 2) and ``half`` side (B,) on the grid, ``angle`` (B,) radians of clockwise rotation in the
    picture."""

    centre: Tensor
    half: Tensor
    angle: Tensor

    def cut(self, image: Tensor, size: int) -> Tensor:
        """(B, C, S, S) → (B, C, size, size); 0 beyond the picture. Strong reduction is smoothed first."""
        axis = torch.linspace(-1, 1, size, device=image.device)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(1, -1, 2)
        places = (grid @ self._turn().transpose(1, 2) * self.half[:, None, None] + self.centre[:, None]).view(
            -1, size, size, 2
        )
        cut = functional.grid_sample(image, places, "bilinear", "zeros", align_corners=True)
        shrinks = self.half * (image.shape[2] / size) > 1.5
        if shrinks.any():
            smooth = functional.avg_pool2d(functional.pad(image, (1, 0, 1, 0)), 2, stride=1)
            smooth = functional.avg_pool2d(functional.pad(smooth, (0, 1, 0, 1)), 2, stride=1)
            soft = functional.grid_sample(smooth, places, "bilinear", "zeros", align_corners=True)
            cut = torch.where(shrinks[:, None, None, None], soft, cut)
        return cut

    def into(self, points: Tensor) -> Tensor:
        """Points (B, P, 2 or 3) of the picture on the crop's own grid; z in its unit."""
        flat = (points[..., :2] - self.centre[:, None]) @ self._turn() / self.half[:, None, None]
        return torch.cat([flat, points[..., 2:] / self.half[:, None, None]], dim=2)

    def _turn(self) -> Tensor:
        c, s = self.angle.cos(), self.angle.sin()
        return torch.stack([c, -s, s, c], dim=1).view(-1, 2, 2)


def ideal(dense: Tensor) -> tuple[Tensor, Tensor]:
    """Of dense points (B, 468, 2 or 3): centre (B, 2) and half side (B,) of ``layout.ideal_crop``."""
    low, high = dense[..., :2].amin(1), dense[..., :2].amax(1)
    return (low + high) / 2, MARGIN * (high - low).amax(1) / 2


def sample(dense: Tensor, face: Tensor) -> tuple[Crops, Tensor]:
    """Random crops of pictures with these dense points, with a label each: 1 shows the face, 0 does not, −1 is unclear.
    Where ``face`` is 0 they lie anywhere. Random numbers are torch's."""
    count, device = len(dense), dense.device
    centre, half = ideal(dense)
    there = face > 0.5
    half = torch.where(there, half, half.new_tensor(0.7))
    kind = torch.rand(count, device=device)
    tight, anywhere = kind < _TIGHT, (kind >= _TIGHT + _LOOSE) | ~there
    piece = anywhere & (kind < _TIGHT + _LOOSE + _PIECE)
    scale = torch.where(tight, (0.12 * torch.randn(count, device=device)).exp(), _log_uniform(count, 0.7, 3.2, device))
    scale = torch.where(anywhere, _log_uniform(count, 0.4, 4.0, device), scale)
    scale = torch.where(piece, _log_uniform(count, 0.15, 0.5, device), scale)
    side = (half * scale).clamp(0.08, 1.6)
    near = 0.08 * torch.randn(count, 2, device=device)
    aside = torch.rand(count, 2, device=device) * 0.6 - 0.3
    place = centre + torch.where(tight[:, None], near, aside) * 2 * side[:, None]
    place = torch.where(anywhere[:, None], torch.rand(count, 2, device=device) * 2 - 1, place)
    spread = torch.where(tight, 0.17, 0.4)
    crops = Crops(place, side, (spread * torch.randn(count, device=device)).clamp(-0.9, 0.9))
    ratio = side / half
    offset = (place - centre).norm(dim=1) / (2 * side)
    seen = there & (ratio > _SEEN[0]) & (ratio < _SEEN[1]) & (offset < _SEEN[2])
    unseen = ~there | (ratio < _UNSEEN[0]) | (ratio > _UNSEEN[1]) | (offset > _UNSEEN[2])
    verdict = torch.where(seen, 1.0, torch.where(unseen, 0.0, -1.0))
    return crops, verdict


def rotation_seen(rotation: Tensor, translation: Tensor, crops: Crops) -> Tensor:
    """Head-to-camera rotations (B, 3, 3) as a crop shows them: the camera turned to look at the head (so that its place
    in the picture does not matter), then rolled with the crop."""
    toward = functional.normalize(translation, dim=1, eps=1e-6)
    cosine = -toward[:, 2]  # with (0, 0, −1), where the camera looks
    x, y = toward[:, 1], -toward[:, 0]  # (0, 0, −1) × toward
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, zero, y, zero, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    ray = torch.eye(3, device=rotation.device) + cross + cross @ cross / (1 + cosine)[:, None, None].clamp(min=0.1)
    c, s = crops.angle.cos(), crops.angle.sin()
    one = torch.ones_like(c)
    roll = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).view(-1, 3, 3)
    return roll @ ray.transpose(1, 2) @ rotation


def _log_uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    lower, upper = torch.tensor([low, high]).log()
    return (lower + (upper - lower) * torch.rand(count, device=device)).exp()
