"""Pictures and the frames of a shot. What an extractor finds in a picture is computed once and kept with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np

from engine.evaluation.metrics.pixels import resized_to

JPEG_QUALITY = 90  # of the ceiling
SIDE = 256  # networks and landmark distances are those of faces at this size


class Picture:
    """``rgb`` (H, W, 3) uint8 sRGB, with everything extracted from it so far."""

    def __init__(self, rgb: np.ndarray) -> None:
        self.rgb = rgb
        self._found: dict[Extractor, Any] = {}

    def extract(self, extractor: Extractor) -> Any:
        if extractor not in self._found:
            self._found[extractor] = extractor(self)
        return self._found[extractor]

    @cached_property
    def small(self) -> np.ndarray:
        """The picture with its shorter side at most ``SIDE``."""
        height, width = self.rgb.shape[:2]
        scale = SIDE / min(height, width)
        if scale >= 1:
            return self.rgb
        return cv2.resize(self.rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


class Extractor(ABC):
    """A landmarker, a fit or a network: computes something from one picture."""

    @abstractmethod
    def __call__(self, picture: Picture) -> Any:
        """Called once per picture, by :meth:`Picture.extract`."""


@dataclass(frozen=True)
class ShotFrame:
    """One frame of a shot that a system must draw.

    ``shot`` is what figures are averaged over. ``identity`` names the person the output should show, the same
    throughout a shot; intervals resample people. ``index`` is the driver's frame. ``source`` is the portrait,
    ``driver`` the frame that drives, ``truth`` what the output should look like, None where it is unknown.

    Exact labels of the truth, where the dataset has them: ``rotation`` (3, 3) of the head to the camera,
    ``landmarks68`` (68, 2) pixels, ``visible68`` (68,) bool; ``flow`` (H, W, 2) pixels from each pixel of this truth to
    its place in the previous one, and ``flow_visible`` (H, W) bool where that is defined.
    """

    shot: str
    identity: str
    index: int
    source: Picture
    driver: Picture
    truth: Picture | None = None
    rotation: np.ndarray | None = None
    landmarks68: np.ndarray | None = None
    visible68: np.ndarray | None = None
    flow: np.ndarray | None = None
    flow_visible: np.ndarray | None = None


def jpeg(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 after JPEG compression at ``JPEG_QUALITY``: no system is expected to come closer to the truth."""
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def same_size(output: Picture, reference: Picture) -> Picture:
    """``output`` at the size of ``reference``: itself where the sizes agree, else a copy that is kept with it."""
    if output.rgb.shape == reference.rgb.shape:
        return output
    return output.extract(_resize(*reference.rgb.shape[:2]))


class _Resize(Extractor):
    def __init__(self, height: int, width: int) -> None:
        self._shape = (height, width, 3)

    def __call__(self, picture: Picture) -> Picture:
        return Picture(resized_to(self._shape, picture.rgb))


@lru_cache(maxsize=64)
def _resize(height: int, width: int) -> _Resize:
    return _Resize(height, width)
