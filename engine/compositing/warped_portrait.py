"""One portrait drawn by geometry alone: the fitted head moves the portrait's own pixels. Systems stand on it."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.eyes import Eyes
from engine.compositing.mouth import Mouth
from engine.compositing.plate import Plate
from engine.face.camera import Pose
from engine.geometry.flow import FlowBuilder, GeometryFlow
from engine.geometry.source_geometry import SourceGeometry
from engine.motion.motion import MotionFrame
from engine.systems.base import Portrait, Subject
from engine.tracking.person_matte import PersonMatte


class WarpedPortrait(Subject):
    """One portrait and everything about it that does not depend on the frame; ``build`` makes its flow."""

    def __init__(self, portrait: Portrait, matte: np.ndarray | None = None) -> None:
        """``matte`` (H, W) float32 in 0…1 where it is known; else it is found."""
        assert portrait.face is not None
        rgb = portrait.rgb
        self.size = (rgb.shape[1], rgb.shape[0])
        if matte is None:
            matte = _matte(rgb)
        self._face = portrait.face
        self._source = SourceGeometry(portrait.face, matte)
        self.build = FlowBuilder(self._source)
        self._plate = Plate(rgb, matte, self._source.solid)
        self._eyes = Eyes(rgb, self._source)
        self._mouth = Mouth(rgb, self._source)

    def draw(self, motion: MotionFrame | None) -> np.ndarray:
        assert motion is not None
        return self.trace(motion)[0]

    def trace(self, motion: MotionFrame) -> tuple[np.ndarray, GeometryFlow]:
        """The drawn frame, and the flow that it was drawn by."""
        vertices = self.place(motion)
        flow = self.build(vertices, Pose(motion.rotation, motion.translation))
        frame = self._plate.compose(*(self._full(image) for image in (flow.source, flow.hidden, flow.vacated)))
        self._eyes.paint(frame, flow, vertices, motion.gaze - self._face.gaze)
        self._mouth.paint(frame, flow, vertices)
        return np.clip(np.rint(frame), 0, 255).astype(np.uint8), flow

    def place(self, motion: MotionFrame) -> np.ndarray:
        """The head that moves, (N, 3) cm, with the portrait's own corrections."""
        gaze_turn = motion.gaze - self._face.gaze
        return self._source.place(motion.neutral(self._face), motion.expression, gaze_turn, motion.offsets)

    def _full(self, image: np.ndarray) -> np.ndarray:
        """A flow-resolution image at the portrait's own."""
        if image.shape[1::-1] == self.size:
            return image
        return cv2.resize(image, self.size, interpolation=cv2.INTER_LINEAR)


def _matte(rgb: np.ndarray) -> np.ndarray:
    segmenter = PersonMatte()
    matte = segmenter(rgb)
    segmenter.close()
    return matte
