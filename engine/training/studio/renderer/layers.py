"""Layers with alpha over the opaque scene: the visible share of each fragment, and the surface that labels a pixel.

Fragments are composited by depth at every pixel (Porter and Duff, "Compositing digital images", 1984, operator *over*):
a fragment of opacity α counts α times what all nearer fragments of its pixel let through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.raster.torch_scatter import Fragments
from engine.training.studio.renderer.vectors import indices

INVISIBLE = 1 / 512  # a share that does not change an 8-bit picture
_GAP = 0.15  # transmittance above which the layers are searched for further hair


@dataclass(frozen=True)
class Seen:
    """Visible fragments, slot by slot, at most one per slot and pixel: ``weight`` (P,) is their share of the
    pixel, ``rgba`` (4, P) their texture's colour, ``ends`` where each slot ends."""

    fragments: Fragments
    rgba: Tensor
    weight: Tensor
    ends: tuple[int, ...]

    def composite(self, colour: Tensor) -> Tensor:
        """Colours (C, P) as the pictures they make, premultiplied by the coverage in the last row: (C + 1, pixels)."""
        height, width = self.fragments.shape
        share = torch.cat([colour * self.weight, self.weight[None]])
        picture = torch.zeros(len(share), height * width, device=colour.device)
        start = 0
        for end in self.ends:
            pixel = self.fragments.pixel[start:end]
            picture.index_add_(1, pixel, share[:, start:end])
            start = end
        return picture


def nearer(one: Fragments, other: Fragments) -> Fragments:
    """The nearer fragments of two opaque drawings."""
    if not len(other.pixel):
        return one
    before, behind = _map(other.depth, other, float("inf")), _map(one.depth, one, float("inf"))
    first = select(one, indices(one.depth <= before.index_select(0, one.pixel)))
    return joined([first, select(other, indices(other.depth < behind.index_select(0, other.pixel)))])


def wall(fragments: Fragments) -> Tensor:
    """The depth of opaque fragments at every pixel (pixels,), infinity where there is none."""
    return _map(fragments.depth, fragments, float("inf"))


def before(wall: Tensor, layer: Fragments) -> Fragments:
    """The fragments of a layer in front of a :func:`wall`."""
    return select(layer, indices(layer.depth < wall.index_select(0, layer.pixel)))


def through_gaps(wall: Tensor, layers: Sequence[Fragments], alpha: Sequence[Tensor]) -> Tensor:
    """The :func:`wall` where it is visible through gaps in ``layers``, 0 elsewhere."""
    passes, there = torch.ones_like(wall), torch.zeros_like(wall)
    for layer, opacity in zip(layers, alpha, strict=True):
        passes[layer.pixel] *= 1 - opacity
        there[layer.pixel] = 1
    return torch.where(passes * there > _GAP, wall, 0.0)


def seen(slots: Sequence[Fragments], rgba: Sequence[Tensor], through: Sequence[Tensor]) -> Seen:
    """The visible fragments of all slots, given their textures' colours and :func:`transmittance`."""
    weights = [
        before * colour[3] if k else before for k, (before, colour) in enumerate(zip(through, rgba, strict=True))
    ]
    kept = [indices(weight > INVISIBLE) for weight in weights]
    ends = tuple(torch.tensor([len(index) for index in kept]).cumsum(0).tolist())
    return Seen(
        fragments=joined([select(fragments, index) for fragments, index in zip(slots, kept, strict=True)]),
        rgba=torch.cat([colour.index_select(1, index) for colour, index in zip(rgba, kept, strict=True)], 1),
        weight=torch.cat([weight.index_select(0, index) for weight, index in zip(weights, kept, strict=True)]),
        ends=ends,
    )


def labelled(slots: Sequence[Fragments], alpha: Sequence[Tensor], through: Sequence[Tensor]) -> Fragments:
    """The one surface by which each pixel is labelled: the fragment at which the opacity summed up from the front
    passes one half. All labels of a pixel come from that fragment alone. ``alpha`` of the layers as for
    :func:`transmittance`."""
    chosen = []
    for k, (fragments, before) in enumerate(zip(slots, through, strict=True)):
        behind = before * (1 - alpha[k - 1]) if k else torch.zeros_like(before)
        chosen.append(select(fragments, indices((before > 0.5) & (behind <= 0.5))))
    return joined(chosen)


def transmittance(slots: Sequence[Fragments], alpha: Sequence[Tensor]) -> list[Tensor]:
    """Per slot and fragment (P,): the share of its light that all nearer fragments of other layers let through.
    ``alpha`` of every layer, that is of every slot but the first, which is opaque and has all others before it."""
    opaque, layers = slots[0], slots[1:]
    height, width = opaque.shape
    passes = torch.ones(height * width, device=opaque.depth.device)
    for layer, a in zip(layers, alpha, strict=True):
        passes[layer.pixel] = passes.index_select(0, layer.pixel) * (1 - a)
    through = [passes.index_select(0, opaque.pixel)]  # all layers are in front of it
    depths = [_map(layer.depth, layer, float("inf")) for layer in layers]
    opacity = [_map(a, layer, 0.0) for layer, a in zip(layers, alpha, strict=True)]
    for k, fragments in enumerate(layers):
        product = torch.ones_like(fragments.depth)
        for other, (depth, holds) in enumerate(zip(depths, opacity, strict=True)):
            if other != k:
                there = depth.index_select(0, fragments.pixel)
                nearer = there < fragments.depth if other > k else there <= fragments.depth
                product = product * (1 - holds.index_select(0, fragments.pixel) * nearer)
        through.append(product)
    return through


def select(fragments: Fragments, index: Tensor) -> Fragments:
    """The fragments of these ascending indices."""
    if len(index) == len(fragments.pixel):
        return fragments
    return Fragments(fragments.shape, *(field.index_select(0, index) for field in fragments.fields()))


def joined(parts: Sequence[Fragments]) -> Fragments:
    """Both, concatenated."""
    if len(parts) == 1:
        return parts[0]
    return Fragments(parts[0].shape, *(torch.cat(fields) for fields in zip(*(p.fields() for p in parts), strict=True)))


def _map(values: Tensor, fragments: Fragments, empty: float) -> Tensor:
    """Values at fragments as whole pictures (pixels,)."""
    height, width = fragments.shape
    out = torch.full((height * width,), empty, device=values.device)
    return out.index_copy_(0, fragments.pixel, values)
