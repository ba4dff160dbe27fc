"""An environment that lights a scene, and the white balance of pictures taken in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BALANCE = 0.65  # share of a colour cast that white balance removes


@dataclass(frozen=True, eq=False)
class Environment:
    """``id`` names it in labels and splits; ``harmonics`` (9, 3): irradiance over π (what a white surface sends back)
    as real spherical harmonics in the usual order; ``mirror`` (h, w, 3) blurred radiance and ``panorama`` (H, W, 3)
    linear radiance, latitude-longitude maps as in ``scene.Light``: row 0 is +y, the middle column −z, to the right
    +x."""

    id: str
    held_out: bool
    harmonics: np.ndarray
    mirror: np.ndarray
    panorama: np.ndarray


def balanced(*maps: np.ndarray) -> list[np.ndarray]:
    """Harmonics (9, 3) and maps (h, w, 3) of one place after a camera's white balance, which removes most of the cast
    of the mean light, the first harmonic."""
    mean = np.maximum(maps[0][0], 1e-4)
    gain = (mean.mean() / mean) ** _BALANCE
    return [(values * gain).astype(np.float32) for values in maps]
