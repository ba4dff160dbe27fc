"""A portrait moved by geometry alone: its own pixels in layers, with eyes painted by the face model."""

from __future__ import annotations

import numpy as np

from engine.compositing.eyes import Eyes
from engine.compositing.layers.outline import HeadOutline
from engine.compositing.layers.portrait import Layers
from engine.geometry.flow import FlowBuilder, GeometryFlow, PosedHead


class WarpedPortrait:
    """What of one portrait's pixels does not depend on the frame."""

    def __init__(self, rgb: np.ndarray, build: FlowBuilder, outline: HeadOutline) -> None:
        """``rgb`` (H, W, 3) uint8; ``build`` is of the geometry that follows the ``outline``."""
        self._layers = Layers(rgb, build, outline)
        self._eyes = Eyes(rgb, build.source)

    def draw(self, head: PosedHead, flow: GeometryFlow, gaze_turn: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8: the ``head`` whose ``flow`` this is, its eyes turned by ``gaze_turn`` (2, 2) radians away
        from the portrait's gaze."""
        frame = self._layers.draw(head)
        self._eyes.paint(frame, flow, head.vertices, gaze_turn)
        return np.clip(np.rint(frame), 0, 255).astype(np.uint8)
