"""Looking colours up in textures of any size: each is shrunk once to about the size at which it is seen."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.training.studio.scene import Texture

_shrunk: weakref.WeakKeyDictionary[Texture, dict[int, np.ndarray]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Texels:
    """All texels of some textures in one row: ``rgba`` (X,) int32 holding four bytes; per texture ``first`` (K,) and
    ``width``, ``height`` (K,). ``parsing`` (Y,) uint8 with its own ``parsing_first``, −1 where a texture has none."""

    rgba: Tensor
    first: Tensor
    width: Tensor
    height: Tensor
    parsing: Tensor
    parsing_first: Tensor
    parsing_size: Tensor

    def colours(self, texture: Tensor, uv: Tensor) -> Tensor:
        """Bilinear colours and alpha, (4, P) in 0…1 of sRGB, at ``uv`` (P, 2) of textures (P,); edges are stretched."""
        width, height = self.width[texture], self.height[texture]
        x, y = uv[:, 0] * width - 0.5, uv[:, 1] * height - 0.5
        left, top = x.floor(), y.floor()
        x, y = x - left, y - top
        left, top, width, height = left.long(), top.long(), width.long(), height.long()
        zero = torch.zeros_like(left)
        columns = torch.minimum(left.clamp(min=0), width - 1), torch.maximum(torch.minimum(left + 1, width - 1), zero)
        rows = torch.minimum(top.clamp(min=0), height - 1), torch.maximum(torch.minimum(top + 1, height - 1), zero)
        first = self.first[texture]
        upper, lower = first + rows[0] * width, first + rows[1] * width
        (a, b), (c, d) = [[self._bytes(row + column) for column in columns] for row in (upper, lower)]
        top_row = a + (b - a) * x[:, None]
        return ((top_row + ((c + (d - c) * x[:, None]) - top_row) * y[:, None]) * (1 / 255)).t().contiguous()

    def _bytes(self, index: Tensor) -> Tensor:
        return self.rgba[index].view(torch.uint8).view(-1, 4).float()

    def classes(self, texture: Tensor, uv: Tensor) -> Tensor:
        """The nearest parsing class (P,) uint8, 0 where the texture says nothing."""
        first = self.parsing_first[texture]
        width, height = self.parsing_size[texture].unbind(1)
        column = torch.minimum((uv[:, 0] * width).long().clamp(min=0), width - 1)
        row = torch.minimum((uv[:, 1] * height).long().clamp(min=0), height - 1)
        return torch.where(first < 0, 0, self.parsing[(first + row * width + column).clamp(min=0)])


def texels(textures: Sequence[Texture], shrink: Sequence[int], device: torch.device) -> Texels:
    """Lay textures in a row, each shrunk by a power of two: ``shrink`` holds the exponents (0 is full size)."""
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
        first=tensor(first),
        width=tensor(np.array([image.shape[1] for image in images], np.float32)),
        height=tensor(np.array([image.shape[0] for image in images], np.float32)),
        parsing=tensor(np.concatenate(parsing)),
        parsing_first=tensor(np.array(starts)),
        parsing_size=tensor(np.array(sizes)),
    )


def _smaller(texture: Texture, level: int) -> np.ndarray:
    """The texture halved ``level`` times, remembered as long as the texture lives."""
    levels = _shrunk.setdefault(texture, {})
    if level not in levels:
        height, width = texture.rgba.shape[:2]
        size = max(1, width >> level), max(1, height >> level)
        same = size == (width, height)
        levels[level] = np.ascontiguousarray(
            texture.rgba if same else cv2.resize(texture.rgba, size, interpolation=cv2.INTER_AREA)
        )
    return levels[level]
