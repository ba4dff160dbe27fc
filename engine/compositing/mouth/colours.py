"""The colours of a mouth's inside, from the portrait's skin, lips, eyes, and teeth where it shows them."""

from __future__ import annotations

import cv2
import numpy as np

from engine.face.fitting import LIDS_LEFT, LIDS_RIGHT
from engine.motion.mouth_sight import SeenMouth
from engine.tracking.detector import Observation

_COLOURLESS = 0.12  # saturation of a skin below which the photograph has less colour than people have
_LEAST_GAP, _LEAST_TEETH = 0.02, 0.1  # lip gap, and share of it, from which the portrait's own teeth have a colour
_BRIGHTEST = 240.0
_ENAMEL = 1.05  # of a light skin's brightness …
_DARK_SKIN, _LIGHTER = 0.39, 2.5  # … and more from this redness (log R/G) of the skin on, a unit of it
_EYE_WHITE = 1.1  # enamel is at least so much brighter than it
_FLESH_RED = 0.4  # log R/G of tongues
_RED, _SKIN_RED = 0.19, 0.3  # log R/G of enamel, and of a skin from which on the light is white


class Colours:
    """sRGB (3,): ``lip``, ``dark`` and ``tongue`` for a brightness of 1, ``enamel`` of the upper row, and of each part
    of the mouth in ``parts``."""

    def __init__(self, rgb: np.ndarray, seen: Observation, mouth: SeenMouth) -> None:
        """``rgb`` (H, W, 3) uint8 the portrait, in which the face and its ``mouth`` were ``seen``."""
        brightest = max(float(mouth.skin.max()), 1.0)
        self._vivid = min(float(np.ptp(mouth.skin)) / brightest / _COLOURLESS, 1.0)
        self.lip = mouth.lip
        flesh = self._flesh()
        own = mouth.enamel if mouth.gap > _LEAST_GAP and mouth.tooth.mean() > _LEAST_TEETH else None
        enamel = self._likely_enamel(rgb, seen, mouth.skin) if own is None else own
        self.enamel = enamel * min(1.0, _BRIGHTEST / float(enamel.max()))
        self.dark = flesh * self.toned([1.08, 0.98, 0.94])
        self.tongue = flesh * self.toned([0.97, 0.96, 1.02])
        self.parts = {
            "gums_upper": self.lip * self.toned([1.0, 1.0, 1.02]),
            "teeth_upper": self.enamel,
            "gums_lower": self.lip * self.toned([0.95, 0.95, 1.0]),
            "teeth_lower": self.enamel * self.toned([0.94, 0.92, 0.9]),
        }

    def _flesh(self) -> np.ndarray:
        """The lips' colour, but no paler than what is inside a mouth."""
        red, green, blue = self.lip
        paler = min(1.0, np.exp(np.log(max(red, 1) / max(green, 1)) - _FLESH_RED * self._vivid))
        return np.array([red, green * paler, blue * paler])

    def toned(self, factors: list[float]) -> np.ndarray:
        """Factors (3,) as far as the portrait has colours at all, and is not a photograph in black and white."""
        mean = float(np.mean(factors))
        return (mean + self._vivid * (np.array(factors) - mean)).astype(np.float32)

    def shaded(self, colour: np.ndarray, light: np.ndarray, warmth: tuple[float, float]) -> np.ndarray:
        """``colour`` (…, 3) under a ``light`` (…) 0…1. Shade in a mouth is red: light comes through lips and off them.
        ``warmth`` are the exponents of green and blue."""
        return colour * light[..., None] ** self._exponents(warmth)

    def _exponents(self, warmth: tuple[float, float]) -> np.ndarray:
        green, blue = warmth
        return np.array([1, 1 + self._vivid * (green - 1), 1 + self._vivid * (blue - 1)], np.float32)

    def _likely_enamel(self, rgb: np.ndarray, seen: Observation, skin: np.ndarray) -> np.ndarray:
        """Teeth that the portrait does not show.

        Measured in eight clips: R/G is 1.2 whatever the skin, G/B three quarters of the skin's (which is the light's),
        the brightness follows a light skin's, and is no less than the eyes' white.
        """
        red, blue = np.log(skin[0] / max(skin[1], 1)), np.log(skin[1] / max(skin[2], 1))
        hue = np.array([np.exp(_RED * min(red / _SKIN_RED, 1)), 1, np.exp(-0.75 * blue + 0.02 * self._vivid)])
        brightness = (_ENAMEL + _LIGHTER * max(0.0, red - _DARK_SKIN)) * skin.mean()
        return hue * max(brightness, _EYE_WHITE * _eye_white(rgb, seen)) / hue.mean()


def _eye_white(rgb: np.ndarray, seen: Observation) -> float:
    """Brightness of the brighter sclera of both eyes, 0 where none is seen."""
    if seen.dense is None or seen.iris is None:
        return 0.0
    found = []
    for lids, iris in ((LIDS_LEFT, seen.iris[0]), (LIDS_RIGHT, seen.iris[1])):
        outline = seen.dense[list(lids), :2]
        low = np.clip(np.floor(outline.min(axis=0)).astype(int) - 1, 0, np.array(rgb.shape[1::-1]) - 1)
        high = np.maximum(np.ceil(outline.max(axis=0)).astype(int) + 1, low + 1)
        eye = rgb[low[1] : high[1], low[0] : high[0]]
        inside = np.zeros(eye.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round((outline - low) * 16 - 8).astype(np.int32)], 1, shift=4)
        rows, columns = np.nonzero(cv2.erode(inside, np.ones((3, 3), np.uint8)))
        radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
        x, y = iris[0] - low
        sclera = np.hypot(columns + 0.5 - x, rows + 0.5 - y) > 1.15 * radius
        brightness = eye[rows[sclera], columns[sclera]].mean(axis=1)
        if len(brightness) > 8:
            found.append(np.median(brightness[brightness >= np.percentile(brightness, 60)]))
    return float(np.mean(found)) if found else 0.0
