"""What may happen to a picture without changing what it shows: colour, light, blur, noise, hidden patches.

Random numbers are torch's own, so that the loop's seed of the step decides them. Images are (B, 3, H, W) in −1…1.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def photometric(images: Tensor, strength: float = 1.0) -> Tensor:
    """Another camera, another light: :func:`recoloured`, blur, noise. Differs for every image; ``strength`` 0 is
    none."""
    seen = recoloured(images, strength)
    seen = torch.where(_chance(images, 0.3 * strength), _blurred(seen), seen)
    return grainy(seen, strength).clamp(-1, 1)


def recoloured(images: Tensor, strength: float = 1.0) -> Tensor:
    """Another light, each pixel by itself: gamma, contrast, brightness, mixed channels, grey. Differs for every image;
    may leave −1…1."""
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
    """Noise alone, a different amount for every image."""
    return images + 0.08 * strength * _uniform(images) * torch.randn_like(images)


def hidden(images: Tensor, share: float = 0.35, chance: float = 0.5) -> Tensor:
    """A rectangle of one colour in front of some pictures, up to ``share`` of them wide (DeVries and Taylor 2017)."""
    height, width = images.shape[2:]
    y = torch.linspace(0, 1, height, device=images.device)[None, None, :, None]
    x = torch.linspace(0, 1, width, device=images.device)[None, None, None, :]
    inside = ((x - _uniform(images)).abs() < share / 2 * _uniform(images)) & (
        (y - _uniform(images)).abs() < share / 2 * _uniform(images)
    )
    colour = torch.rand(len(images), 3, 1, 1, device=images.device) * 2 - 1
    return torch.where(inside & _chance(images, chance), colour, images)


def blotched(images: Tensor, where: Tensor) -> Tensor:
    """Blotches of colour in the place of what is ``where`` (B, 1, H, W), other ones in every image."""
    colours = torch.rand(len(images), 3, 5, 5, device=images.device) * 2 - 1
    grown = functional.interpolate(colours, size=images.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(where, grown.to(images), images)


def resampled(images: Tensor, chance: float = 0.25) -> Tensor:
    """Some pictures as they would be had they been smaller once; how much smaller is one draw for all of them."""
    size = images.shape[2:]
    share = float(torch.rand(()) * 0.6 + 0.25)
    small = functional.interpolate(images, size=[max(8, int(n * share)) for n in size], mode="bilinear", antialias=True)
    grown = functional.interpolate(small, size=size, mode="bilinear", align_corners=False)
    return torch.where(_chance(images, chance), grown, images)


def coded(images: Tensor, chance: float = 0.3) -> Tensor:
    """Some pictures after a real JPEG of quality 15…90."""
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
    """A binomial filter of five taps, twice."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    kernel = (taps[:, None] * taps)[None, None].expand(3, 1, 5, 5)
    for _ in range(2):
        images = functional.conv2d(functional.pad(images, (2, 2, 2, 2), "replicate"), kernel, groups=3)
    return images
