"""Iris positions in labelled pictures, computed from identity, gaze and pose; frames have no such label."""

from __future__ import annotations

import torch
from safetensors import safe_open
from torch import Tensor, nn

from engine.face import model as face_model
from engine.training.batch import Batch

_SIDES = ("left", "right")


class Irises(nn.Module):
    """The face model's eyes as a module without trained parameters."""

    def __init__(self) -> None:
        super().__init__()
        model = face_model.load()
        with safe_open(str(model.path), framework="numpy") as file:
            centres = torch.from_numpy(file.get_tensor("eye_centre")).float()
            rings = [file.get_tensor(f"iris_{side}") for side in _SIDES]
        self.centres = nn.Buffer(centres)
        self.mean, self.basis = nn.ParameterList(), nn.ParameterList()
        self.ring = len(rings[0])
        for side, ring in zip(_SIDES, rings):
            chosen = [*ring, *model.vertices_of(f"eye_{side}")]
            for tensors, array in ((self.mean, model.vertices[chosen]), (self.basis, model.identity[:, chosen])):
                tensors.append(nn.Parameter(torch.from_numpy(array.copy()).float(), requires_grad=False))

    @torch.no_grad()
    def forward(self, batch: Batch, role: str, size: int) -> Tensor:
        """(B, 2, 5, 2) on the grid of pictures ``size`` wide, as an Observation has them: the subject's left eye first,
        the centre, then the rim towards the subject's left, up, right and down."""
        eyes = [self._eye(k, batch, role) for k in range(2)]
        points = torch.stack(eyes, dim=1)  # (B, 2, 5, 3) in head space
        rotation, translation = batch[f"{role}_rotation"], batch[f"{role}_translation"]
        points = points @ rotation.transpose(1, 2)[:, None] + translation[:, None, None]
        scale = batch[f"{role}_focal"][:, None, None] / (-points[..., 2]).clamp(min=1.0)
        widths = torch.stack([0.5 + points[..., 0] * scale, 0.5 - points[..., 1] * scale], dim=-1)
        return (widths * size - 0.5) * (2 / (size - 1)) - 1

    def _eye(self, k: int, batch: Batch, role: str) -> Tensor:
        """(B, 5, 3) of one eye in head space, turned as it looks. With identity, eyeballs only move and scale."""
        identity, gaze = batch[f"{role}_identity"], batch[f"{role}_gaze"][:, k]
        rest = self.mean[k]
        now = rest + torch.einsum("bk,knc->bnc", identity, self.basis[k])
        ball, middle = rest[self.ring :], rest[self.ring :].mean(0)
        moved = now[:, self.ring :].mean(1)
        growth = (now[:, self.ring :] - moved[:, None]).flatten(1).norm(dim=1) / (ball - middle).norm()
        centre = moved + growth[:, None] * (self.centres[k] - middle)
        arm = now[:, : self.ring] - centre[:, None]
        out, radius = arm.mean(1), (arm - arm.mean(1, keepdim=True)).norm(dim=2).mean(1)
        rim = out.new_tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
        points = out[:, None] + radius[:, None, None] * rim
        return points @ _look(gaze).transpose(1, 2) + centre[:, None]


def _look(gaze: Tensor) -> Tensor:
    """:func:`engine.face.maths.look` of (B, 2) pitch and yaw: (B, 3, 3)."""
    (cp, cy), (sp, sy) = gaze.cos().T, gaze.sin().T
    zero = torch.zeros_like(cp)
    rows = [cy, -sp * sy, cp * sy, zero, cp, sp, -sy, -sp * cy, cp * cy]
    return torch.stack(rows, dim=1).view(-1, 3, 3)
