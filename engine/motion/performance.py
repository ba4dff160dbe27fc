"""A performance: one face's motion over the frames of its footage, analysed once and rendered many times.

On disk: a line ``UNDERSTUDY PERFORMANCE``, a JSON header anyone can read, an empty line, then zlib-compressed
safetensors. Frames are counted from ``start``, in the numbering of the footage (its first frame is 0).
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from engine.errors import EngineError
from engine.media.image import write_atomic

if TYPE_CHECKING:
    from engine.face.subject import FaceFit

MAGIC = b"UNDERSTUDY PERFORMANCE\n"
VERSION = 2
_MAX_HEADER = 1 << 20
_MAX_PAYLOAD, _MAX_PER_FRAME = 1 << 31, 1 << 16  # bytes: what an honest file never reaches
_ARRAYS = ("expression", "rotation", "translation", "gaze", "offsets", "confidence", "residual", "valid")


@dataclass(frozen=True)
class Performance:
    """T frames of motion of one face.

    ``expression`` (T, E) weights of ``expression_names``; ``rotation`` (T, 3, 3) and ``translation`` (T, 3) cm of the
    head before the camera; ``gaze`` (T, 2, 2) radians; ``offsets`` (T, P, 3) cm, what the model leaves unexplained at
    the detector's points (P tells which detector); ``confidence`` (T,) 0…1; ``residual`` (T,) percent of the face's
    diagonal; ``valid`` (T,) False where no face was found and the last pose is held; ``identity`` (K,) of the driver.
    """

    expression_names: tuple[str, ...]
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray
    offsets: np.ndarray
    confidence: np.ndarray
    residual: np.ndarray
    valid: np.ndarray
    identity: np.ndarray
    start: int
    fps: Fraction
    size: tuple[int, int]
    neutral: int
    detector: str
    model: str

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def stop(self) -> int:
        return self.start + len(self)

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        header = {
            "version": VERSION,
            "frames": len(self),
            "start": self.start,
            "fps": [self.fps.numerator, self.fps.denominator],
            "size": list(self.size),
            "neutral_frame": self.neutral,
            "frames_without_face": [int(i) + self.start for i in np.flatnonzero(~self.valid)],
            "mean_residual_percent": round(float(self.residual[self.valid].mean()), 3) if self.valid.any() else None,
            "detector": self.detector,
            "face_model": self.model,
            "expressions": list(self.expression_names),
        }
        tensors = {name: np.ascontiguousarray(_stored(getattr(self, name))) for name in (*_ARRAYS, "identity")}
        payload = zlib.compress(save_tensors(tensors), 6)
        write_atomic(path, MAGIC + json.dumps(header, indent=1).encode() + b"\n\n" + payload)

    @classmethod
    def load(cls, path: Path) -> Performance:
        """Read a file; raises EngineError ``performance`` when it is missing, foreign, newer or damaged."""
        try:
            data = path.read_bytes()
            if not data.startswith(MAGIC):
                raise ValueError("it is not a performance file")
            end = data.index(b"\n\n", 0, _MAX_HEADER)
            header = json.loads(data[len(MAGIC) : end])
            if header["version"] != VERSION:
                raise ValueError(f"its version is {header['version']}, this engine reads {VERSION}")
            limit = min(_MAX_PAYLOAD, _MAX_PER_FRAME * (int(header["frames"]) + 1))
            inflate = zlib.decompressobj()
            payload = inflate.decompress(data[end + 2 :], limit)
            if not inflate.eof:
                raise ValueError("it is cut short" if len(payload) < limit else "it holds more than its header says")
            return cls._from_parts(header, load_tensors(payload))
        except (
            *(OSError, LookupError, ValueError, TypeError, ArithmeticError),
            *(RecursionError, zlib.error, SafetensorError),
        ) as fault:
            raise EngineError(
                "performance",
                f"The performance file {path} cannot be used: {fault}.",
                "Analyse the footage again with `python -m engine analyse`.",
            ) from fault

    @classmethod
    def _from_parts(cls, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> Performance:
        names = tuple(str(name) for name in header["expressions"])
        count = int(header["frames"])
        points = tensors["offsets"].shape[1:2]
        widths = {"expression": (len(names),), "rotation": (3, 3), "translation": (3,), "gaze": (2, 2)}
        shapes = {name: (count, *widths.get(name, ())) for name in _ARRAYS}
        shapes |= {"offsets": (count, *points, 3), "identity": tensors["identity"].shape[:1]}
        for name, shape in shapes.items():
            if tensors[name].shape != shape or not np.isfinite(tensors[name]).all():
                raise ValueError(f"its {name} does not fit its header")
        arrays = {name: tensors[name].astype(bool if name == "valid" else np.float64) for name in shapes}
        performance = cls(
            names,
            **arrays,
            start=int(header["start"]),
            fps=Fraction(*header["fps"]),
            size=(int(header["size"][0]), int(header["size"][1])),
            neutral=int(header["neutral_frame"]),
            detector=str(header["detector"]),
            model=str(header["face_model"]),
        )
        performance._check()
        return performance

    def _check(self) -> None:
        """Raises ValueError where the values cannot be a face's motion before a camera."""
        if not self.valid.any():
            raise ValueError("no frame of it shows a face")
        if not self.start <= self.neutral < self.stop or self.fps <= 0:
            raise ValueError("its neutral frame or its rate is impossible")
        turned_back = self.rotation @ self.rotation.swapaxes(1, 2)
        if np.abs(turned_back - np.eye(3)).max() > 0.01 or np.linalg.det(self.rotation).min() < 0:
            raise ValueError("its rotations are none")
        if self.translation[:, 2].max() >= 0:
            raise ValueError("a head is behind the camera")


@dataclass(frozen=True)
class MotionFrame:
    """What a subject is asked to do in one frame, already retargeted to that subject.

    ``expression`` (E,), ``rotation`` (3, 3), ``translation`` (3,) cm, ``gaze`` (2, 2) radians, ``offsets`` (P, 3) cm to
    add to the subject's own landmark offsets; ``status`` is ``ok``, ``held`` or ``reference``. ``driver`` (K,) is the
    identity of who drives, where that is known: only what is not to be matched to the subject's own may look at it.
    ``identity`` (K,) is that of the head that moves, None for the subject's own.
    """

    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    gaze: np.ndarray
    offsets: np.ndarray
    status: str
    driver: np.ndarray | None = None
    identity: np.ndarray | None = None

    def neutral(self, face: FaceFit) -> np.ndarray:
        """The expressionless head that moves where the subject is ``face``, (N, 3) cm."""
        return face.neutral if self.identity is None else face.model.neutral(self.identity)


def _stored(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint8) if array.dtype == bool else array.astype(np.float32)
