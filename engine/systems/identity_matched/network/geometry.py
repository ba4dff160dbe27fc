"""From PNCCs to correspondence: which place of the source shows the surface that each place of the new frame shows.

Everything lies on grids of cells, ``stride`` pixels wide; offsets (B, 2, h, w) are (x, y) on the whole picture's grid,
where −1 and 1 are the centres of its first and last pixel. torch only: the run-time reads what is exported from here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_RANGE = 70.0  # of logits: exp(-70) is no denormal, which would make the attention four times slower


class Match(NamedTuple):
    """``aligned`` (B, C, h, w): the source's features moved to the new frame; ``flow`` (B, 2, h, w) where they came
    from, as offsets; ``attention`` (B, h·w, h·w), rows summing to one, None where a given flow took its place."""

    aligned: Tensor
    flow: Tensor
    attention: Tensor | None


def masked(pncc: Tensor) -> Tensor:
    """PNCC (B, 3, S, S) with its mask, 1 where there is mesh, as the fourth channel."""
    return torch.cat([pncc, (pncc.amax(dim=1, keepdim=True) > 0).to(pncc.dtype)], dim=1)


def centres(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """(1, 2, h, w): where the middles of the cells lie on the picture's grid."""
    rows, columns = (
        (torch.arange(count, device=like.device, dtype=torch.float32) * stride + (stride - 1) / 2)
        * (2 / (count * stride - 1))
        - 1
        for count in (height, width)
    )
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]


def look_up(maps: Tensor, flow: Tensor, stride: int = 1) -> Tensor:
    """``maps`` (B, C, h, w) of cells ``stride`` wide, looked up at their own places plus ``flow``; border repeated.
    Coordinates are fp32 whatever the maps are: a bf16 coordinate near 1 is half a pixel wide. A flow that is not a
    number counts as none."""
    height, width = maps.shape[2:]
    reach = torch.tensor([(n * stride - 1) / (n * stride - stride) for n in (width, height)], device=maps.device)
    offsets = flow.float().nan_to_num().permute(0, 2, 3, 1) * reach
    with torch.autocast(maps.device.type, enabled=False):
        grid = centres(height, width, 1, maps).permute(0, 2, 3, 1) + offsets
        return functional.grid_sample(maps.float(), grid, "bilinear", "border", align_corners=True).to(maps.dtype)


def enlarged(maps: Tensor, times: int) -> Tensor:
    """Bilinearly, cells' middles staying where they are."""
    return functional.interpolate(maps, scale_factor=float(times), mode="bilinear", align_corners=False)


class GeometryEncoder(nn.Module):
    """PNCC with mask (B, 4, S, S) → a feature for every cell, made to be compared by cosines. One encoder for both
    PNCCs.

    The surface's own code comes first, so that the match is that of nearest surface points before anything is learned
    (our reconstruction): cos πx and sin πx of each axis, whose product falls steadily with distance over the
    whole head, and for cells without mesh the same of their place in the picture, so that surroundings stay where they
    are (the coordinate channels of CoCosNet's options). ``context`` channels of learned features are added.
    """

    def __init__(self, width: int, context: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        convolutions: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(16, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(int(math.log2(stride // 4))):
            convolutions += [nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(0.2)]
        self.learned = nn.Sequential(*convolutions, nn.Conv2d(width, context, 3, padding=1))
        self.share = nn.Parameter(torch.tensor(0.1))  # of what is learned, beside the code

    @property
    def channels(self) -> int:
        """Of the result."""
        last = self.learned[-1]
        assert isinstance(last, nn.Conv2d)
        return 20 + last.out_channels

    def forward(self, pncc: Tensor) -> Tensor:
        cells = functional.avg_pool2d(pncc, self.stride)
        covered = cells[:, 3:]
        point = cells[:, :3] / covered.clamp(min=1e-3) * math.pi
        place = (centres(cells.shape[2], cells.shape[3], self.stride, cells) + 1).expand(len(cells), -1, -1, -1) * (
            math.pi / 2
        )
        code = torch.cat(
            [covered * point.cos(), covered * point.sin(), (1 - covered) * place.cos(), (1 - covered) * place.sin()], 1
        )
        context = self.share * torch.tanh(self.learned(functional.avg_pool2d(pncc, 2)))
        context = context - context.mean(dim=1, keepdim=True)
        # Each code beside its negative has no mean, so that centring over channels (CoCosNet's) leaves it alone.
        return torch.cat([code, -code, context], dim=1)


def attend(target: Tensor, source: Tensor, temperature: float) -> Tensor:
    """Features (B, C, h, w) of both → softmax of their cosines over the source's cells, (B, h·w, h·w) (CoCosNet eq. 3).
    What is very unlike counts as little as it can without weights too small to be computed with quickly."""
    with torch.autocast(target.device.type, enabled=False):
        one, other = (functional.normalize(x.float().flatten(2), dim=1) for x in (target, source))
        alike = one.transpose(1, 2) @ other
        return torch.softmax((alike / temperature).clamp(min=1 / temperature - _RANGE), dim=2)


def learned_match(attention: Tensor, appearance: Tensor, stride: int) -> Match:
    """The source's features (B, C, h, w) as the attention mixes them, and its mean place (soft-argmax)."""
    height, width = appearance.shape[2:]
    middle = centres(height, width, stride, appearance)
    places = middle.flatten(2).expand(len(appearance), -1, -1)
    mixed = attention @ torch.cat([places, appearance.float().flatten(2)], dim=1).transpose(1, 2)
    mixed = mixed.transpose(1, 2).unflatten(2, (height, width))
    return Match(mixed[:, 2:].to(appearance.dtype), mixed[:, :2] - middle, attention)


def given_match(flow: Tensor, appearance: Tensor, stride: int) -> Match:
    """The same from the exact flow of the drawn mesh, (B, 2, S, S)."""
    coarse = functional.avg_pool2d(flow.float(), stride)
    return Match(look_up(appearance, coarse, stride), coarse, None)
