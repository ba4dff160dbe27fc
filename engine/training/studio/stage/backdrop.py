"""Procedural backgrounds: plain walls, gradients, noise, shapes."""

from __future__ import annotations

import cv2
import numpy as np


def painted_backdrop(draws: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) float32 linear light."""
    kind = draws.choice(["wall", "gradient", "noise", "shapes"], p=[0.3, 0.25, 0.2, 0.25])
    first, second = _colour(draws), _colour(draws)
    if kind == "wall":  # lit from one side, a little uneven
        amount = 0.5 * _ramp(draws, size) + 0.3 * noise(draws, size, 3)
        picture = first * (0.6 + 0.6 * amount[..., None])
    elif kind == "gradient":
        picture = first + (second - first) * _ramp(draws, size)[..., None]
    elif kind == "noise":
        coarse, fine = (noise(draws, size, int(draws.integers(*cells))) for cells in ((2, 6), (6, 40)))
        amount = coarse * 0.7 + fine * 0.3
        picture = first + (second - first) * amount[..., None]
    else:
        picture = _shapes(draws, size, first)
    return np.clip(picture, 0.001, 2).astype(np.float32)


def noise(draws: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """(size, size) smooth noise 0…1 with about ``cells`` bumps across."""
    coarse = draws.random((cells + 3, cells + 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def _shapes(draws: np.random.Generator, size: int, ground: np.ndarray) -> np.ndarray:
    """Rectangles, discs and stripes that suggest shelves, windows, lamps and blinds out of focus."""
    picture = np.broadcast_to(ground, (size, size, 3)).astype(np.float32).copy()
    for _ in range(draws.integers(3, 16)):
        colour = tuple(float(c) for c in _colour(draws))
        x, y = (int(v) for v in draws.uniform(-0.1, 1.1, 2) * size)
        w, h = (int(v) for v in draws.uniform(0.04, 0.5, 2) * size)
        kind = draws.random()
        if kind < 0.55:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
        elif kind < 0.8:
            cv2.ellipse(picture, (x, y), (w // 2, h // 2), float(draws.uniform(0, 180)), 0, 360, colour, -1)
        else:
            across = draws.random() < 0.5
            for k in range(0, size, max(6, w // 3)):
                ends = ((k, 0), (k, size)) if across else ((0, k), (size, k))
                cv2.line(picture, *ends, colour, max(1, w // 12))
    return picture * (0.7 + 0.6 * _ramp(draws, size)[..., None])


def _ramp(draws: np.random.Generator, size: int) -> np.ndarray:
    """(size, size) 0…1 from one side to the other, or from a point outwards."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    if draws.random() < 0.6:
        angle = draws.uniform(0, 2 * np.pi)
        return np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0, 1)
    cx, cy = draws.uniform(-0.4, 0.4, 2)
    return np.clip(1 - np.hypot(x - cx, y - cy) / draws.uniform(0.5, 1.0), 0, 1)


def _colour(draws: np.random.Generator) -> np.ndarray:
    """(3,) linear; mostly pale or dim and hardly saturated."""
    value = draws.beta(1.3, 1.6)
    tint = draws.normal(0, 0.12 if draws.random() < 0.7 else 0.5, 3)
    return np.clip(value**1.6 * np.exp(tint - tint.mean()), 0.004, 1)
