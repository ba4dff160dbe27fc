"""From PNCCs to correspondence: where the source shows the surface that each place of the new frame shows.

Maps have cells ``stride`` pixels wide. Offsets (B, 2, h, w) are (x, y) on the whole picture's grid, where −1 and 1 are
the centres of its first and last pixel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_RANGE = 70.0  # of logits: exp(-70) is not denormal; denormals would make the attention four times slower


class Match(NamedTuple):
    """``aligned`` (B, C, h, w): the source's features warped to the new frame; ``flow`` (B, 2, h, w): the offsets to
    where they come from; ``attention`` (B, h·w, h·w), rows summing to one, None with an analytic flow."""

    aligned: Tensor
    flow: Tensor
    attention: Tensor | None


def with_mask(pncc: Tensor) -> Tensor:
    """PNCC (B, 3, S, S) with its mask, 1 where there is mesh, as the fourth channel."""
    return torch.cat([pncc, (pncc.amax(dim=1, keepdim=True) > 0).to(pncc.dtype)], dim=1)


def cell_centres(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """(1, 2, h, w): the centres of the cells on the picture's grid."""
    rows, columns = (
        (torch.arange(count, device=like.device, dtype=torch.float32) * stride + (stride - 1) / 2)
        * (2 / (count * stride - 1))
        - 1
        for count in (height, width)
    )
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]


def warp(maps: Tensor, flow: Tensor, stride: int = 1) -> Tensor:
    """``maps`` (B, C, h, w) of cells ``stride`` wide, sampled at their own places plus ``flow`` (B, 2, h, w); the
    border is repeated. Coordinates are fp32, since bf16 near 1 has steps of half a pixel. NaN counts as no flow."""
    height, width = maps.shape[2:]
    reach = torch.tensor([(n * stride - 1) / (n * stride - stride) for n in (width, height)], device=maps.device)
    offsets = flow.float().nan_to_num().permute(0, 2, 3, 1) * reach
    with torch.autocast(maps.device.type, enabled=False):
        grid = cell_centres(height, width, 1, maps).permute(0, 2, 3, 1) + offsets
        return functional.grid_sample(maps.float(), grid, "bilinear", "border", align_corners=True).to(maps.dtype)


def upsample(maps: Tensor, times: int) -> Tensor:
    """``maps`` enlarged bilinearly, with the cells' centres in place."""
    return functional.interpolate(maps, scale_factor=float(times), mode="bilinear", align_corners=False)


class GeometryEncoder(nn.Module):
    """PNCC with mask (B, 4, S, S) → features (B, C, S / stride, S / stride) that are compared by cosine similarity.
    One encoder serves both PNCCs.

    A fixed code comes first, so that cells match their nearest surface points at initialisation (our reconstruction):
    cos πx and sin πx of each axis of the PNCC, whose product falls monotonically with distance over the whole head.
    Cells without mesh have the same of their place in the picture, so that surroundings stay in place (CoCosNet's
    coordinate channels). ``context`` channels of learned features are added.
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
        cells = functional.avg_pool2d(pncc, self.stride)  # (B, 4, h, w)
        covered = cells[:, 3:]
        point = cells[:, :3] / covered.clamp(min=1e-3) * math.pi
        place = cell_centres(cells.shape[2], cells.shape[3], self.stride, cells)  # (1, 2, h, w)
        place = (place + 1).expand(len(cells), -1, -1, -1) * (math.pi / 2)
        code = torch.cat(
            [covered * point.cos(), covered * point.sin(), (1 - covered) * place.cos(), (1 - covered) * place.sin()], 1
        )
        context = self.share * torch.tanh(self.learned(functional.avg_pool2d(pncc, 2)))
        context = context - context.mean(dim=1, keepdim=True)
        # A code beside its negative has mean 0, so CoCosNet's centring over channels does not change it.
        return torch.cat([code, -code, context], dim=1)


def attention(target: Tensor, source: Tensor, temperature: float) -> Tensor:
    """Features (B, C, h, w) of both → softmax of their cosines over the source's cells, (B, h·w, h·w) (CoCosNet eq. 3).
    Logits are clamped so that no weight becomes denormal."""
    with torch.autocast(target.device.type, enabled=False):
        one, other = (functional.normalize(x.float().flatten(2), dim=1) for x in (target, source))
        alike = one.transpose(1, 2) @ other
        return torch.softmax((alike / temperature).clamp(min=1 / temperature - _RANGE), dim=2)


def match_by_attention(attention: Tensor, appearance: Tensor, stride: int) -> Match:
    """The source's features (B, C, h, w) averaged by the attention, and their mean place (soft-argmax)."""
    height, width = appearance.shape[2:]
    middle = cell_centres(height, width, stride, appearance)
    places = middle.flatten(2).expand(len(appearance), -1, -1)
    mixed = attention @ torch.cat([places, appearance.float().flatten(2)], dim=1).transpose(1, 2)
    mixed = mixed.transpose(1, 2).unflatten(2, (height, width))
    return Match(mixed[:, 2:].to(appearance.dtype), mixed[:, :2] - middle, attention)


def match_by_flow(flow: Tensor, appearance: Tensor, stride: int) -> Match:
    """The same from the exact flow (B, 2, S, S) of the drawn mesh."""
    coarse = functional.avg_pool2d(flow.float(), stride)
    return Match(warp(appearance, coarse, stride), coarse, None)
