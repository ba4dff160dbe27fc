"""Losses that tasks share: functions of tensors that return an unweighted scalar. See also :mod:`adversarial`; losses
of one paper only are in its task.

Images are (B, C, H, W). With a ``mask`` (B, 1, H, W) in 0…1 a loss is the mean weighted by it, 0 for an empty mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

_ALIKE = 1e-5  # squared distance of unit embeddings, below which people are not told apart
Features = Callable[[Tensor], Sequence[Tensor]]  # an image → feature maps, shallow first


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (B, C, H, W), weighted by the mask."""
    if mask is None:
        return values.mean()
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp(min=1e-6)


def l1(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean |a − b|."""
    return masked_mean((a - b).abs(), mask)


def pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """The image at 1, 1/2, 1/4 … of its size, box filtered."""
    images = [image]
    for _ in range(levels - 1):
        images.append(functional.avg_pool2d(images[-1], 2))
    return images


def perceptual(features: Features, a: Tensor, b: Tensor, scales: int = 4) -> Tensor:
    """Σ over scales and layers of mean |φ(a) − φ(b)| (Johnson et al. 2016; over four scales as in FOMM and PIRender).
    ``b`` is the truth; it gets no gradient."""
    total = a.new_zeros(())
    for one, other in zip(pyramid(a, scales), pyramid(b.detach(), scales)):
        with torch.no_grad():
            truth = features(other)
        for made, real in zip(features(one), truth):
            total = total + (made - real).abs().mean()
    return total


def gram(maps: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, C): F Fᵀ / (C H W) (Gatys et al. 2016), in fp32, since it sums over all pixels."""
    flat = maps.float().flatten(2)
    return flat @ flat.transpose(1, 2) / (maps.shape[1] * flat.shape[2])


def style(features: Features, a: Tensor, b: Tensor) -> Tensor:
    """Σ over layers of mean |Gram(φ(a)) − Gram(φ(b))|; ``b`` is the truth."""
    with torch.no_grad():
        truth = [gram(maps) for maps in features(b)]
    return torch.stack([(gram(maps) - real).abs().mean() for maps, real in zip(features(a), truth)]).sum()


def identity(a: Tensor, b: Tensor) -> Tensor:
    """Mean 1 − cos of two embeddings (B, D)."""
    return (1 - functional.cosine_similarity(a.float(), b.float(), dim=1)).mean()


def unlikeness(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of two embeddings (B, D) of the same people, relative to the mean squared distance between
    different people in ``b``, since an embedding may use only a small part of its sphere; 0 for a batch of one. ``b``
    is the truth."""
    a, b = a.float(), b.detach().float()
    if len(b) < 2:
        return 0 * a.sum()
    among = (b[:, None] - b).square().sum(dim=2).sum() / (len(b) * (len(b) - 1))
    return (a - b).square().sum(dim=1).mean() / among.clamp(min=_ALIKE)


def flow(predicted: Tensor, truth: Tensor, visible: Tensor) -> Tensor:
    """Mean |predicted − truth| of offsets (B, 2, H, W), weighted by ``visible`` (B, 1, H, W)."""
    return l1(predicted.float(), truth, visible)


def correspondence(attention: Tensor, source_pncc: Tensor, driving_pncc: Tensor, visible: Tensor) -> Tensor:
    """Mean |A · PNCC_source − PNCC_driving| where both show the same surface: attention must look up the right place.

    ``attention`` (B, U, V), rows summing to one, from the U cells of the driving grid to the V cells of the source
    grid; the PNCC maps are (B, 3, H, W) at a multiple of the grid's size, ``visible`` (B, 1, H, W).
    """
    stride = round((source_pncc.shape[2] * source_pncc.shape[3] / attention.shape[2]) ** 0.5)
    source, driving, seen = (functional.avg_pool2d(m, stride) for m in (source_pncc, driving_pncc, visible))
    looked_up = (attention.float() @ source.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, driving.shape[2:])
    return l1(looked_up, driving, (seen > 0.999).float())  # cells on an edge mix two surfaces


def landmark(predicted: Tensor, truth: Tensor, visible: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
    """Mean |predicted − truth| of points (B, P, D), weighted by ``visible`` (B, P) and divided by ``scale`` (B,), such
    as the distance between the eyes, if given."""
    distance = (predicted.float() - truth).abs().mean(dim=2)
    if scale is not None:
        distance = distance / scale[:, None]
    return _seen(distance, visible)


def wing(
    predicted: Tensor, truth: Tensor, visible: Tensor | None = None, width: float = 0.1, curvature: float = 0.02
) -> Tensor:
    """The wing loss of points (B, P, D) (Feng et al. 2018, eq. 5): w ln(1 + |x|/ε) for |x| < w, else |x| − C, so
    that small errors keep large gradients."""
    x = (predicted.float() - truth).abs()
    offset = width - width * torch.log1p(torch.tensor(width / curvature))
    return _seen(torch.where(x < width, width * torch.log1p(x / curvature), x - offset).mean(dim=2), visible)


def laplacian_l1(a: Tensor, b: Tensor, levels: int = 4, mask: Tensor | None = None) -> Tensor:
    """Σ over levels k of 2^k mean |L_k(a) − L_k(b)| (Bojanowski et al. 2018, eq. 3, with box filters); the residual is
    the last level. ``H`` and ``W`` are multiples of 2^(levels − 1)."""
    total, difference = a.new_zeros((), dtype=torch.float32), (a - b).float()
    for level in range(levels):
        coarse = functional.avg_pool2d(difference, 2) if level < levels - 1 else None
        band = difference if coarse is None else difference - functional.interpolate(coarse, scale_factor=2.0)
        total = total + 2**level * masked_mean(band.abs(), mask)
        if coarse is not None:
            difference, mask = coarse, None if mask is None else functional.avg_pool2d(mask, 2)
    return total


def gradient_l1(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean |∂(a − b)| over forward differences along x and y (a step counts if both pixels do)."""
    difference = a - b
    total = a.new_zeros(())
    for axis in (2, 3):
        size = difference.shape[axis] - 1
        step = difference.narrow(axis, 1, size) - difference.narrow(axis, 0, size)
        both = None if mask is None else mask.narrow(axis, 1, size) * mask.narrow(axis, 0, size)
        total = total + masked_mean(step.abs(), both)
    return total / 2


def _seen(distance: Tensor, visible: Tensor | None) -> Tensor:
    """Mean of (B, P), weighted by ``visible``."""
    return distance.mean() if visible is None else (distance * visible).sum() / visible.sum().clamp(min=1e-6)
