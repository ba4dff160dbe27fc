"""A driver's motion on another face: which parts are copied, which are added to the portrait's own, on whose head."""

from __future__ import annotations

import numpy as np

from engine.errors import EngineError
from engine.face.fitting import Fitter
from engine.face.maths import smoothstep
from engine.face.subject import FaceFit
from engine.motion.performance import MotionFrame, Performance

_GAZE_LIMIT = 0.5  # radians away from the portrait's own gaze
_SMILES = 0.35  # mean smile weight from which a portrait "smiles"
_CROSS_GAIN = 0.6  # of the driver's landmark residual on an unlike face: buys landmarks, costs identity
_ALIKE, _UNLIKE = 1.4, 2.4  # identity distance: two fits of one person stay near the first, strangers beyond the second


class Retargeter:
    """Maps frames of ``performance`` onto the subject fitted in ``face``.

    ``motion`` is ``absolute``, ``relative``, ``mixed`` or a table {expression|rotation|translation:
    absolute|relative}; relative is measured from ``neutral_frame`` (the performance's own when None). ``mixed``:
    rotation absolute, translation relative, expression absolute when the portrait smiles, else relative.
    ``identity`` ``portrait`` puts pose and expression on the subject's own head, so that every system sees geometry
    matched to the portrait (doi 10.1145/3571857, abstract); ``driver`` on the driver's, whose shape then comes along.
    Raises EngineError when performance and subject do not fit each other or the neutral frame is outside.
    """

    def __init__(
        self,
        performance: Performance,
        face: FaceFit,
        motion: str | dict[str, str] = "mixed",
        neutral_frame: int | None = None,
        no_face: str = "hold",
        identity: str = "portrait",
    ) -> None:
        self.performance, self.face, self.no_face, self.identity = performance, face, no_face, identity
        if not _comparable(performance, face):
            raise EngineError(
                "performance",
                "The performance was analysed with another face model or detector.",
                "Analyse the footage again with this version.",
            )
        self.neutral_frame = performance.neutral if neutral_frame is None else neutral_frame
        if not performance.start <= self.neutral_frame < performance.stop:
            raise EngineError(
                "neutral_frame",
                f"The neutral frame {self.neutral_frame} is outside the analysed frames "
                f"{performance.start}–{performance.stop - 1}.",
                "Choose a neutral frame inside the range, or leave it to the engine.",
            )
        self.modes = _modes(motion, face)
        self._moves = performance.identity if identity == "driver" else None
        self.offset_gain = _offset_gain(performance.identity, face.identity if self._moves is None else self._moves)
        upper = Fitter(face.model, face.camera, dense=False).upper
        self._upper = np.maximum(upper, face.expression)

    def frame(self, source_frame: int) -> MotionFrame:
        """The subject's motion at a frame of the footage; raises EngineError ``no_face`` under the policy ``fail``."""
        p, face = self.performance, self.face
        i, rest = source_frame - p.start, self.neutral_frame - p.start
        if not 0 <= i < len(p):
            raise EngineError(
                "frame_out_of_range",
                f"Frame {source_frame} is outside the analysed frames {p.start}–{p.stop - 1}.",
                "Analyse a longer range, or ask for fewer frames.",
            )
        status = "ok" if p.valid[i] else "held"
        if status == "held" and self.no_face == "fail":
            raise EngineError(
                "no_face",
                f"Frame {source_frame} of the footage shows no face.",
                "Choose another range, or the policy that holds the last pose.",
            )
        if status == "held" and self.no_face == "reference":
            zero = np.zeros_like(p.offsets[i])
            pose = face.pose
            return MotionFrame(face.expression, pose.rotation, pose.translation, face.gaze, zero, "reference")
        return MotionFrame(
            expression=self._expression(i, rest),
            rotation=self._rotation(i, rest),
            translation=self._translation(i, rest),
            gaze=self._gaze(i, rest),
            offsets=self.offset_gain * (p.offsets[i] - p.offsets[rest]),
            status=status,
            driver=p.identity,
            identity=self._moves,
        )

    def _expression(self, i: int, rest: int) -> np.ndarray:
        driver = self.performance.expression
        value = driver[i]
        if self.modes["expression"] == "relative":
            value = self.face.expression + driver[i] - driver[rest]
        return np.clip(value, 0, self._upper)

    def _rotation(self, i: int, rest: int) -> np.ndarray:
        driver = self.performance.rotation
        if self.modes["rotation"] == "absolute":
            return driver[i]
        return driver[i] @ driver[rest].T @ self.face.pose.rotation

    def _translation(self, i: int, rest: int) -> np.ndarray:
        """Depth is fictitious under a fixed focal length, so relative motion is scaled by the ratio of depths."""
        driver, own = self.performance.translation, self.face.pose.translation
        if self.modes["translation"] == "absolute":
            return driver[i]
        return own + (driver[i] - driver[rest]) * own[2] / driver[rest, 2]

    def _gaze(self, i: int, rest: int) -> np.ndarray:
        driver, own = self.performance.gaze, self.face.gaze
        turn = driver[i] - (own if self.modes["gaze"] == "absolute" else driver[rest])
        return own + np.clip(turn, -_GAZE_LIMIT, _GAZE_LIMIT)


def _comparable(performance: Performance, face: FaceFit) -> bool:
    """Whether both speak of the same expressions, identities and landmarks."""
    return (
        performance.model == face.model.sha256
        and performance.expression_names == face.model.expression_names
        and performance.identity.shape == face.identity.shape
        and performance.offsets.shape[1:] == face.offsets.shape
    )


def _offset_gain(driver: np.ndarray, subject: np.ndarray) -> float:
    """How much of the ``driver``'s unexplained motion a ``subject`` takes over, identities (K,): all of it on the same
    face, less on an unlike one."""
    distance = float(np.linalg.norm(driver - subject))
    alike = float(smoothstep(np.asarray((_UNLIKE - distance) / (_UNLIKE - _ALIKE))))
    return _CROSS_GAIN + (1 - _CROSS_GAIN) * alike


def _modes(motion: str | dict[str, str], face: FaceFit) -> dict[str, str]:
    smiles = (face.weight("mouthSmile_L") + face.weight("mouthSmile_R")) / 2 > _SMILES
    parts = {"expression": "absolute" if smiles else "relative", "rotation": "absolute", "translation": "relative"}
    if motion in ("absolute", "relative"):
        parts = dict.fromkeys(parts, str(motion))
    elif isinstance(motion, dict):
        parts.update(motion)
    parts["gaze"] = "absolute" if motion == "absolute" else "relative"
    return parts
