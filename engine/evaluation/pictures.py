"""What is compared: pictures, and the moments they show. What an eye sees in a picture is computed once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np

from engine.evaluation.pixels import at_size_of

CEILING = "truth encoded again"
QUALITY = 90  # of the ceiling's JPEG
SIDE = 256  # networks and landmark distances are those of faces at this size


class Picture:
    """``rgb`` (H, W, 3) uint8 sRGB, and all that was looked up in it so far."""

    def __init__(self, rgb: np.ndarray) -> None:
        self.rgb = rgb
        self._seen: dict[Eye, Any] = {}

    def seen(self, eye: Eye) -> Any:
        if eye not in self._seen:
            self._seen[eye] = eye(self)
        return self._seen[eye]

    @cached_property
    def small(self) -> np.ndarray:
        """The picture with its shorter side at most ``SIDE``."""
        height, width = self.rgb.shape[:2]
        scale = SIDE / min(height, width)
        if scale >= 1:
            return self.rgb
        return cv2.resize(self.rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def encoded_again(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 through JPEG at ``QUALITY``: what no system is expected to surpass."""
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


class Eye(ABC):
    """Something that looks at one picture: a landmarker, a fit, a network."""

    @abstractmethod
    def __call__(self, picture: Picture) -> Any:
        """What it sees; asked once a picture."""


@dataclass(frozen=True)
class Moment:
    """One frame that a system has to answer.

    ``shot`` is what figures are averaged over, ``identity`` whose face the output should show, the same throughout a
    shot and what is resampled for intervals, ``index`` the driver's
    frame. ``source`` is the portrait, ``driver`` the frame that drives, ``truth`` what the output should look like,
    None where nobody knows. Exact labels of the truth, where there are any: ``rotation`` (3, 3) of the head to the
    camera, ``landmarks68`` (68, 2) pixels and ``visible68`` (68,) bool; ``flow`` (H, W, 2) offsets in pixels to where
    each pixel of this truth was in that of the moment before, and ``flow_visible`` (H, W) bool where that is known.
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


class Resized(Eye):
    """The picture as another Picture of ``height`` × ``width``."""

    def __init__(self, height: int, width: int) -> None:
        self._size = (height, width, 3)

    def __call__(self, picture: Picture) -> Picture:
        return Picture(at_size_of(np.empty(self._size, np.uint8), picture.rgb))


@lru_cache(maxsize=64)
def _resized(height: int, width: int) -> Resized:
    return Resized(height, width)


def same_size(output: Picture, reference: Picture) -> Picture:
    """``output`` itself where the sizes agree, else a copy at the size of ``reference`` that is kept with it."""
    if output.rgb.shape == reference.rgb.shape:
        return output
    return output.seen(_resized(*reference.rgb.shape[:2]))
