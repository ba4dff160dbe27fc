"""Motion that someone animated: F-curves of named expressions and of the head, or 68 landmarks on the portrait.

The file is described in :mod:`engine.motion.format`; its name ends in ``.curves.npz``. All of it is relative to the
portrait that will move, so it becomes motion only once that portrait is fitted.

``samples`` of a channel named like an expression of the face model are its weight, 0…1; the ``eyeLook`` expressions
turn the eyes; those of :data:`engine.motion.mouth_sight.CURVES` say what is seen between the lips. ``head.pitch`` (chin
down), ``head.yaw`` (towards image right) and ``head.roll`` (towards the subject's right shoulder) are degrees away from
the portrait's pose, ``head.x``, ``head.y`` and ``head.z`` (right, up, towards the camera) centimetres away from its
place. ``landmarks68`` are points in iBUG order in pixels of the portrait, whose ``size`` is [W, H], with pixel centres
at +.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from operator import index
from pathlib import Path

import numpy as np

from engine.errors import EngineError
from engine.face.fitting import Fitter
from engine.face.maths import rotation_from_vector
from engine.face.subject import FaceFit
from engine.motion import format as motion_format
from engine.motion.analyse import eyes_shut, fit_frames, neutral_frame, stacked
from engine.motion.motion import Motion, array_of, names_of, refused
from engine.motion.mouth_sight import CURVES
from engine.motion.smoothing import fill_gaps
from engine.motion.source import MotionSource
from engine.progress import Emit
from engine.tracking.detector import Detector, Observation

SUFFIX = ".curves.npz"
_HEAD = tuple(f"head.{part}" for part in ("pitch", "yaw", "roll", "x", "y", "z"))
_LOOK = tuple(f"eyeLook{way}_{side}" for way in ("Up", "Down", "In", "Out") for side in "LR")
_EYE_TURN = np.radians(30)  # of an eyeLook expression at weight 1


class Curves(MotionSource):
    """Raises EngineError ``motion`` when the file is missing, foreign, newer or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with refused(path, "Export the curves again."):
            header, arrays = motion_format.unpack(path, motion_format.CURVES)
            self._count: int = header["frames"]
            self.start, self.rate = index(header["start"]), Fraction(*map(index, header["rate"]))
            self.stop = self.start + self._count
            neutral = header["neutral_frame"]
            self._neutral = None if neutral is None else index(neutral)
            self._landmarks = self._channels = None
            if "landmarks68" in arrays:
                self._width, self._height = map(index, header["size"])
                self._landmarks = array_of(arrays, "landmarks68", (self._count, 68, 2))
            else:
                names = names_of(header["channels"])
                samples = array_of(arrays, "samples", (self._count, len(names)))
                for name in names:
                    if name.startswith(("head.", "eyeLook")) and name not in _HEAD + _LOOK:
                        raise ValueError(f"its channel {name!r} is unknown")
                self._channels = dict(zip(names, samples.T, strict=True))

    def motion(
        self, faces: Sequence[FaceFit], detector: Detector, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> Motion:
        face = faces[0]
        if self._landmarks is not None:
            return self._fitted(face, self._landmarks, check)
        assert self._channels is not None
        return self._animated(face, self._channels)

    def _animated(self, face: FaceFit, channels: dict[str, np.ndarray]) -> Motion:
        def channel(name: str) -> np.ndarray:
            return channels.get(name, np.zeros(self._count))

        names = tuple(name for name in channels if name not in _HEAD + _LOOK + CURVES)
        head = np.stack([channel(name) for name in _HEAD], axis=1)
        up, down, inwards, outwards = (
            np.stack([channel(f"eyeLook{way}_{side}") for side in "LR"], axis=1) for way in ("Up", "Down", "In", "Out")
        )
        # Outwards is away from the nose: +x for the subject's left eye, −x for the right one.
        gaze = _EYE_TURN * np.stack([up - down, (outwards - inwards) * [1, -1]], axis=2)
        return self._motion(
            names,
            np.stack([channels[name] for name in names], axis=1) if names else np.zeros((self._count, 0)),
            np.stack([_turn(*angles) for angles in np.radians(head[:, :3])]) @ face.pose.rotation,
            face.pose.translation + head[:, 3:],
            face.gaze + gaze,
            np.ones(self._count, bool),
            {name: samples for name, samples in channels.items() if name in CURVES},
        )

    def _fitted(self, face: FaceFit, landmarks: np.ndarray, check: Callable[[], None]) -> Motion:
        """What the portrait's own head does to put its landmarks there; what it cannot do is left out."""
        camera = face.camera
        if (self._width, self._height) != (camera.width, camera.height):
            raise EngineError(
                "motion",
                f"The landmarks of {self.path} are for a portrait of {self._width}×{self._height} pixels, the first "
                f"portrait has {camera.width}×{camera.height}.",
                "Choose the portrait that they were placed on.",
            )
        observations = [Observation(points, None, None, 1.0) for points in landmarks]
        fitter = Fitter(face.model, camera, dense=False)
        fits = fit_frames(fitter, face.identity, observations, lambda done: check())
        if not any(fits):
            raise EngineError(
                "motion", f"The landmarks of {self.path} do not fit a face in any frame.", "Export the curves again."
            )
        valid = np.array([fit is not None for fit in fits])
        return self._motion(
            face.model.expression_names,
            fill_gaps(stacked(fits, lambda f: f.fit.expression), valid),
            fill_gaps(stacked(fits, lambda f: f.fit.pose.rotation), valid),
            fill_gaps(stacked(fits, lambda f: f.fit.pose.translation), valid),
            np.tile(face.gaze, (self._count, 1, 1)),
            valid,
        )

    def _motion(
        self,
        names: tuple[str, ...],
        expression: np.ndarray,
        rotation: np.ndarray,
        translation: np.ndarray,
        gaze: np.ndarray,
        valid: np.ndarray,
        mouth: dict[str, np.ndarray] | None = None,
    ) -> Motion:
        neutral = self._neutral
        if neutral is None:
            shut = eyes_shut(names, expression)
            neutral = self.start + neutral_frame(expression, rotation, np.zeros(self._count), valid, shut)
        motion = Motion(
            *(names, expression, rotation, translation, gaze, valid),
            start=self.start,
            rate=self.rate,
            neutral=neutral,
            mouth=mouth or {},
        )
        with refused(self.path, "Export the curves again."):
            motion.check()
        return motion


def _turn(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """(3, 3) of a head, radians, about the camera's axes: chin down, to image right, to its right shoulder."""
    about_x, about_y, about_z = (rotation_from_vector(vector) for vector in np.diag([pitch, yaw, roll]))
    return about_y @ about_x @ about_z
