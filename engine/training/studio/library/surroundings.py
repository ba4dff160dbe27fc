"""Procedural environments as panoramas: sky and ground, rooms with windows and lamps, a studio."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from engine.training.studio.randomness import draws

_HEIGHT, _WIDTH = 128, 256
_MIRROR = (32, 64)
_SHARPNESS = 60  # exponent of the lobe that blurs the mirror map
_BANDS = np.array([1.0] + [2 / 3] * 3 + [1 / 4] * 5)  # irradiance over π, from radiance
# name: (held out, zenith, horizon, ground, lamps (direction from the left and up in degrees, width in degrees, colour))
_Lamp = tuple[float, float, float, tuple[float, float, float]]
_Colour = tuple[float, float, float]
_PLACES: dict[str, tuple[bool, _Colour, _Colour, _Colour, tuple[_Lamp, ...]]] = {
    "noon": (False, (0.30, 0.48, 0.95), (0.75, 0.85, 1.0), (0.28, 0.25, 0.18), ((40, 60, 5, (60, 56, 48)),)),
    "overcast": (False, (0.85, 0.9, 1.0), (0.65, 0.68, 0.72), (0.18, 0.17, 0.15), ()),
    "evening": (False, (0.16, 0.22, 0.42), (0.95, 0.55, 0.28), (0.12, 0.09, 0.07), ((-70, 7, 7, (60, 28, 9)),)),
    "window": (False, (0.16, 0.15, 0.14), (0.20, 0.18, 0.16), (0.10, 0.08, 0.06), ((-65, 12, 26, (5.5, 6.0, 6.6)),)),
    "office": (False, (0.30, 0.30, 0.29), (0.30, 0.30, 0.28), (0.14, 0.13, 0.12),
               ((-20, 72, 13, (5, 5, 4.6)), (35, 66, 13, (5, 5, 4.6)), (150, 60, 14, (5, 5, 4.6)))),
    "lamps": (False, (0.06, 0.05, 0.04), (0.10, 0.07, 0.05), (0.06, 0.04, 0.03),
              ((55, 25, 12, (16, 10, 5)), (-120, 15, 9, (14, 8, 4)))),
    "studio": (False, (0.05, 0.05, 0.05), (0.10, 0.10, 0.10), (0.05, 0.05, 0.05),
               ((-48, 32, 20, (9, 9, 9)), (62, 12, 24, (2.5, 2.5, 2.6)), (165, 30, 14, (8, 8, 8)))),
    "forest": (True, (0.55, 0.7, 0.6), (0.12, 0.20, 0.07), (0.07, 0.09, 0.03), ((20, 48, 8, (22, 21, 15)),)),
    "night": (True, (0.02, 0.025, 0.06), (0.10, 0.07, 0.07), (0.05, 0.04, 0.04),
              ((30, 12, 6, (18, 9, 4)), (-60, 20, 8, (4, 9, 14)), (-150, 8, 6, (14, 3, 8)))),
}  # fmt: skip


def surroundings() -> Iterator[tuple[str, bool, np.ndarray, np.ndarray, np.ndarray]]:
    """For each environment: name, whether it is held out, harmonics (9, 3), mirror map and panorama, as
    ``Environment`` has them; mean radiance about ½."""
    rays, solid = _rays(_HEIGHT, _WIDTH)
    coarse, share = _rays(*_MIRROR)
    lobe = (coarse.reshape(-1, 3) @ coarse.reshape(-1, 3).T).clip(0) ** _SHARPNESS * share.ravel()
    lobe /= lobe.sum(axis=1, keepdims=True)
    for name, (held, zenith, horizon, ground, lamps) in _PLACES.items():
        panorama = _panorama(name, rays, zenith, horizon, ground, lamps)
        panorama *= 0.5 / ((panorama.mean(axis=2) * solid).sum() / (4 * np.pi))
        basis = _harmonics(rays)
        moments = np.einsum("hwc,hwk,hw->kc", panorama, basis, solid) * _BANDS[:, None]
        mirror = lobe @ cv2.resize(panorama, _MIRROR[::-1], interpolation=cv2.INTER_AREA).reshape(-1, 3)
        yield (
            name,
            held,
            moments.astype(np.float32),
            mirror.reshape(*_MIRROR, 3).astype(np.float32),
            panorama.astype(np.float32),
        )


def _rays(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (h, w, 3) of a latitude-longitude map and the solid angle of each texel (h, w)."""
    polar = (np.arange(height) + 0.5) / height * np.pi
    around = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    t, p = np.meshgrid(polar, around, indexing="ij")
    rays = np.stack([np.sin(t) * np.sin(p), np.cos(t), -np.sin(t) * np.cos(p)], axis=-1)
    return rays, np.sin(t) * (np.pi / height) * (2 * np.pi / width)


def _harmonics(rays: np.ndarray) -> np.ndarray:
    from engine.training.studio.stage.stage import harmonic_basis

    return harmonic_basis(rays)


def _panorama(
    name: str, rays: np.ndarray, zenith: _Colour, horizon: _Colour, ground: _Colour, lamps: tuple[_Lamp, ...]
) -> np.ndarray:
    draw = draws(0, "surroundings", name)
    up = rays[..., 1:2]
    sky = np.array(horizon) + (np.array(zenith) - np.array(horizon)) * np.clip(up, 0, 1) ** 0.6
    image = np.where(up > 0, sky, np.array(ground) * (1 + 0.4 * np.clip(up, -1, 0)))
    for cells, amount in ((10, 0.35), (40, 0.25)):  # random objects, brighter and darker
        grid = cv2.resize(draw.standard_normal((cells // 2, cells)).astype(np.float32), (_WIDTH, _HEIGHT))
        image = image * np.exp(amount * grid * np.exp(-((up[..., 0] / 0.5) ** 2)))[..., None]
    for azimuth, elevation, width, colour in lamps:
        a, e = np.radians([azimuth, elevation])
        towards = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
        edge = (rays @ towards - np.cos(np.radians(width))) / (0.25 * (1 - np.cos(np.radians(width))))
        image = image + np.clip(edge + 0.5, 0, 1)[..., None] * np.array(colour)
    return image
