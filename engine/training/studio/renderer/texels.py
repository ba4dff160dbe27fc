"""Texture lookup: every texture is first reduced to about the size at which it is visible."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.training.studio.renderer.vectors import piecewise
from engine.training.studio.stage.scene import Texture

_BELOW_ONE = 1 - 2.0**-23
_shrunk: weakref.WeakKeyDictionary[Texture, dict[int, np.ndarray]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Texels:
    """All texels of some textures in one row, each texture with its edge repeated around it: ``rgba`` (X,) int32
    holding four bytes. Per texture: ``size`` (K, 2) float width and height without the edge, ``layout`` (K, 2) where
    its first texel is and how far apart its rows are. ``parsing`` (Y,) uint8 with ``parsing_first`` (K,), −1 where a
    texture has none, and ``parsing_size`` (K, 2) float."""

    rgba: Tensor
    size: Tensor
    layout: Tensor
    parsing: Tensor
    parsing_first: Tensor
    parsing_size: Tensor

    def colours(self, texture: Tensor, uv: Tensor) -> Tensor:
        """Bilinear colours and alpha, (4, P) in 0…1 of sRGB, at ``uv`` (2, P) of textures (P,); edges are stretched."""
        return piecewise(self._colours, texture, uv)

    def _colours(self, texture: Tensor, uv: Tensor) -> Tensor:
        at = torch.addcmul(uv.new_tensor(0.5), uv.clamp(0, 1), self.size.index_select(0, texture).t())
        corner = at.floor()
        x, y = ((at - corner)[:, :, None] @ at.new_ones(1, 4)).unbind()  # per channel: broadcasting is slow
        column, row = corner.long()
        first, stride = self.layout.index_select(0, texture).t()
        a = torch.addcmul(first + column, row, stride)
        upper = torch.lerp(self._bytes(a), self._bytes(a + 1), x)
        a += stride
        lower = torch.lerp(self._bytes(a), self._bytes(a + 1), x)
        to_share = torch.eye(4, device=uv.device) / 255
        return to_share @ torch.lerp(upper, lower, y).t()

    def _bytes(self, index: Tensor) -> Tensor:
        return self.rgba.index_select(0, index).view(torch.uint8).view(-1, 4).float()

    def classes(self, texture: Tensor, uv: Tensor) -> Tensor:
        """The nearest parsing class (P,) uint8, 0 where the texture has none."""
        first = self.parsing_first.index_select(0, texture)
        size = self.parsing_size.index_select(0, texture).t()
        column, row = (uv.clamp(0, _BELOW_ONE) * size).long()
        place = torch.addcmul(first + column, row, size[0].long()).clamp_(min=0)
        return torch.where(first < 0, 0, self.parsing.index_select(0, place))


def texels(textures: Sequence[Texture], shrink: Sequence[int], device: torch.device) -> Texels:
    """Concatenates textures, each reduced by a power of two: ``shrink`` holds the exponents (0 is full size)."""
    images = [_smaller(texture, level) for texture, level in zip(textures, shrink, strict=True)]
    first = np.cumsum([0, *(image.size // 4 for image in images)])[:-1]
    parsing = [np.zeros(1, np.uint8), *(t.parsing.reshape(-1) for t in textures if t.parsing is not None)]
    starts, sizes, end = [], [], 1
    for texture in textures:
        if texture.parsing is None:
            starts.append(-1)
            sizes.append((1, 1))
        else:
            starts.append(end)
            sizes.append(texture.parsing.shape[::-1])
            end += texture.parsing.size

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Texels(
        rgba=tensor(np.concatenate([image.reshape(-1).view(np.int32) for image in images])),
        size=tensor(np.array([(image.shape[1] - 2, image.shape[0] - 2) for image in images], np.float32)),
        layout=tensor(np.column_stack([first, [image.shape[1] for image in images]])),
        parsing=tensor(np.concatenate(parsing)),
        parsing_first=tensor(np.array(starts)),
        parsing_size=tensor(np.array(sizes, np.float32)),
    )


def _smaller(texture: Texture, level: int) -> np.ndarray:
    """The texture halved ``level`` times, with its edge repeated once; cached while the texture exists."""
    levels = _shrunk.setdefault(texture, {})
    if level not in levels:
        height, width = texture.rgba.shape[:2]
        size = max(1, width >> level), max(1, height >> level)
        small = texture.rgba if level == 0 else cv2.resize(texture.rgba, size, interpolation=cv2.INTER_AREA)
        levels[level] = cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return levels[level]
