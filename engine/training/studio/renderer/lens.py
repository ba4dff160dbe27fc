"""From linear light to the picture a camera delivers. Noise is drawn on the CPU from the lens' own seed."""

from __future__ import annotations

import functools
from statistics import NormalDist

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.training.studio.randomness import draws
from engine.training.studio.stage.scene import Lens, Scene

_GREY = 0.6  # exposure 1 shows a white matt surface in light 1 a little below white


def tone(linear: Tensor) -> Tensor:
    """Linear light as display values 0…1: a film-like shoulder (Narkowicz, "ACES filmic tone mapping curve", 2016),
    then the display's gamma."""
    x = (linear * _GREY).clamp_(min=0)
    curve = (x * (2.51 * x + 0.03)).div_((x * (2.43 * x + 0.59)).add_(0.14))
    return curve.clamp_(0, 1).log_().mul_(1 / 2.2).exp_()  # pow_ takes three times as long


def gain(lens: Lens) -> np.ndarray:
    """The factor of linear light, (3,) float32."""
    return np.float32(lens.exposure) * np.asarray(lens.tint, np.float32)


def develop(display: np.ndarray, lens: Lens) -> np.ndarray:
    """Display values (S, S, 3) float32 0…1 → uint8, through blur, vignette, noise and JPEG."""
    size = len(display)
    if lens.blur * size > 0.1:  # smaller blurs are invisible
        display = cv2.GaussianBlur(display, (0, 0), lens.blur * size)
    if lens.vignette > 0:
        display = display * (1 - lens.vignette * _corner_distance(size))[..., None]
    if lens.shot_noise > 0 or lens.read_noise > 0:
        spread = np.sqrt(lens.read_noise**2 + lens.shot_noise**2 * np.clip(display, 0, 1))
        display = display + spread * _normal(lens.seed, display.size).reshape(display.shape)
    picture = cv2.convertScaleAbs(np.clip(display, 0, 1), alpha=255)
    if lens.jpeg:
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, lens.jpeg])[1]
        picture = cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return picture


def photograph(scene: Scene, light: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Light that another renderer drew, taken through the scene's lens: ``light`` (S, S, 3) float32 linear, already
    weighted by its ``coverage`` (S, S) 0…1, over the scene's background → (S, S, 3) uint8."""
    behind = backdrop(scene.background, len(light)).permute(1, 2, 0).numpy()
    linear = (light + behind * (1 - coverage[..., None])) * gain(scene.lens)
    return develop(tone(torch.from_numpy(np.ascontiguousarray(linear, np.float32))).numpy(), scene.lens)


def _normal(seed: int, count: int) -> np.ndarray:
    """Normal numbers in 256 steps, fine enough for 8 bits and ten times as fast: (count,) float32."""
    return _quantiles()[draws(seed, "lens").integers(0, 256, count, np.uint8)]


@functools.lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    values = np.array([NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)])
    return (values / values.std()).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _corner_distance(size: int) -> np.ndarray:
    """The square of each pixel's distance from the centre, 1 in the corners."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) ** 2
    return (axis[:, None] + axis[None]) / 2


def backdrop(background: np.ndarray, size: int) -> Tensor:
    """The background stretched over a picture: (3, size, size) linear."""
    shrinks = background.shape[0] > size
    stretched = cv2.resize(background, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return torch.from_numpy(np.stack(cv2.split(stretched)))
