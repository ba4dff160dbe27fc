"""Conditional patch discriminators at several scales, as in pix2pixHD (Wang et al. 2018, section 3.2).

Differs from the paper: spectral norm on every convolution, as in SPADE (Park et al. 2019), two scales instead of three,
and three strided layers instead of four.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Pictures (B, ``channels``, S, S) and conditions (B, ``conditions``, S, S), here PNCC → one map of answers per
    scale, and per scale the features before it, for feature matching."""

    def __init__(self, channels: int, conditions: int, width: int = 24, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchGAN(channels + conditions, width) for _ in range(scales))

    def forward(self, image: Tensor, condition: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        x = torch.cat([image, condition], dim=1)
        answers, features = [], []
        for scale in self.scales:
            *maps, answer = scale(x)
            answers.append(answer)
            features.append(maps)
            x = functional.avg_pool2d(x, 2)
        return answers, features


class PatchGAN(nn.Module):
    """One scale (Isola et al. 2017): each answer sees a patch of the picture. Returns the outputs of all layers; the
    last is the answer. Instance norm between layers: with spectral norm alone it learns slowly."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for factor in (1, 2, 4):
            convolution = spectral_norm(nn.Conv2d(channels, width * factor, 4, 2, 1))
            norm = [nn.InstanceNorm2d(width * factor)] if factor > 1 else []
            layers.append(nn.Sequential(convolution, *norm, nn.LeakyReLU(0.2)))
            channels = width * factor
        self.layers = nn.ModuleList([*layers, spectral_norm(nn.Conv2d(channels, 1, 3, padding=1))])

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps  # (B, W, S/2, S/2), (B, 2 W, S/4, S/4), (B, 4 W, S/8, S/8), (B, 1, S/8, S/8)
