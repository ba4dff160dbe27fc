"""Triangle id, perspective-correct barycentrics and depth in plain torch, on any device, many pictures at once.

Every pixel in a triangle's bounding box is tested by the triangle's barycentrics. Pixels inside take part in one
scatter-max of 64-bit keys: the bits of 1/depth above the bits of the triangle's number. The result equals
:mod:`engine.raster.opencv`, except for pixel centres on an edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.raster import opencv

_CANDIDATES = 1 << 24  # tested at once: bounds the memory
_MIN_AREA = 1e-8  # square pixels


@dataclass(frozen=True)
class Fragments:
    """As :class:`engine.raster.opencv.Fragments`, in tensors; the pictures of a batch lie on top of each other.

    ``pixel`` (P,) int64 is (image · height + row) · width + column, ascending; ``triangle`` (P,) int64,
    ``barycentric`` (P, 3) float32 sums to 1, ``depth`` (P,) float32.
    """

    shape: tuple[int, int]
    pixel: Tensor
    triangle: Tensor
    barycentric: Tensor
    depth: Tensor

    def numpy(self) -> opencv.Fragments:
        """The same as arrays, for a batch of one."""
        return opencv.Fragments(self.shape, *(t.cpu().numpy() for t in self.fields()))

    def fields(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.pixel, self.triangle, self.barycentric, self.depth


@torch.no_grad()
def rasterise(
    pixels: Tensor,
    depth: Tensor,
    triangles: Tensor,
    shape: tuple[int, int],
    image: Tensor | None = None,
    images: int = 1,
) -> Fragments:
    """Draw ``triangles`` (T, 3) over ``pixels`` (N, 2), nearest ``depth`` (N,) > 0 wins, into (height, width).

    ``image`` (T,) says into which of the batch's ``images`` pictures each triangle is drawn; pictures may hold
    different numbers of triangles. Both windings are drawn.
    """
    height, width = shape
    corner, near = pixels[triangles], 1 / depth[triangles]  # (T, 3, 2), (T, 3)
    first = (corner.amin(1) - 0.5).ceil()
    last = (corner.amax(1) - 0.5).floor()
    left, top = first[:, 0].clamp(0, width), first[:, 1].clamp(0, height)
    columns = last[:, 0].clamp(-1, width - 1) - left + 1
    rows = last[:, 1].clamp(-1, height - 1) - top + 1
    along, across = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
    kept = ((columns > 0) & (rows > 0) & (area.abs() > _MIN_AREA)).nonzero()[:, 0]

    # Second and third barycentric and 1/depth are affine over the picture: value at the box's corner, step in x, in y.
    along, across, inverse = along[kept], across[kept], 1 / area[kept]
    left, top, columns, rows = left[kept], top[kept], columns[kept].long(), rows[kept].long()
    start = torch.stack([left, top], 1) + 0.5 - corner[kept, 0]
    step_b = torch.stack([across[:, 1], -across[:, 0]], 1) * inverse[:, None]
    step_c = torch.stack([-along[:, 1], along[:, 0]], 1) * inverse[:, None]
    planes = torch.cat(
        [(start * step_b).sum(1, keepdim=True), step_b, (start * step_c).sum(1, keepdim=True), step_c, near[kept]], 1
    )
    base = top.long() * width + left.long()
    if image is not None:
        base = base + image[kept].long() * (height * width)

    best = torch.zeros(images * height * width, dtype=torch.int64, device=pixels.device)
    counts = columns * rows
    ends = counts.cumsum(0)
    begin = done = 0
    while begin < len(kept):
        limit = torch.searchsorted(ends, done + _CANDIDATES, right=True)
        end = max(begin + 1, int(limit))
        total = int(ends[end - 1]) - done
        own = torch.repeat_interleave(
            torch.arange(begin, end, device=pixels.device), counts[begin:end], output_size=total
        )
        place = torch.arange(total, device=pixels.device) - (ends - counts - done)[own]
        row = torch.div(place, columns[own], rounding_mode="floor")
        column = place - row * columns[own]
        plane = planes[own]
        b = plane[:, 0] + plane[:, 1] * column + plane[:, 2] * row
        c = plane[:, 3] + plane[:, 4] * column + plane[:, 5] * row
        inside = ((b >= 0) & (c >= 0) & (b + c <= 1)).nonzero()[:, 0]
        own, b, c, corners = own[inside], b[inside], c[inside], plane[inside, 6:]
        nearness = corners[:, 0] + (corners[:, 1] - corners[:, 0]) * b + (corners[:, 2] - corners[:, 0]) * c
        key = nearness.contiguous().view(torch.int32).long() << 32 | (kept[own] + 1)
        best.scatter_reduce_(0, base[own] + row[inside] * width + column[inside], key, "amax")
        begin, done = end, int(ends[end - 1])

    pixel = best.nonzero()[:, 0]
    triangle = (best[pixel] & 0xFFFFFFFF) - 1
    return Fragments((images * height, width), pixel, triangle, *_exact(pixel, triangle, corner, near, shape))


def _exact(
    pixel: Tensor, triangle: Tensor, corner: Tensor, near: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Perspective-correct barycentrics (P, 3) and depth (P,) of pixel centres on their triangles."""
    height, width = shape
    place = pixel % (height * width)
    centre = torch.stack([place % width, place // width], 1) + 0.5
    a, b, c = corner[triangle].unbind(1)
    along, across, offset = b - a, c - a, centre - a
    area = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
    second = (offset[:, 0] * across[:, 1] - offset[:, 1] * across[:, 0]) / area
    third = (along[:, 0] * offset[:, 1] - along[:, 1] * offset[:, 0]) / area
    weights = torch.stack([1 - second - third, second, third], 1) * near[triangle]
    nearness = weights.sum(1)
    return weights / nearness[:, None], 1 / nearness
