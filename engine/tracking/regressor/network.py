"""The face regressor in torch. It is trained here and exported to ONNX.

One convolutional trunk. A coarse stage finds the face as a similarity (place, size and roll) and a shape in its own
upright frame. Then every point is refined from the finest feature map under it. The same map gives the matte. Pose,
expression and gaze are regressed from both the points and the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.tracking.regressor.layout import DENSE, IRIS, LANDMARKS68, OUTPUTS, POINTS, SIZE

_WIDTHS = (24, 48, 96, 160)  # at a half, a quarter, an eighth and a sixteenth of the picture
_DEPTHS = (1, 2, 3, 2)
_FINE = 32
_CODE = 192
_READ = 128  # width of the layer that reads the points
_PLACE = 2  # the stage at whose resolution the face's place is found
_ROUNDS = 2


class Residual(nn.Module):
    """x + f(x), f zero at initialisation (SkipInit, De and Smith 2020), group normalisation before each convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(functional.relu(self.norms[0](x)))
        return x + self.second(functional.relu(self.norms[1](inner)))


class FaceRegressor(nn.Module):
    """``mean`` (POINTS, 3) is the mean face in an ideal crop, ``expressions`` the number of the face model. ``rest``
    (POINTS · 3) and ``axes`` (A, POINTS · 3) are mean and principal axes of faces made upright by :func:`upright`; the
    axes have unit variance, so that an eyelid counts as much as a turn of the head.

    ``forward``: crop (B, 3, SIZE, SIZE) in −1…1 → the outputs of :data:`engine.tracking.regressor.layout.OUTPUTS`
    in that order; points lie on the grid of the crop, where −1 and 1 are the centres of the first and last pixel.
    """

    def __init__(self, mean: Tensor, expressions: int, rest: Tensor, axes: Tensor) -> None:
        super().__init__()
        self.mean, self.rest, self.axes = nn.Buffer(mean), nn.Buffer(rest), nn.Buffer(axes)
        stages, before = [], 3
        for width, depth in zip(_WIDTHS, _DEPTHS):
            down = nn.Conv2d(before, width, 3, stride=2, padding=1)
            stages.append(nn.Sequential(down, *(Residual(width) for _ in range(depth))))
            before = width
        self.stages = nn.ModuleList(stages)
        self.across = nn.ModuleList(nn.Conv2d(width, _FINE, 1) for width in _WIDTHS)
        self.mix = nn.ModuleList(nn.Conv2d(_FINE, _FINE, 3, padding=1) for _ in _WIDTHS[:-1])
        cells = (SIZE // 2 ** len(_WIDTHS)) ** 2
        self.squeeze = nn.Conv2d(_WIDTHS[-1], 32, 1)
        self.code = nn.Linear(32 * cells, _CODE)
        self.place = nn.Conv2d(_FINE, 1, 1)
        self.similarity = nn.Linear(_CODE, 2)
        self.shape = nn.Linear(_CODE, POINTS * 3)
        axis = torch.linspace(-1, 1, SIZE // 2 ** (_PLACE + 1))
        self.grid = nn.Buffer(torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(1, -1, 2))
        self.pose = nn.Linear(_CODE, 6)
        self.expression = nn.Linear(_CODE, expressions)
        self.gaze = nn.Linear(_CODE, 4)
        self.reader = nn.Linear(len(axes), _READ)
        self.reads = nn.Linear(_READ + len(axes), 6 + expressions + 4)
        self.confidence = nn.Linear(_CODE, 1)
        self.context = nn.Linear(_CODE, 64)
        self.point = nn.Parameter(torch.randn(1, 64, POINTS, 1) * 0.1)
        self.under = nn.Conv2d(_FINE, 64, 1)
        self.step = nn.Conv2d(64, 2, 1)
        self.matte = nn.Sequential(nn.Conv2d(_FINE, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 3, padding=1))
        self._begin()

    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
        maps, x = [], crop
        for stage in self.stages:
            x = stage(x)
            maps.append(x)  # (B, width, S / 2, S / 2) … (B, width, S / 16, S / 16)
        fine = self.across[-1](maps[-1])  # (B, 32, S / 16, S / 16), and up to S / 2
        for level in range(len(self.mix) - 1, -1, -1):
            fine = functional.interpolate(fine, scale_factor=2.0) + self.across[level](maps[level])
            fine = functional.relu(self.mix[level](functional.relu(fine)))
            if level == _PLACE:
                place = self.place(fine).float().flatten(1).softmax(1)[:, None] @ self.grid
        code = functional.relu(self.code(functional.relu(self.squeeze(functional.relu(maps[-1]))).flatten(1)))
        turn = self.similarity(code).float() + self.mean.new_tensor([1.0, 0.0])
        points = coarse = self._coarse(code, place, turn)
        for _ in range(_ROUNDS):
            points = points + self._refine(fine, code, points)  # (B, POINTS, 3)
        pose, expression, gaze = self._read(points.detach(), turn.detach())
        matte = torch.sigmoid(functional.pixel_shuffle(self.matte(fine), 2).float())
        answers = {
            "landmarks68": points[:, :LANDMARKS68, :2],
            "dense": points[:, LANDMARKS68 : LANDMARKS68 + DENSE],
            "iris": points[:, LANDMARKS68 + DENSE :, :2].reshape(-1, 2, IRIS // 2, 2),
            "pose": self.pose(code).float() + pose,
            "expression": torch.sigmoid(self.expression(code).float() + expression),
            "gaze": (self.gaze(code).float() + gaze).view(-1, 2, 2),
            "confidence": torch.sigmoid(self.confidence(code).float()),
            "matte": matte,
            "coarse": coarse,
        }
        return tuple(answers[name] for name in OUTPUTS) + ((coarse,) if self.training else ())

    def _begin(self) -> None:
        """Initialise: weights keep the signal's variance (He et al. 2015); residuals and the layers that move the mean
        face start at zero, the other outputs small."""
        answers = (self.similarity, self.pose, self.expression, self.gaze, self.reads, self.confidence)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for layer in self.modules():
            if isinstance(layer, Residual):
                nn.init.zeros_(layer.second.weight)
        for layer in (self.place, self.shape, self.step):
            nn.init.zeros_(layer.weight)
        for layer in answers:
            nn.init.normal_(layer.weight, std=0.01)

    def _coarse(self, code: Tensor, place: Tensor, turn: Tensor) -> Tensor:
        """(B, P, 3) from the ``place`` (B, 1, 2) of the face, its size and roll ``turn`` (B, 2), and its shape."""
        shape = self.mean + self.shape(code).float().view(-1, POINTS, 3)
        along, across = turn[:, :, None].unbind(1)
        x, y, z = shape.unbind(2)
        turned = torch.stack([along * x - across * y, across * x + along * y, along * z], dim=2)
        return turned + functional.pad(place, (0, 1))

    def _read(self, points: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pose, expression and gaze from the points (B, P, 3) alone, independent of their place, size and roll in the
        crop; the pose is then rotated by that roll."""
        along = functional.normalize(turn, dim=1)
        cosine, sine = along.unbind(1)
        seen = (upright(points, along).flatten(1) - self.rest) @ self.axes.T
        said = self.reads(torch.cat([functional.relu(self.reader(seen)), seen], dim=1)).float()
        ahead = said[:, :6] + self.mean.new_tensor([1.0, 0, 0, 0, 1, 0])
        columns = [
            torch.stack([cosine * v[0] + sine * v[1], cosine * v[1] - sine * v[0], v[2]], dim=1)
            for v in (ahead[:, :3].unbind(1), ahead[:, 3:].unbind(1))
        ]
        return torch.cat(columns, dim=1), said[:, 6:-4], said[:, -4:]

    def _refine(self, fine: Tensor, code: Tensor, points: Tensor) -> Tensor:
        """How far each point (B, P, 3) should move in the picture, from the features under it. Coordinates are fp32,
        since bf16 has steps of half a pixel."""
        places = points[:, :, None, :2].detach()
        with torch.autocast(fine.device.type, enabled=False):
            seen = functional.grid_sample(fine.float(), places, "bilinear", "border", align_corners=True)
        hidden = functional.relu(self.under(seen) + self.point + self.context(code)[:, :, None, None])
        moved = 0.1 * self.step(hidden).float()[..., 0].transpose(1, 2)
        return functional.pad(moved, (0, 1))


def upright(points: Tensor, along: Tensor) -> Tensor:
    """Points (B, P, 3), centred, scaled to mean square size 1 in the picture's plane, and rotated back by the roll of
    which ``along`` (B, 2) are cosine and sine."""
    cosine, sine = along[:, :, None].unbind(1)
    x, y, z = (points - points.mean(dim=1, keepdim=True)).unbind(2)
    laid = torch.stack([cosine * x + sine * y, cosine * y - sine * x, z], dim=2)
    return laid / laid[..., :2].square().sum(2).mean(1).clamp(min=1e-6).sqrt()[:, None, None]


def rotation(six: Tensor) -> Tensor:
    """(B, 6) → rotation matrices (B, 3, 3): two columns, made orthonormal (Zhou et al. 2019, section 4.2)."""
    first = functional.normalize(six[:, :3], dim=1)
    second = functional.normalize(six[:, 3:] - (first * six[:, 3:]).sum(1, keepdim=True) * first, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=2)
