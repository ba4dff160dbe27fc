"""A driver's motion on the portrait's face: what is copied, what is added to the portrait's own, and on whose head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.errors import EngineError
from engine.face.fitting import Fitter
from engine.face.maths import smoothstep
from engine.face.subject import FaceFit
from engine.motion.motion import Motion, MotionFrame, Tracked

_GAZE_LIMIT = 0.5  # radians away from the portrait's own gaze
_SMILES = 0.35  # mean smile weight from which a portrait "smiles"
_CROSS_GAIN = 0.6  # of the driver's landmark residual on an unlike face: more moves landmarks better, costs identity
_ALIKE, _UNLIKE = 1.4, 2.4  # identity distance: two fits of one person stay near the first, strangers beyond the second


class Retargeter:
    """Maps frames of ``motion`` onto the first of ``faces``, the portraits of one subject.

    ``modes`` is ``absolute``, ``relative``, ``mixed`` or a table {expression|rotation|translation:
    absolute|relative}; relative is measured from ``neutral_frame`` (the motion's own when None). ``mixed``: rotation
    absolute, translation relative, expression absolute when the portrait smiles, else relative. ``identity``
    ``portrait`` puts pose and expression on the subject's own head, so that every system sees geometry matched to the
    portrait (doi 10.1145/3571857, abstract); ``driver`` on the driver's head, whose shape then shows.

    Expressions are matched by name: one that ``motion`` lacks is 0, those that the face model lacks are
    ``unknown_expressions`` and are left out. Raises EngineError ``motion`` when a tracked motion is of another face
    model or detector, ``neutral_frame`` when that frame is outside, ``no_driver`` when the driver's head is wanted of a
    motion that was not tracked.
    """

    def __init__(
        self,
        motion: Motion,
        faces: Sequence[FaceFit],
        modes: str | dict[str, str] = "mixed",
        neutral_frame: int | None = None,
        no_face: str = "hold",
        identity: str = "portrait",
    ) -> None:
        face = faces[0]
        self.motion, self.faces, self.face, self.no_face, self.identity = motion, faces, face, no_face, identity
        if motion.tracked and not _comparable(motion.tracked, face):
            raise EngineError(
                "motion",
                "The motion was analysed with another face model or detector.",
                "Analyse the footage again with this version.",
            )
        if identity == "driver" and motion.tracked is None:
            raise EngineError(
                "no_driver",
                "The motion was not tracked in footage, so the driver's head is unknown.",
                "Move the portrait's own head (identity: portrait).",
            )
        self.neutral_frame = motion.neutral if neutral_frame is None else neutral_frame
        if not motion.start <= self.neutral_frame < motion.stop:
            raise EngineError(
                "neutral_frame",
                f"The neutral frame {self.neutral_frame} is outside the motion's frames "
                f"{motion.start}–{motion.stop - 1}.",
                "Choose a neutral frame inside the range, or leave it to the engine.",
            )
        self.modes = _modes(modes, face)
        names = face.model.expression_names
        self.unknown_expressions = tuple(name for name in motion.expression_names if name not in names)
        self._expressions = _by_name(motion, names)
        self._driver = motion.tracked.identity if motion.tracked else None
        self._moves = self._driver if identity == "driver" else None
        self._offsets, self.offset_gain = np.broadcast_to(0.0, (len(motion), *face.offsets.shape)), 0.0
        if motion.tracked:
            self._offsets = motion.tracked.offsets
            moved = face.identity if self._moves is None else self._moves
            self.offset_gain = _offset_gain(motion.tracked.identity, moved)
        upper = Fitter(face.model, face.camera, dense=False).upper
        self._upper = np.maximum(upper, face.expression)

    def frame(self, source_frame: int) -> MotionFrame:
        """The subject's motion at a frame of the source.

        Raises EngineError ``frame_out_of_range``, or ``no_face`` under the policy ``fail``.
        """
        motion, face = self.motion, self.face
        i, rest = source_frame - motion.start, self.neutral_frame - motion.start
        if not 0 <= i < len(motion):
            raise EngineError(
                "frame_out_of_range",
                f"Frame {source_frame} is outside the motion's frames {motion.start}–{motion.stop - 1}.",
                "Analyse a longer range, or ask for fewer frames.",
            )
        status = "ok" if motion.valid[i] else "held"
        if status == "held" and self.no_face == "fail":
            raise EngineError(
                "no_face",
                f"Frame {source_frame} of the footage shows no face.",
                "Choose another range, or the no-face policy that holds the last pose.",
            )
        if status == "held" and self.no_face == "reference":
            zero = np.zeros_like(face.offsets)
            pose = face.pose
            return MotionFrame(face.expression, pose.rotation, pose.translation, face.gaze, zero, "reference")
        return MotionFrame(
            expression=self._expression(i, rest),
            rotation=self._rotation(i, rest),
            translation=self._translation(i, rest),
            gaze=self._gaze(i, rest),
            offsets=self.offset_gain * (self._offsets[i] - self._resting_offsets(rest)),
            status=status,
            driver=self._driver,
            identity=self._moves,
            mouth=self._mouth(i),
            mouth_at_rest=self._mouth(rest) if self.modes["expression"] == "relative" else {},
            lip_gap=self._lip_gap(i, rest),
        )

    def _mouth(self, i: int) -> dict[str, float]:
        return {name: float(curve[i]) for name, curve in self.motion.mouth.items()}

    def _lip_gap(self, i: int, rest: int) -> float | None:
        """Absolute or relative like the expression."""
        driver, own = self.motion.mouth.get("lipGap"), self.face.observation.lip_gap
        if driver is None or own is None:
            return None
        if self.modes["expression"] == "absolute":
            return float(driver[i])
        return float(own + driver[i] - driver[rest])

    def _resting_offsets(self, rest: int) -> np.ndarray:
        """What the driver's offsets are measured from: the subject's own where both are one person whose expression is
        copied, so that the portrait's frame gives the portrait; else the driver's at rest."""
        resting = self._offsets[rest]
        if self._driver is None or self.modes["expression"] != "absolute":
            return resting
        return resting + _alike(self._driver, self.face.identity) * (self.face.offsets - resting)

    def _expression(self, i: int, rest: int) -> np.ndarray:
        driver = self._expressions
        value = driver[i]
        if self.modes["expression"] == "relative":
            value = self.face.expression + driver[i] - driver[rest]
        return np.clip(value, 0, self._upper)

    def _rotation(self, i: int, rest: int) -> np.ndarray:
        driver = self.motion.rotation
        if self.modes["rotation"] == "absolute":
            return driver[i]
        return driver[i] @ driver[rest].T @ self.face.pose.rotation

    def _translation(self, i: int, rest: int) -> np.ndarray:
        """Depth is fictitious under a fixed focal length, so relative motion is scaled by the ratio of depths."""
        driver, own = self.motion.translation, self.face.pose.translation
        if self.modes["translation"] == "absolute":
            return driver[i]
        return own + (driver[i] - driver[rest]) * own[2] / driver[rest, 2]

    def _gaze(self, i: int, rest: int) -> np.ndarray:
        driver, own = self.motion.gaze, self.face.gaze
        turn = driver[i] - (own if self.modes["gaze"] == "absolute" else driver[rest])
        return own + np.clip(turn, -_GAZE_LIMIT, _GAZE_LIMIT)


def _comparable(tracked: Tracked, face: FaceFit) -> bool:
    """Whether both use the same identities and landmarks."""
    return (
        tracked.model == face.model.sha256
        and tracked.identity.shape == face.identity.shape
        and tracked.offsets.shape[1:] == face.offsets.shape
    )


def _by_name(motion: Motion, names: Sequence[str]) -> np.ndarray:
    """The motion's weights (T, E) in the order of ``names``, 0 for those that it lacks."""
    columns = dict(zip(motion.expression_names, motion.expression.T, strict=True))
    nothing = np.zeros(len(motion))
    return np.stack([columns.get(name, nothing) for name in names], axis=1)


def _offset_gain(driver: np.ndarray, subject: np.ndarray) -> float:
    """How much of the ``driver``'s offsets a ``subject`` takes over, identities (K,): all on the same face, less on an
    unlike one."""
    return _CROSS_GAIN + (1 - _CROSS_GAIN) * _alike(driver, subject)


def _alike(driver: np.ndarray, subject: np.ndarray) -> float:
    """1 for two fits of one person's identity (K,), 0 for strangers."""
    distance = float(np.linalg.norm(driver - subject))
    return float(smoothstep(np.asarray((_UNLIKE - distance) / (_UNLIKE - _ALIKE))))


def _modes(modes: str | dict[str, str], face: FaceFit) -> dict[str, str]:
    smiles = (face.weight("mouthSmile_L") + face.weight("mouthSmile_R")) / 2 > _SMILES
    parts = {"expression": "absolute" if smiles else "relative", "rotation": "absolute", "translation": "relative"}
    if modes in ("absolute", "relative"):
        parts = dict.fromkeys(parts, str(modes))
    elif isinstance(modes, dict):
        parts.update(modes)
    parts["gaze"] = "absolute" if modes == "absolute" else "relative"
    return parts
