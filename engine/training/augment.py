"""Augmentations that keep the content of a picture: colour, light, blur, noise, occluding rectangles, JPEG.

Random numbers come from torch, which the loop seeds for every step. Images are (B, 3, H, W) in −1…1.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def photometric(images: Tensor, strength: float = 1.0) -> Tensor:
    """Another camera and light: :func:`recoloured`, blur, noise, drawn per image; ``strength`` 0 does nothing."""
    seen = recoloured(images, strength)
    seen = torch.where(_chance(images, 0.3 * strength), _blurred(seen), seen)
    return grainy(seen, strength).clamp(-1, 1)


def recoloured(images: Tensor, strength: float = 1.0) -> Tensor:
    """Pointwise changes, drawn per image: gamma, contrast, brightness, mixed channels, grey. The result may leave
    −1…1."""
    light = ((images.float() + 1) / 2).clamp(1e-4, 1)
    light = light ** torch.exp(0.4 * strength * _normal(images, 1))
    mix = torch.eye(3, device=images.device) + 0.12 * strength * torch.randn(len(images), 3, 3, device=images.device)
    light = torch.einsum("bij,bjhw->bihw", mix, light) * torch.exp(0.2 * strength * _normal(images, 3))
    middle = light.mean(dim=(1, 2, 3), keepdim=True)
    light = middle + (light - middle) * torch.exp(0.25 * strength * _normal(images, 1))
    light = light + 0.1 * strength * _normal(images, 1)
    grey = light.mean(dim=1, keepdim=True).expand_as(light)
    return torch.where(_chance(images, 0.15 * strength), grey, light) * 2 - 1


def grainy(images: Tensor, strength: float = 1.0) -> Tensor:
    """Gaussian noise, its amount drawn per image."""
    return images + 0.08 * strength * _uniform(images) * torch.randn_like(images)


def hidden(images: Tensor, share: float = 0.35, chance: float = 0.5) -> Tensor:
    """Cutout (DeVries and Taylor 2017): in some pictures a rectangle of one colour, up to ``share`` of them wide."""
    height, width = images.shape[2:]
    y = torch.linspace(0, 1, height, device=images.device)[None, None, :, None]
    x = torch.linspace(0, 1, width, device=images.device)[None, None, None, :]
    inside = ((x - _uniform(images)).abs() < share / 2 * _uniform(images)) & (
        (y - _uniform(images)).abs() < share / 2 * _uniform(images)
    )
    colour = torch.rand(len(images), 3, 1, 1, device=images.device) * 2 - 1
    return torch.where(inside & _chance(images, chance), colour, images)


def blotched(images: Tensor, where: Tensor) -> Tensor:
    """Blotches of colour, drawn per image, in place of the pixels ``where`` (B, 1, H, W) is true."""
    colours = torch.rand(len(images), 3, 5, 5, device=images.device) * 2 - 1
    grown = functional.interpolate(colours, size=images.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(where, grown.to(images), images)


def resampled(images: Tensor, chance: float = 0.25) -> Tensor:
    """Some pictures downsampled and enlarged again, all by the same factor."""
    size = images.shape[2:]
    share = float(torch.rand(()) * 0.6 + 0.25)
    small = functional.interpolate(images, size=[max(8, int(n * share)) for n in size], mode="bilinear", antialias=True)
    grown = functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
    return torch.where(_chance(images, chance), grown, images)


def coded(images: Tensor, chance: float = 0.3) -> Tensor:
    """Some pictures after JPEG compression at quality 15…90."""
    count = len(images)
    qualities = torch.where(torch.rand(count) < chance, torch.randint(15, 91, (count,)), 0).tolist()
    chosen = [k for k, quality in enumerate(qualities) if quality]
    if not chosen:
        return images
    pictures = ((images[chosen].float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    out = images.clone()
    for k, picture in zip(chosen, pictures):
        code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, qualities[k]])[1]
        rgb = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1].transpose(2, 0, 1).copy()
        out[k] = torch.from_numpy(rgb).to(images) / 127.5 - 1
    return out


def _normal(images: Tensor, channels: int) -> Tensor:
    return torch.randn(len(images), channels, 1, 1, device=images.device)


def _uniform(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def _chance(images: Tensor, probability: float) -> Tensor:
    return _uniform(images) < probability


def _blurred(images: Tensor) -> Tensor:
    """A binomial filter of five taps, applied twice."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    kernel = (taps[:, None] * taps)[None, None].expand(3, 1, 5, 5)
    for _ in range(2):
        images = functional.conv2d(functional.pad(images, (2, 2, 2, 2), "replicate"), kernel, groups=3)
    return images
