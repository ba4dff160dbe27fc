"""A portrait moved by geometry alone: its own pixels, with eyes painted by the face model."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.eyes import Eyes
from engine.compositing.plate import Plate
from engine.geometry.flow import GeometryFlow
from engine.geometry.source_geometry import SourceGeometry


class WarpedPortrait:
    """What of one portrait's pixels does not depend on the frame."""

    def __init__(self, rgb: np.ndarray, matte: np.ndarray, source: SourceGeometry) -> None:
        """``rgb`` (H, W, 3) uint8, ``matte`` (H, W) float32 in 0…1."""
        self._size = (rgb.shape[1], rgb.shape[0])
        self._plate = Plate(rgb, matte, source.solid)
        self._eyes = Eyes(rgb, source)

    def draw(self, flow: GeometryFlow, vertices: np.ndarray, gaze_turn: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8: the head ``vertices`` (N, 3) whose ``flow`` this is, its eyes turned by ``gaze_turn`` (2, 2)
        radians away from the portrait's gaze."""
        frame = self._plate.compose(*(self._full(image) for image in (flow.source, flow.hidden, flow.vacated)))
        self._eyes.paint(frame, flow, vertices, gaze_turn)
        return np.clip(np.rint(frame), 0, 255).astype(np.uint8)

    def _full(self, image: np.ndarray) -> np.ndarray:
        """A flow-resolution image at the portrait's own."""
        if image.shape[1::-1] == self._size:
            return image
        return cv2.resize(image, self._size, interpolation=cv2.INTER_LINEAR)
