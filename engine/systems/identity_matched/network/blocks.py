"""What the decoder is built of: spatial modulation, and the skip that geometry opens and closes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.systems.identity_matched.network.geometry import look_up

SLOPE = 0.2


def conv(before: int, after: int, stride: int = 1, side: int = 3) -> nn.Conv2d:
    return nn.Conv2d(before, after, side, stride, side // 2)


def silent(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution that says nothing yet."""
    assert convolution.bias is not None
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return convolution


def act(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


class Modulation(nn.Module):
    """x normalised, times 1 + γ, plus β; γ and β are convolved from the ``style`` map of the same size (SPADE, Park et
    al. 2019): features that the correspondence has moved act as statistics that vary from place to place.

    ``norm``: ``instance`` over each map, as SPADE; ``position`` over the channels at each place (PONO, as CoCosNet),
    which knows nothing of the picture's size.
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
        scale, shift = self.shape(style).chunk(2, dim=1)
        return torch.addcmul(x + shift, x, scale)


class Block(nn.Module):
    """x + f(x), f two modulated convolutions."""

    def __init__(self, width: int, style: int, norm: str) -> None:
        super().__init__()
        self.modulations = nn.ModuleList(Modulation(width, style, norm) for _ in range(2))
        self.convolutions = nn.ModuleList(conv(width, width) for _ in range(2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        inner = x
        for modulation, convolution in zip(self.modulations, self.convolutions):
            inner = convolution(act(modulation(inner, style)))
        return x + inner


class Decoder(nn.Module):
    """The blocks of one stride."""

    def __init__(self, width: int, style: int, norm: str, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, style, norm) for _ in range(count))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, style)
        return x


class GatedSkip(nn.Module):
    """The source's own features, moved along the flow, beside the decoder's wherever the moved geometry agrees with the
    new frame's (the paper's geometry-aware skip connection; the form is our reconstruction).

    Added, since in the decoder's place they would push out all that is known of the new frame by then. Before anything
    is learned they add nothing, and the gate is open where PNCCs agree within about a twentieth of the head and shut
    beyond.
    """

    OPEN, SHARP = 4.0, 40.0

    def __init__(self, width: int, hidden: int = 12) -> None:
        super().__init__()
        self.taken = silent(conv(width, width, side=1))
        self.learned = nn.Sequential(conv(12, hidden), nn.LeakyReLU(SLOPE), silent(conv(hidden, 1)))

    def gate(self, target: Tensor, moved: Tensor) -> Tensor:
        """From both PNCCs with masks (B, 4, h, w), the source's moved: (B, 1, h, w) in 0…1, 1 lets it pass."""
        apart = (target - moved).abs()
        agree = self.OPEN - self.SHARP * apart.sum(dim=1, keepdim=True)
        return torch.sigmoid(agree + self.learned(torch.cat([target, moved, apart], dim=1)))

    def forward(
        self, x: Tensor, source: Tensor, flow: Tensor, target_pncc: Tensor, source_pncc: Tensor, stride: int
    ) -> Tensor:
        moved = look_up(torch.cat([source, source_pncc], dim=1), flow, stride)
        features, geometry = moved[:, : x.shape[1]], moved[:, x.shape[1] :]
        return x + self.gate(target_pncc, geometry) * self.taken(features)
