"""What a recipe trains on, whoever made it: the studio on the fly, a shard of rendered frames, or a studio's own clips.

A :class:`Frame` is a square picture of one face with its labels; a :class:`Pair` is two frames of one person and the
exact motion between them. A :class:`Samples` gives the pair of any number, the same one every time, so that the
position in the data is one integer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One square picture, S pixels wide, and what is known of it. None where the maker cannot know.

    Pictures: ``image`` (S, S, 3) uint8 display-referred sRGB; ``matte`` (S, S) uint8, 255 is person; ``parsing`` (S, S)
    uint8 of ``studio.scene.Parsing``; ``pncc`` (S, S, 3) float16 in 0…1, the place on the face model's mean head
    normalised by its bounds, 0 where there is none (3DDFA_V2's projected normalised coordinate code); ``depth`` (S, S)
    float16 cm, infinity in the background.

    Points, in pixels of this frame: ``landmarks68`` (68, 2) float32, ``visible68`` (68,) bool, ``dense`` (468, 3)
    float32 with z in pixels, negative towards the camera from the head's centre, ``dense_visible`` (468,) bool.

    Coefficients of the face model: ``identity`` (K,), ``expression`` (E,), ``gaze`` (2, 2) radians as in
    ``studio.scene.HeadState``, ``rotation`` (3, 3), ``translation`` (3,) cm, ``focal`` in widths; all float32.

    ``person`` numbers the sitter within its source; ``face`` is 1 where there is a face at all (0: a negative).
    """

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
class Warp:
    """What ``mesh_warp`` makes of a pair's source, driven by the true or the tracked state of its driving frame.

    ``image`` (S, S, 3) uint8 the finished frame. Of the bare mesh with the source's identity: ``pncc`` (S, S, 3)
    float16 in 0…1 as it is posed and expressed in the driving frame, ``source_pncc`` as it lies in the source, 0 where
    there is no mesh. Of the new frame, as in ``systems.identity_matched.conditions``: ``flow`` (S, S, 2) float16 from
    each pixel the offset (x, y) in pixels to its place in the source, ``hidden`` (S, S) uint8, 255 where the source
    does not show what belongs there, ``stretch`` (S, S) float16 log2 of how much its area is magnified, −4…4,
    ``part`` (S, S) uint8: 0 no mesh, 1 skin, 2 eyeball or socket, 3 the inside of the mouth.
    """

    image: np.ndarray
    pncc: np.ndarray
    source_pncc: np.ndarray
    flow: np.ndarray
    hidden: np.ndarray
    stretch: np.ndarray
    part: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Two frames of one person and, where known, the motion between them.

    ``flow`` (S, S, 2) float16: for each pixel of ``driving``, where the same surface point lies in ``source``, as an
    offset (x, y) in pixels; ``flow_visible`` (S, S) bool: that point is seen in both. ``cross`` is the driving motion
    on another identity (ground truth for cross-identity), ``cross_source`` a portrait of that identity. ``warp`` is
    what geometry alone makes of ``source``.
    """

    source: Frame
    driving: Frame
    flow: np.ndarray | None = None
    flow_visible: np.ndarray | None = None
    cross_source: Frame | None = None
    cross: Frame | None = None
    warp: Warp | None = None


class Samples(Protocol):
    """A source of pairs, addressed by number."""

    def pair(self, number: int, size: int) -> Pair:
        """The pair of that number, 0 and up without end (a finite source repeats), ``size`` pixels wide."""
        ...

    def describe(self) -> dict[str, object]:
        """What a checkpoint and the manifest record of the data: kind, seed, split, hash of the assets … as JSON."""
        ...
