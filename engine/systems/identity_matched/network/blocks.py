"""The decoder's blocks: spatially-adaptive normalisation (SPADE) and the geometry-aware skip connection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.systems.identity_matched.network.geometry import warp

SLOPE = 0.2


def conv(before: int, after: int, stride: int = 1, side: int = 3) -> nn.Conv2d:
    return nn.Conv2d(before, after, side, stride, side // 2)


def zero_init(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution whose output is 0 until it is trained."""
    assert convolution.bias is not None
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return convolution


def act(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


class SPADE(nn.Module):
    """Spatially-adaptive normalisation (Park et al. 2019): norm(x) · (1 + γ) + β, with γ and β convolved from the
    ``style`` map of the same size, here the source's features moved by the correspondence.

    ``norm``: ``instance`` over each map, as in SPADE; ``position`` over the channels at each place (PONO, as in
    CoCosNet), which does not depend on the picture's size.
    """

    def __init__(self, width: int, style: int, norm: str) -> None:
        super().__init__()
        self.norm = norm
        self.shape = conv(style, 2 * width, side=1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        if self.norm == "instance":
            x = functional.instance_norm(x)
        else:
            x = functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)
        scale, shift = self.shape(style).chunk(2, dim=1)  # γ and β, each (B, width, h, w)
        return torch.addcmul(x + shift, x, scale)


class SPADEResBlock(nn.Module):
    """x + f(x), f two convolutions, each after SPADE and activation."""

    def __init__(self, width: int, style: int, norm: str) -> None:
        super().__init__()
        self.modulations = nn.ModuleList(SPADE(width, style, norm) for _ in range(2))
        self.convolutions = nn.ModuleList(conv(width, width) for _ in range(2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        inner = x
        for modulation, convolution in zip(self.modulations, self.convolutions):
            inner = convolution(act(modulation(inner, style)))
        return x + inner


class SPADEStage(nn.Module):
    """The residual blocks of one stride."""

    def __init__(self, width: int, style: int, norm: str, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SPADEResBlock(width, style, norm) for _ in range(count))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, style)
        return x


class GeometryAwareSkip(nn.Module):
    """The paper's geometry-aware skip connection; its form is our reconstruction.

    The source's features, warped by the flow, are added to the decoder's where the warped PNCC agrees with the new
    frame's. They are added and do not replace: the decoder's features describe the new frame. At initialisation they
    add nothing, and the gate is open where the PNCCs agree within about a twentieth of the head.
    """

    OPEN, SHARP = 4.0, 40.0

    def __init__(self, width: int, hidden: int = 12) -> None:
        super().__init__()
        self.taken = zero_init(conv(width, width, side=1))
        self.learned = nn.Sequential(conv(12, hidden), nn.LeakyReLU(SLOPE), zero_init(conv(hidden, 1)))

    def gate(self, target: Tensor, moved: Tensor) -> Tensor:
        """(B, 1, h, w) in 0…1, from the target's PNCC and the source's warped one, both with masks (B, 4, h, w)."""
        apart = (target - moved).abs()
        agree = self.OPEN - self.SHARP * apart.sum(dim=1, keepdim=True)
        return torch.sigmoid(agree + self.learned(torch.cat([target, moved, apart], dim=1)))

    def forward(
        self, x: Tensor, source: Tensor, flow: Tensor, target_pncc: Tensor, source_pncc: Tensor, stride: int
    ) -> Tensor:
        moved = warp(torch.cat([source, source_pncc], dim=1), flow, stride)  # (B, C + 4, h, w)
        features, geometry = moved[:, : x.shape[1]], moved[:, x.shape[1] :]
        return x + self.gate(target_pncc, geometry) * self.taken(features)
