"""The motion of one face over consecutive frames: what takes are rendered from, whatever its source.

Tracked out of footage once, or made by a rig, and rendered many times. The file is described in
:mod:`engine.motion.format`; its name ends in ``.motion.npz``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import EngineError
from engine.media.image import write_atomic
from engine.motion import format as motion_format

if TYPE_CHECKING:
    from engine.face.subject import FaceFit

SUFFIX = ".motion.npz"
_ARRAYS = ("expression", "rotation", "translation", "gaze", "valid")
_TRACKED_ARRAYS = ("offsets", "residual", "confidence", "identity")
_NOT_ORTHONORMAL = 0.01


@dataclass(frozen=True)
class Tracked:
    """What only footage gives.

    ``offsets`` (T, P, 3) cm, what the face model leaves unexplained at the P points of ``detector``; ``residual`` (T,)
    mean landmark error in percent of the face's diagonal and ``confidence`` (T,) 0…1, both 0 where no face was found;
    ``identity`` (K,) coefficients of the driver in the face model whose SHA-256 is ``model``; ``size`` of the picture,
    width and height in pixels; ``others`` (T,) True where only someone else was seen, None for nowhere.
    """

    offsets: np.ndarray
    residual: np.ndarray
    confidence: np.ndarray
    identity: np.ndarray
    detector: str
    model: str
    size: tuple[int, int]
    others: np.ndarray | None = None


@dataclass(frozen=True)
class Shot:
    """What lies between two cuts, from frame ``start`` on: it has a ``neutral`` frame and an ``identity`` (K,) of its
    own, None where the motion was not tracked."""

    start: int
    neutral: int
    identity: np.ndarray | None


@dataclass(frozen=True)
class Motion:
    """T frames of motion of one face. Frames are counted from ``start`` in the numbering of their source.

    ``expression`` (T, E) weights of ``expression_names``; ``rotation`` (T, 3, 3) and ``translation`` (T, 3) cm of the
    head before the camera (:mod:`engine.face.camera`); ``gaze`` (T, 2, 2) radians: left and right eye, pitch and yaw in
    the head's frame; ``valid`` (T,) False where no face was found and the last pose is held; ``rate`` frames a second;
    ``neutral`` the number of the frame in which the face rests. ``shots`` are those of footage with cuts, else
    empty; ``neutral`` and ``tracked.identity`` are then those of the first. ``mouth`` has curves (T,) of what is seen
    between the lips, by name, any of :data:`engine.motion.mouth_sight.CURVES`: where one is missing, the lips alone
    decide.
    """

    expression_names: tuple[str, ...]
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray
    valid: np.ndarray
    start: int
    rate: Fraction
    neutral: int
    tracked: Tracked | None = None
    shots: tuple[Shot, ...] = ()
    mouth: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def stop(self) -> int:
        return self.start + len(self)

    def shot(self, frame: int) -> Shot:
        """The shot that ``frame`` is in."""
        whole = Shot(self.start, self.neutral, self.tracked.identity if self.tracked else None)
        return next((shot for shot in reversed(self.shots) if shot.start <= frame), whole)

    def span(self, frame: int) -> tuple[int, int]:
        """The first and the last frame of the shot that ``frame`` is in."""
        starts = [shot.start for shot in self.shots if shot.start > frame]
        return self.shot(frame).start, min([*starts, self.stop]) - 1

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; the same motion always gives the same bytes."""
        header = {
            "frames": len(self),
            "start": self.start,
            "rate": [self.rate.numerator, self.rate.denominator],
            "neutral_frame": self.neutral,
            "frames_without_face": int((~self.valid).sum()),
            "expressions": list(self.expression_names),
            "mouth": list(self.mouth),
            "tracked": None,
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.mouth:
            arrays["mouth"] = np.stack(list(self.mouth.values()), axis=1)
        if self.tracked:
            header["tracked"] = {
                "detector": self.tracked.detector,
                "face_model": self.tracked.model,
                "size": list(self.tracked.size),
                "mean_residual_percent": round(float(self.tracked.residual[self.valid].mean()), 3),
            }
            arrays |= {name: getattr(self.tracked, name) for name in _TRACKED_ARRAYS}
            if self.tracked.others is not None:
                arrays["others"] = self.tracked.others
        if self.shots:
            header["shots"] = [[shot.start, shot.neutral] for shot in self.shots]
            identities = [shot.identity for shot in self.shots if shot.identity is not None]
            if len(identities) == len(self.shots):
                arrays["shot_identities"] = np.stack(identities)
        write_atomic(path, motion_format.pack(motion_format.MOTION, header, arrays))

    @classmethod
    def load(cls, path: Path) -> Motion:
        """Read an untrusted file; raises EngineError ``motion`` when it is missing, foreign, newer or damaged."""
        remedy = "Analyse the footage again with `python -m engine analyse`, or export the motion again."
        with refused(path, remedy):
            header, arrays = motion_format.unpack(path, motion_format.MOTION)
            motion = cls._from_parts(header, arrays)
            motion.check()
            return motion

    @classmethod
    def _from_parts(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Motion:
        names, count = names_of(header["expressions"]), header["frames"]
        shapes = {
            "expression": (count, len(names)),
            "rotation": (count, 3, 3),
            "translation": (count, 3),
            "gaze": (count, 2, 2),
            "valid": (count,),
        }
        found = {name: array_of(arrays, name, shape) for name, shape in shapes.items()}
        found["valid"] = found["valid"] != 0
        curves, tracked = names_of(header.get("mouth", [])), header["tracked"]
        mouth = array_of(arrays, "mouth", (count, len(curves))).T if curves else ()
        return cls(
            names,
            **found,
            start=index(header["start"]),
            rate=Fraction(*map(index, header["rate"])),
            neutral=index(header["neutral_frame"]),
            tracked=None if tracked is None else _tracked(tracked, arrays, count),
            shots=_shots(header.get("shots", []), arrays),
            mouth=dict(zip(curves, mouth, strict=True)),
        )

    def check(self) -> None:
        """Raise ValueError where the numbers cannot be the motion of a head before a camera."""
        if not self.valid.any():
            raise ValueError("no frame of it shows a face")
        if self.start < 0 or not self.start <= self.neutral < self.stop:
            raise ValueError("its neutral frame is not one of its frames")
        starts = [shot.start for shot in self.shots]
        if starts and (starts[0] != self.start or starts != sorted(set(starts)) or starts[-1] >= self.stop):
            raise ValueError("its shots do not follow each other")
        if not all(self.start <= shot.neutral < self.stop for shot in self.shots):
            raise ValueError("the neutral frame of a shot is not one of its frames")
        if self.rate <= 0:
            raise ValueError("its rate is not positive")
        error = np.abs(self.rotation @ self.rotation.swapaxes(1, 2) - np.eye(3)).max()
        if error > _NOT_ORTHONORMAL or np.linalg.det(self.rotation).min() < 0:
            raise ValueError("its rotation matrices are not orthonormal")
        if self.translation[:, 2].max() >= 0:
            raise ValueError("a head is behind the camera")


@dataclass(frozen=True)
class MotionFrame:
    """What a subject does in one frame, already retargeted to that subject.

    ``expression`` (E,), ``rotation`` (3, 3), ``translation`` (3,) cm, ``gaze`` (2, 2) radians, ``offsets`` (P, 3) cm to
    add to the subject's own landmark offsets; ``status`` is ``ok``, ``held`` or ``reference``. ``driver`` (K,) is the
    identity of the driver where it is known: for inputs that show the driver's own head. ``identity``
    (K,) is that of the head that moves, None for the subject's own. ``mouth`` has what the driver shows between the
    lips, by the names of :data:`engine.motion.mouth_sight.CURVES`, and ``mouth_at_rest`` what the driver showed when at
    rest like the subject, empty where expressions are copied; ``lip_gap`` is how far the subject's lips are to be
    apart, a share of the face's diagonal, None where the mesh alone says so.
    """

    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray
    offsets: np.ndarray
    status: str
    driver: np.ndarray | None = None
    identity: np.ndarray | None = None
    mouth: Mapping[str, float] = field(default_factory=dict)
    mouth_at_rest: Mapping[str, float] = field(default_factory=dict)
    lip_gap: float | None = None

    def neutral(self, face: FaceFit) -> np.ndarray:
        """The expressionless head that moves where the subject is ``face``, (N, 3) cm."""
        return face.neutral if self.identity is None else face.model.neutral(self.identity)


@contextmanager
def refused(path: Path, remedy: str) -> Iterator[None]:
    """Turns what the content of an untrusted file ``path`` raises into EngineError ``motion``."""
    try:
        yield
    except (OSError, LookupError, ValueError, TypeError, ArithmeticError) as fault:
        reason = f"its header lacks {fault}" if isinstance(fault, KeyError) else fault
        raise EngineError("motion", f"The motion of {path} cannot be used: {reason}.", remedy) from fault


def names_of(value: Any) -> tuple[str, ...]:
    """A list of different names in a header; raises ValueError."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value) or len(set(value)) < len(value):
        raise ValueError("its names are not a list of different texts")
    return tuple(value)


def array_of(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array ``name`` of a file; raises ValueError where it is missing or of another shape."""
    if name not in arrays or arrays[name].shape != shape:
        raise ValueError(f"its {name} is not {' × '.join(map(str, shape))} numbers")
    return arrays[name]


def _tracked(header: dict[str, Any], arrays: dict[str, np.ndarray], count: int) -> Tracked:
    width, height = map(index, header["size"])
    if not {"offsets", "identity"} <= set(arrays):
        raise ValueError("it lacks its offsets or its identity")
    points, coefficients = arrays["offsets"].shape[1:2], arrays["identity"].shape[:1]
    return Tracked(
        offsets=array_of(arrays, "offsets", (count, *points, 3)),
        residual=array_of(arrays, "residual", (count,)),
        confidence=array_of(arrays, "confidence", (count,)),
        identity=array_of(arrays, "identity", coefficients),
        detector=str(header["detector"]),
        model=str(header["face_model"]),
        size=(width, height),
        others=array_of(arrays, "others", (count,)) != 0 if "others" in arrays else None,
    )


def _shots(header: list, arrays: dict[str, np.ndarray]) -> tuple[Shot, ...]:
    coefficients = arrays["identity"].shape if "identity" in arrays else None
    identities: Any = [None] * len(header)
    if coefficients is not None and header:
        identities = array_of(arrays, "shot_identities", (len(header), *coefficients))
    parts = zip(header, identities, strict=True)
    return tuple(Shot(index(start), index(neutral), identity) for (start, neutral), identity in parts)
