"""A judge of patches at two scales, told what it should see: PNCC beside the picture (pix2pixHD, Wang et al. 2018).

Under spectral norm alone little of a picture's differences reaches the answer, and it learns slowly; so instances are
normalised between layers, as in SPADE (Park et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Pictures (B, ``channels``, S, S) and their conditions (B, ``conditions``, S, S) → answers, a map a scale, and
    the features before them, a list a scale."""

    def __init__(self, channels: int, conditions: int, width: int = 24, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_scale(channels + conditions, width) for _ in range(scales))

    def forward(self, image: Tensor, condition: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        x = torch.cat([image, condition], dim=1)
        answers, features = [], []
        for scale in self.scales:
            assert isinstance(scale, nn.ModuleList)
            maps = [x]
            for layer in scale:
                maps.append(layer(maps[-1]))
            answers.append(maps[-1])
            features.append(maps[1:-1])
            x = functional.avg_pool2d(x, 2)
        return answers, features


def _scale(before: int, width: int) -> nn.ModuleList:
    layers: list[nn.Module] = []
    for factor in (1, 2, 4):
        convolution = spectral_norm(nn.Conv2d(before, width * factor, 4, 2, 1))
        normed = [nn.InstanceNorm2d(width * factor)] if factor > 1 else []
        layers.append(nn.Sequential(convolution, *normed, nn.LeakyReLU(0.2)))
        before = width * factor
    return nn.ModuleList([*layers, spectral_norm(nn.Conv2d(before, 1, 3, padding=1))])
