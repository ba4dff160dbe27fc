"""A driver's motion on the portrait's face: what is copied, what is added to the portrait's own, and on whose head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.errors import EngineError
from engine.face.fitting import Fitter
from engine.face.lids import Lids
from engine.face.maths import smoothstep
from engine.face.subject import FaceFit
from engine.motion.motion import Motion, MotionFrame, Shot, Tracked

_GAZE_LIMIT = 0.5  # radians away from the portrait's own gaze
_SMILE = (0.2, 0.35)  # mean smile weights between which a portrait comes to smile
_JAW = (0.1, 0.3)  # weights of jawOpen, and …
_LIPS = (0.05, 0.09)  # … distances of the inner lips, shares of the face's diagonal, between which a mouth opens
_BLINK = (0.4, 0.65)  # blink weights between which eyes shut
_LEAST_ROOM = 0.3  # of a blink that a driver has left at rest
_CROSS_GAIN = 0.6  # of the driver's landmark residual on an unlike face: more moves landmarks better, costs identity
_ALIKE, _UNLIKE = 1.4, 2.4  # identity distance: two fits of one person stay near the first, strangers beyond the second


class Retargeter:
    """Maps frames of ``motion`` onto the first of ``faces``, the portraits of one subject.

    ``modes`` is ``absolute``, ``relative``, ``mixed`` or a table {expression|rotation|translation:
    absolute|relative}; relative is measured from ``neutral_frame`` (the motion's own when None), in other shots from
    theirs. ``mixed``: rotation absolute, translation relative, expression relative as far as portrait and neutral frame
    are at rest: where one opens the mouth or shuts the eyes, that part of the face is absolute, and all of it where the
    portrait smiles. The table's ``expression`` may be a number from 0, relative, to 1, absolute. ``identity``
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
        modes: str | Mapping[str, str | float] = "mixed",
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
        self.modes = _modes(modes)
        self._expression_mode = self.modes["expression"]
        names = face.model.expression_names
        self.unknown_expressions = tuple(name for name in motion.expression_names if name not in names)
        self._expressions = _by_name(motion, names)
        self._neutral_shot = motion.shot(self.neutral_frame).start
        self._offsets = np.broadcast_to(0.0, (len(motion), *face.offsets.shape))
        if motion.tracked:
            self._offsets = motion.tracked.offsets
        upper = Fitter(face.model, face.camera, dense=False).upper
        self._upper = np.maximum(upper, face.expression)
        self._rests_are_chosen = neutral_frame is not None
        self._blink_gain = _blink_gain(face)
        if self._expression_mode == "mixed":
            strength = self.strength(self.neutral_frame - motion.start)
            self.modes["expression"] = {0.0: "relative", 1.0: "absolute"}.get(float(strength.mean()), "mixed")

    def frame(self, source_frame: int) -> MotionFrame:
        """The subject's motion at a frame of the source.

        Raises EngineError ``frame_out_of_range``, or ``no_face`` under the policy ``fail``.
        """
        motion, face = self.motion, self.face
        i = source_frame - motion.start
        if not 0 <= i < len(motion):
            raise EngineError(
                "frame_out_of_range",
                f"Frame {source_frame} is outside the motion's frames {motion.start}–{motion.stop - 1}.",
                "Analyse a longer range, or ask for fewer frames.",
            )
        shot = motion.shot(source_frame)
        rest = (self.neutral_frame if shot.start == self._neutral_shot else shot.neutral) - motion.start
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
            offsets=self._gain(shot) * (self._offsets[i] - self._resting_offsets(shot, rest)),
            status=status,
            driver=shot.identity,
            identity=shot.identity if self.identity == "driver" else None,
            mouth=self._mouth(i),
            mouth_at_rest=self._mouth(rest) if self._mouth_strength(rest) < 0.5 else {},
            lip_gap=self._lip_gap(i, rest),
        )

    def _gain(self, shot: Shot) -> float:
        """How much of the driver's offsets the head that moves takes over: all on the same face, less on an unlike
        one."""
        if shot.identity is None:
            return 0.0
        return _offset_gain(shot.identity, shot.identity if self.identity == "driver" else self.face.identity)

    def _resting_offsets(self, shot: Shot, rest: int) -> np.ndarray:
        """What the driver's offsets are measured from: the subject's own where both are one person whose expression is
        copied, so that the portrait's frame gives the portrait; else the driver's at rest."""
        resting = self._offsets[rest]
        if shot.identity is None:
            return resting
        copied = self.strength(rest).min() * _alike(shot.identity, self.face.identity)
        return resting + copied * (self.face.offsets - resting)

    def _mouth(self, i: int) -> dict[str, float]:
        return {name: float(curve[i]) for name, curve in self.motion.mouth.items()}

    def _mouth_strength(self, rest: int) -> float:
        return float(self.strength(rest)[self.face.model.expression_index("jawOpen")])

    def _lip_gap(self, i: int, rest: int) -> float | None:
        """As absolute as the expressions of the mouth."""
        driver, own = self.motion.mouth.get("lipGap"), self.face.observation.lip_gap
        if driver is None or own is None:
            return None
        return float(driver[i] + (1 - self._mouth_strength(rest)) * (own - driver[rest]))

    def _expression(self, i: int, rest: int) -> np.ndarray:
        driver, own = self._expressions, self.face.expression
        strength = self.strength(rest)
        # A blink that shuts the driver's eyes shuts the portrait's, however large they are.
        gain = np.where(self._blink_gain > 0, self._blink_gain / np.maximum(1 - driver[rest], _LEAST_ROOM), 1)
        relative = own + gain * (driver[i] - driver[rest])
        value = np.where(strength == 1, driver[i], strength * driver[i] + (1 - strength) * relative)
        return np.clip(value, 0, self._upper)

    def strength(self, rest: int) -> np.ndarray:
        """How absolute each expression (E,) is, 0…1, when motion is measured from the frame of index ``rest``."""
        mode = self._expression_mode
        names = self.face.model.expression_names
        if mode != "mixed":
            fixed = {"absolute": 1.0, "relative": 0.0}
            return np.full(len(names), fixed[mode] if isinstance(mode, str) else mode)
        by_part = _restless(names, self.face.expression, _lips_apart(self.face))
        if not (self._rests_are_chosen and self.motion.shot(rest + self.motion.start).start == self._neutral_shot):
            # A slight smile at rest may be the shape of the driver's mouth.
            of_driver = _restless(names, self._expressions[rest], 0.0) | {"smile": 0.0}
            by_part = {part: max(share, of_driver[part]) for part, share in by_part.items()}
        return np.array([max(by_part["smile"], by_part.get(_part(name), 0.0)) for name in names])

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


