"""Training samples, whatever their source: the studio, a shard of rendered frames, or a user's own clips.

A :class:`Frame` is a square picture of one face with its labels. A :class:`Pair` holds frames of one person and the
exact motion between them. A :class:`Samples` gives the same pair for the same number every time, so the position in the
data is one integer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from engine.geometry.fields import Classes, Code, Depth, Field, Flags, Flow, Kind, Mask, Number, Picture, Points, Share

# The labels of a frame. S is its width in pixels, K and E the face model's identities and expressions.
LABELS: dict[str, Field] = {
    "image": Field(Picture(), ("S", "S", 3), "display-referred sRGB"),
    "matte": Field(Share(), ("S", "S"), "1 is person"),
    "parsing": Field(Classes(), ("S", "S"), "class of ``studio.stage.scene.Parsing``"),
    "pncc": Field(Code(), ("S", "S", 3), "PNCC as in 3DDFA_V2, 0 where there is no mesh"),
    "depth": Field(Depth(), ("S", "S"), "cm, infinity in the background"),
    "landmarks68": Field(Points(), (68, 2), "iBUG's 68 points"),
    "visible68": Field(Flags(), (68,), "whether they are seen"),
    "dense": Field(Points(), (468, 3), "MediaPipe's points; z from the head's centre, negative towards the camera"),
    "dense_visible": Field(Flags(), (468,), "whether they are seen"),
    "identity": Field(Kind(), ("K",), "coefficients of the face model"),
    "expression": Field(Kind(), ("E",), "weights of the face model's expressions"),
    "gaze": Field(Kind(), (2, 2), "left eye first, (pitch, yaw) in radians"),
    "rotation": Field(Kind(), (3, 3), "head to camera"),
    "translation": Field(Kind(), (3,), "cm"),
    "focal": Field(Kind(), (), "focal length in widths of the picture"),
}
OF_FRAME = {
    **LABELS,
    "person": Field(Number(), (), "number of the person in these data"),
    "face": Field(Kind(), (), "1 where there is a face; without one all labels are 0"),
}
OF_PAIR: dict[str, Field] = {
    "flow": Field(Flow(), ("S", "S", 2), "for each pixel of driving, the offset to the same point in source"),
    "flow_visible": Field(Mask(), ("S", "S"), "that point is seen in both"),
}


@dataclass(frozen=True)
class Frame:
    """One square picture and what is known of it, by the names, shapes and units of :data:`LABELS`; None where the
    maker cannot know. Arrays have the dtype in which their kind is stored."""

    image: np.ndarray
    person: int
    face: bool = True
    matte: np.ndarray | None = None
    parsing: np.ndarray | None = None
    pncc: np.ndarray | None = None
    depth: np.ndarray | None = None
    landmarks68: np.ndarray | None = None
    visible68: np.ndarray | None = None
    dense: np.ndarray | None = None
    dense_visible: np.ndarray | None = None
    identity: np.ndarray | None = None
    expression: np.ndarray | None = None
    gaze: np.ndarray | None = None
    rotation: np.ndarray | None = None
    translation: np.ndarray | None = None
    focal: float | None = None

    def known(self) -> set[str]:
        """Names of the labels this frame has."""
        return {f.name for f in fields(self) if getattr(self, f.name) is not None}


@dataclass(frozen=True)
class Pair:
    """Frames of one person and, where it is known, the motion between them.

    ``flow`` and ``flow_visible`` lead from ``driving`` to ``source``, see :data:`OF_PAIR`. ``cross`` shows the driving
    motion on another identity (ground truth for cross-identity), ``cross_source`` is a portrait of that identity.
    ``inputs`` are arrays of :data:`engine.geometry.frame_inputs.FIELDS` as stored, of ``source`` driven by ``driving``.
    ``others`` are further frames of the person, for systems that draw from several portraits.
    """

    source: Frame
    driving: Frame
    flow: np.ndarray | None = None
    flow_visible: np.ndarray | None = None
    cross_source: Frame | None = None
    cross: Frame | None = None
    inputs: dict[str, np.ndarray] | None = None
    others: tuple[Frame, ...] = ()

    @property
    def sources(self) -> tuple[Frame, ...]:
        """All K source frames."""
        return (self.source, *self.others)

    def parts(self) -> dict[str, Any]:
        """Everything by name; further source frames are called ``source_2``, ``source_3`` …"""
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "others"}
        return parts | {source_name(k): frame for k, frame in enumerate(self.sources)}

    @classmethod
    def of_parts(cls, parts: dict[str, Any]) -> Pair:
        """The inverse of :meth:`parts`; what is missing is None."""
        known = {field.name: parts[field.name] for field in fields(cls) if field.name in parts}
        others = []
        while (name := source_name(len(others) + 1)) in parts:
            others.append(parts[name])
        return cls(**known, others=tuple(others))


def source_name(k: int) -> str:
    """The name of source frame ``k``, counted from 0, among a pair's parts."""
    return "source" if k == 0 else f"source_{k + 1}"


class Samples(Protocol):
    """A source of pairs, addressed by number."""

    def pair(self, number: int, size: int) -> Pair:
        """The pair of that number, 0 and up without end (a finite source repeats), ``size`` pixels wide."""
        ...

    def describe(self) -> dict[str, object]:
        """What a checkpoint and the manifest record of the data: kind, seed, split, hash of the assets … as JSON."""
        ...
