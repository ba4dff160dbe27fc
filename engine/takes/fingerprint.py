"""A take's fingerprint: everything that decides its pictures, except which frames are asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import catalog, protocol

if TYPE_CHECKING:
    from engine.media.hashes import Hashes
    from engine.systems.base import System

PICTURES = 4
"""Raise it whenever the same take gets other pictures; tests/engine/test_golden_frames.py asks for it."""

# The fields whose values mean nothing to people, in words.
_CONTENTS = {
    "portraits": "the portraits' contents",
    "weights": "the weights",
    "footage": "the driver's pictures",
    "driver": "the driver's motion (other footage, or another range of it was analysed)",
}


@dataclass(frozen=True)
class Fingerprint:
    """``fields`` hold JSON values by name; two fingerprints are equal when all fields are."""

    fields: dict[str, Any]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.fields, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "fields": self.fields}

    def differences(self, other: Fingerprint) -> str:
        """How ``other`` differs, in words; empty when they are equal."""
        words = []
        for name in sorted({*self.fields, *other.fields}):
            ours, theirs = self.fields.get(name), other.fields.get(name)
            if ours != theirs:
                words.append(_CONTENTS.get(name) or f"{name.replace('_', ' ')} ({_value(ours)}, not {_value(theirs)})")
        return ", ".join(words)


def fingerprint_of(
    job: protocol.Job,
    system: System,
    portraits: Sequence[np.ndarray],
    detector: str | None,
    motion: Any,
    hashes: Hashes,
    check: Callable[[], None],
) -> Fingerprint:
    """``portraits`` are the pictures as they were read, since their files may change while footage is analysed;
    ``motion`` is the dataclass that drives, None without one; ``check`` may raise to end the wait for ``hashes``."""
    info = catalog.SYSTEMS_BY_NAME[job.system]
    kinds = {option.name: option.kind for option in info.options}
    options = {
        name: float(value) if kinds[name] == "number" else value  # 1 and 1.0 are the same option
        for name, value in system.options.items()
        if kinds[name] != "path"  # the weights' contents count, not where a host keeps them or how they are called
    }
    footage = None
    if "driver_image" in info.needs:
        digests = [entry["sha256"] for entry in hashes.wait("driving", check)]
        footage = hashlib.sha256("".join(digests).encode()).hexdigest()
    return Fingerprint(
        {
            "engine": protocol.VERSION,
            "pictures": PICTURES,
            "system": job.system,
            "options": options,
            "portraits": [content_hash(rgb) for rgb in portraits],
            "weights": [entry["sha256"] for entry in hashes.wait("weights", check)],
            "detector": detector,
            "footage": footage,
            "driver": None if motion is None else content_hash(motion),
            "motion": job.motion,
            "neutral_frame": job.neutral_frame,
            "no_face": job.no_face,
            "identity": job.identity,
        }
    )


def content_hash(content: Any) -> str:
    """SHA-256 of an array, or over all fields of a dataclass; floats in the precision of files (float32)."""
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        stored = value.astype(np.float32) if value.dtype.kind == "f" else value
        digest.update(f"{stored.dtype.kind}{stored.shape}".encode())
        digest.update(np.ascontiguousarray(stored).tobytes())
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            digest.update(field.name.encode())
            _feed(digest, getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key in sorted(value):
            digest.update(str(key).encode())
            _feed(digest, value[key])
    else:
        digest.update(repr(value).encode())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