def _modes(modes: str | Mapping[str, str | float]) -> dict[str, str | float]:
    parts: dict[str, str | float] = {"expression": "mixed", "rotation": "absolute", "translation": "relative"}
    if modes in ("absolute", "relative"):
        parts = dict.fromkeys(parts, str(modes))
    elif isinstance(modes, Mapping):
        parts.update(modes)
    parts["gaze"] = "absolute" if modes == "absolute" else "relative"
    return parts


def _part(expression: str) -> str:
    if expression.startswith("eye"):
        return "eyes"
    return "mouth" if expression.startswith(("jaw", "mouth", "tongue", "cheek")) else ""


def _restless(names: Sequence[str], expression: np.ndarray, lip_gap: float) -> dict[str, float]:
    """How far a face with weights (E,) is from rest, 0…1, by what it does."""

    def weight(name: str) -> float:
        return float(expression[names.index(name)]) if name in names else 0.0

    smile = (weight("mouthSmile_L") + weight("mouthSmile_R")) / 2
    blink = (weight("eyeBlink_L") + weight("eyeBlink_R")) / 2
    mouth = max(_between(weight("jawOpen"), _JAW), _between(lip_gap, _LIPS))
    return {"smile": _between(smile, _SMILE), "mouth": mouth, "eyes": _between(blink, _BLINK)}


def _between(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return float(smoothstep(np.asarray((value - low) / (high - low))))


def _lips_apart(face: FaceFit) -> float:
    points = face.observation.landmarks68
    return float(np.linalg.norm(points[62] - points[66])) / max(face.observation.diagonal, 1.0)


def _blink_gain(face: FaceFit) -> np.ndarray:
    """(E,): the blink that shuts the portrait's eyes from where they are; 0 for other expressions."""
    shuts = Lids(face.model, face.model.deform(face.neutral, face.expression)).blink_to_shut
    return np.array([shuts.get(name, 0.0) for name in face.model.expression_names])
