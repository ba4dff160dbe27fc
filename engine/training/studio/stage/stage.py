"""Everything around the sitter: light, background, camera and lens, and their distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engine.training.studio.stage.backdrop import painted_backdrop
from engine.training.studio.stage.environment import Environment
from engine.training.studio.stage.scene import Lens, Light

_BACKDROP = 192  # pixels; it is out of focus or far away
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Stage:
    """``light``, ``background`` (h, w, 3) linear and ``lens`` as in a Scene; ``focal`` in widths of the picture;
    ``distance`` cm from the camera to the head's middle, ``shift`` (2,) cm by which it misses the picture's centre."""

    light: Light
    background: np.ndarray
    lens: Lens
    focal: float
    distance: float
    shift: np.ndarray


def harmonic_basis(directions: np.ndarray) -> np.ndarray:
    """(…, 9): real spherical harmonics of unit directions (…, 3), in the order 1, y, z, x, xy, yz, 3z²−1, xz, x²−y²
    (Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment maps", 2001)."""
    x, y, z = np.moveaxis(directions, -1, 0)
    basis = [np.full_like(x, 0.282095), 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z]
    basis += [0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y)]
    return np.stack(basis, axis=-1)


def turned_harmonics(harmonics: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(9, 3): the function n ↦ f(``turn`` n) of a function f given by its ``harmonics`` (9, 3)."""
    return np.linalg.pinv(harmonic_basis(_DIRECTIONS)) @ harmonic_basis(_DIRECTIONS @ turn.T) @ harmonics


def sample_stage(environments: Sequence[Environment], draws: np.random.Generator) -> Stage:
    """A random stage; ``environments`` must not be empty."""
    environment = environments[int(draws.integers(len(environments)))]
    turn = _about_y(draws.uniform(-np.pi, np.pi))
    harmonics = turned_harmonics(environment.harmonics, turn)
    seen = harmonic_basis(np.array([[0, 0, 1.0], [0.6, 0.3, 0.74], [-0.6, 0.3, 0.74], [0, 0.9, 0.43]])) @ harmonics
    level = float(np.maximum(seen, 0).mean(axis=0) @ _LUMINANCE)
    gain = float(np.exp(draws.normal(np.log(0.5), 0.3))) / max(level, 1e-4)  # exposure, not always right
    key, share = _key_light(draws)
    gain *= share
    light = Light(
        harmonics=(harmonics * gain).astype(np.float32),
        mirror=(environment.mirror * gain).astype(np.float32),
        mirror_turn=turn,
        key_direction=key[0],
        key_colour=key[1],
    )
    distance = float(np.exp(draws.uniform(np.log(45), np.log(220))))
    width = float(np.clip(draws.lognormal(np.log(32.5), 0.2), 23, 54))  # cm of the plane through the head
    shift = draws.normal(0, 1, 2) * np.array([0.045, 0.035]) * width + [0, 0.10 * (width - 30)]
    return Stage(
        light=light,
        background=_background(environment, turn, gain, draws),
        lens=sample_lens(draws),
        focal=distance / width,
        distance=distance,
        shift=shift,
    )


def sample_lens(draws: np.random.Generator) -> Lens:
    """A lens with its noise and compression: a third are clean, few are poor in every respect."""
    seed = int(draws.integers(1 << 31))
    exposure = float(np.exp(draws.normal(0, 0.18)))
    if draws.random() < 0.35:
        return Lens(exposure=exposure, seed=seed)
    poor = draws.random() ** 2
    warm, green = draws.normal(0, 0.06), draws.normal(0, 0.02)
    return Lens(
        exposure=exposure,
        tint=(float(np.exp(warm)), float(np.exp(green)), float(np.exp(-warm))),
        blur=float(draws.uniform(0, 0.007) * poor) if draws.random() < 0.5 else 0.0,
        vignette=float(draws.uniform(0, 0.5)) if draws.random() < 0.25 else 0.0,
        shot_noise=float(draws.uniform(0, 0.05) * poor) if draws.random() < 0.6 else 0.0,
        read_noise=float(draws.uniform(0, 0.02) * poor) if draws.random() < 0.6 else 0.0,
        jpeg=int(draws.integers(35, 96)) if draws.random() < 0.5 else 0,
        seed=seed,
    )


def _key_light(draws: np.random.Generator) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Direction and colour of a lamp or the sun, and the share of light left to the environment."""
    azimuth = draws.normal(0, 0.8)
    elevation = draws.uniform(-0.1, 1.15)
    direction = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    kind = draws.random()
    if kind < 0.3:
        return (direction, np.zeros(3)), 1.0
    strength, share = (draws.uniform(0.15, 0.6), 0.85) if kind < 0.75 else (draws.uniform(0.6, 1.3), 0.6)
    warm = draws.normal(0.04, 0.1)
    return (direction, strength * np.exp(np.array([warm, 0, -1.4 * warm]))), share


def _background(environment: Environment, turn: np.ndarray, gain: float, draws: np.random.Generator) -> np.ndarray:
    """(h, w, 3) linear light behind the sitter."""
    if draws.random() < 0.5:
        picture = _view(environment.panorama, turn, draws.uniform(0.6, 1.5)) * gain * np.exp(draws.normal(0, 0.25))
        blur = _BACKDROP * draws.uniform(0, 0.035) * (draws.random() < 0.75)
    else:
        picture = painted_backdrop(draws, _BACKDROP)
        blur = _BACKDROP * draws.uniform(0, 0.06) * (draws.random() < 0.5)
    if blur > 0.3:
        picture = cv2.GaussianBlur(np.minimum(picture, 8), (0, 0), blur)
    return np.clip(picture, 0, 8).astype(np.float32)


def _view(panorama: np.ndarray, turn: np.ndarray, width: float) -> np.ndarray:
    """The panorama seen by a camera that looks down −z; ``width`` is the picture's at distance 1."""
    grid = (np.arange(_BACKDROP) + 0.5) / _BACKDROP - 0.5
    x, y = np.meshgrid(grid * width, -grid * width)
    rays = np.stack([x, y, -np.ones_like(x)], axis=-1) @ turn.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    height, around = panorama.shape[:2]
    column = (np.arctan2(rays[..., 0], -rays[..., 2]) / (2 * np.pi) + 0.5) * around - 0.5
    row = np.arccos(np.clip(rays[..., 1], -1, 1)) / np.pi * height - 0.5
    return cv2.remap(
        panorama.astype(np.float32),
        column.astype(np.float32),
        row.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


def _about_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _fibonacci_sphere(count: int) -> np.ndarray:
    """(count, 3) directions spread evenly."""
    k = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    return np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], axis=1)


_DIRECTIONS = _fibonacci_sphere(64)
