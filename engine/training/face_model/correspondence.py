"""Finds a face detector's points on the surface of a head by detecting them in renders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from engine.errors import EngineError
from engine.face.camera import Camera
from engine.tracking.detector import Detector
from engine.training.face_model import render

IMAGE_SIZE = 512
VIEWS = ((0, 0), (-22, 0), (22, 0), (-10, 8), (10, -8), (0, -12))  # yaw, pitch in degrees
# Points that are only visible when the mouth is open: the inner contour of the lips in MediaPipe's order.
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
LIPS = INNER_LIPS + (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)

Albedo = Callable[[render.View], np.ndarray]


@dataclass(frozen=True)
class Sitting:
    """One head to show: posed ``vertices``, all its ``triangles``, colours, and whether the mouth is open."""

    vertices: np.ndarray
    triangles: np.ndarray
    albedo: Albedo
    mouth_open: bool


@dataclass(frozen=True)
class Landing:
    """Result for the 468 points: ``position`` (468, 3) and ``spread`` (468,), mean distance from it over the views."""

    position: np.ndarray
    spread: np.ndarray
    shown: int
    found: int


def land(
    sittings: Iterable[Sitting],
    skin: np.ndarray,
    canonical: np.ndarray,
    aim: np.ndarray,
    detector: Detector,
    width_cm: float = 27.0,
) -> Landing:
    """Detect the points in every sitting from all VIEWS, and take medians on the ``canonical`` vertices (N, 3).

    ``skin`` (T,) says which triangles may be hit; ``aim`` (3,) is the point looked at. Lips count from open mouths
    only, everything else from closed ones only (if there are both).
    """
    camera = Camera(IMAGE_SIZE, IMAGE_SIZE)
    hits: dict[bool, list[np.ndarray]] = {False: [], True: []}
    shown = 0
    for sitting in sittings:
        for yaw, pitch in VIEWS:
            pose = render.look_at(aim, render.rotation(yaw, pitch), width_cm, camera)
            view = render.see(sitting.vertices, sitting.triangles, pose, camera)
            seen = detector.detect(view.image(sitting.albedo(view)))
            shown += 1
            if seen is None or seen.dense is None:
                continue
            hits[sitting.mouth_open].append(_lift(view, seen.dense[:, :2], skin, sitting.triangles, canonical))
    found = len(hits[False]) + len(hits[True])
    if found < 3:
        raise EngineError(
            "no_face",
            f"The detector found a face in {found} of {shown} renders of the head assets.",
            "Check that the assets hold human heads, y up, facing +z.",
        )
    closed = np.array(hits[False] or hits[True])
    opened = np.array(hits[True] or hits[False])
    position, spread = np.empty((468, 3)), np.empty(468)
    for k in range(468):
        sample = (opened if k in LIPS else closed)[:, k]
        position[k] = np.median(sample, axis=0)
        spread[k] = np.linalg.norm(sample - position[k], axis=1).mean()
    return Landing(position, spread, shown, found)


def _lift(
    view: render.View, points: np.ndarray, skin: np.ndarray, triangles: np.ndarray, canonical: np.ndarray
) -> np.ndarray:
    """Detections (468, 2) → places on the canonical surface (468, 3), by the nearest pixel that shows skin."""
    fragments = view.fragments
    on_skin = np.flatnonzero(skin[fragments.triangle])
    centres = np.stack([fragments.columns, fragments.rows], axis=1)[on_skin] + 0.5
    _, nearest = cKDTree(centres, balanced_tree=False, compact_nodes=False).query(points * render.SUPERSAMPLING)
    chosen = on_skin[nearest]
    corner = canonical[triangles[fragments.triangle[chosen]]]
    return np.einsum("pk,pkd->pd", fragments.barycentric[chosen], corner)
