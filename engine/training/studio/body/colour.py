"""Colours of skin, conversion between linear light and sRGB, and smooth noise, for all painted textures."""

from __future__ import annotations

import cv2
import numpy as np

# Skin from the fairest to the darkest, sRGB, in equal steps of the trait ``melanin``.
TONES = np.array([[234, 196, 178], [220, 176, 150], [198, 150, 120], [160, 114, 86], [114, 80, 62], [70, 51, 43]])


def tone(melanin: float) -> np.ndarray:
    """(3,) linear albedo of a skin."""
    return linear(np.array([np.interp(melanin * 5, range(6), TONES[:, k]) for k in range(3)]) / 255)


def linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def display(light: np.ndarray) -> np.ndarray:
    """Linear 0…1 → sRGB uint8, of any shape."""
    steps = (np.clip(light, 0, 1) * (len(_DISPLAY) - 1) + 0.5).astype(np.uint16)
    return cv2.LUT(steps.reshape(1, -1), _DISPLAY).reshape(steps.shape)


def opaque(planes: np.ndarray) -> np.ndarray:
    """Linear planes (3, h, w) → (h, w, 4) uint8 sRGB with alpha 255."""
    shown = display(planes)
    return cv2.merge([*shown, np.full_like(shown[0], 255)])


def linear_planes(rgb: np.ndarray) -> np.ndarray:
    """sRGB (h, w, 3) uint8 → (3, h, w) float32 linear; numpy is several times as fast on separate planes."""
    height, width = rgb.shape[:2]
    return cv2.LUT(np.concatenate(cv2.split(rgb)), _LINEAR).reshape(3, height, width)


_LINEAR = linear(np.arange(256) / 255).astype(np.float32)
_DISPLAY = np.searchsorted((_LINEAR[1:] + _LINEAR[:-1]) / 2, np.linspace(0, 1, 1 << 16)).astype(np.uint8)


def noise(draws: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """(size, size) smooth noise of unit variance, about ``cells`` bumps across, periodic along rows."""
    grid = draws.standard_normal((cells, cells)).astype(np.float32)
    grid = np.concatenate([grid[:, -2:], grid, grid[:, :2]], axis=1)
    wide = cv2.resize(grid, (int(size * (cells + 4) / cells), size), interpolation=cv2.INTER_CUBIC)
    cut = int(size * 2 / cells)
    out = wide[:, cut : cut + size]
    return out / max(float(out[::4, ::4].std()), 1e-6)
