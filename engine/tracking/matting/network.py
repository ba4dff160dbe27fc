"""The matting network in torch: the share of the person in each pixel of a picture. It is exported to ONNX and run by
:mod:`engine.tracking.network_matte`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (16, 32, 48, 96, 128)  # at a half, a quarter … of the picture
_DEPTHS = (0, 1, 2, 2, 2)  # residuals at each


class Residual(nn.Module):
    """x + f(x), f zero at initialisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(self.norm(x)))))


class MatteNetwork(nn.Module):
    """A U-Net (Ronneberger et al. 2015) with sums in place of concatenations, and most blocks at strides of 8 and more.
    ``forward``: (B, 3, S, S) in −1…1 → (B, 1, S, S) logits; S is a multiple of 32."""

    def __init__(self) -> None:
        super().__init__()
        befores = (12, *_WIDTHS[:-1])
        self.enter = nn.ModuleList(
            nn.Conv2d(before, width, 3, stride=1 if level == 0 else 2, padding=1)
            for level, (before, width) in enumerate(zip(befores, _WIDTHS))
        )
        self.down = nn.ModuleList(nn.Sequential(*(Residual(w) for _ in range(n))) for w, n in zip(_WIDTHS, _DEPTHS))
        self.whole = nn.Linear(_WIDTHS[-1], _WIDTHS[-1])
        pairs = list(zip(_WIDTHS[1:], _WIDTHS))
        self.lift = nn.ModuleList(nn.Conv2d(deep, shallow, 1) for deep, shallow in pairs)
        self.mix = nn.ModuleList(nn.Conv2d(shallow, shallow, 3, padding=1) for _, shallow in pairs)
        self.answer = nn.Conv2d(_WIDTHS[0], 4, 3, padding=1)
        for layer in (*self.enter, *self.lift, *self.mix):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
        nn.init.normal_(self.answer.weight, std=0.01)

    def forward(self, picture: Tensor) -> Tensor:
        maps, x = [], functional.pixel_unshuffle(picture, 2)
        for enter, down in zip(self.enter, self.down):
            x = down(functional.relu(enter(x)))
            maps.append(x)  # (B, width, S / 2, S / 2) … (B, width, S / 32, S / 32)
        x = x + self.whole(x.mean(dim=(2, 3)))[:, :, None, None]
        for level in range(len(self.mix) - 1, -1, -1):
            x = functional.interpolate(self.lift[level](x), scale_factor=2.0) + maps[level]
            x = functional.relu(self.mix[level](functional.relu(x)))
        return functional.pixel_shuffle(self.answer(x), 2)


class Matte(nn.Module):
    """The exported graph: probabilities instead of logits."""

    def __init__(self, network: MatteNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        return torch.sigmoid(self.network(picture).float())
