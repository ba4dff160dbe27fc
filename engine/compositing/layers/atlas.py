"""The texture of the head's mesh on a cylinder, completed: as seen, then mirrored, then diffused."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.layers.fill import push_pull, reflect_detail
from engine.face.maths import smoothstep
from engine.geometry.source_geometry import SourceGeometry
from engine.raster.opencv import rasterise

SIZE = 640  # pixels of the atlas
_DISAGREE, _DIFFERENT = 22.0, 20.0  # of 255: halves of a face that differ more do not complete each other


class Atlas:
    """``picture`` (SIZE, SIZE, 3) uint8; ``places`` (N, 2) float32 where each vertex lies in it, in pixels;
    ``facing`` (N,) float32 the cosine at which the portrait sees it."""

    def __init__(
        self,
        source: SourceGeometry,
        weights: np.ndarray,
        ear: np.ndarray,
        rgb: np.ndarray,
        certain: np.ndarray,
        scale: float,
    ) -> None:
        """``weights`` (N,) of the head, ``ear`` (N,) bool; ``rgb`` (h, w, 3) uint8 the head's own colours and
        ``certain`` (h, w) 0…1 how surely they are, at ``scale`` pixels a portrait pixel."""
        anatomy, vertices = source.anatomy, source.face.model.vertices
        head = anatomy.skin & (weights > 0.5)
        axis = float(np.median(vertices[head, 2])) - 2.0
        bottom, top = vertices[head, 1].min(), vertices[head, 1].max()
        azimuth = np.arctan2(vertices[:, 0], vertices[:, 2] - axis) / np.pi
        level = (top - vertices[:, 1]) / (top - bottom)
        self.places = np.stack([(azimuth + 1) / 2 * SIZE, level * SIZE], axis=1).astype(np.float32)
        camera_points = source.face.pose.apply(source.vertices)
        toward = -(anatomy.normals(camera_points) * camera_points).sum(axis=1)
        self.facing = np.clip(toward / np.linalg.norm(camera_points, axis=1), -1, 1).astype(np.float32)
        triangles = anatomy.skin_triangles
        whole = (np.ptp(azimuth[triangles], axis=1) < 0.5) & head[triangles].all(axis=1)  # not across the seam
        radius = np.hypot(vertices[:, 0], vertices[:, 2] - axis)
        drawn = rasterise(self.places, (100 - radius).astype(np.float32), triangles[whole], (SIZE, SIZE))
        seen = (1 - np.maximum(source.hidden_hard, ear)) * self.facing
        values = np.column_stack([source.pixels * scale, seen, anatomy.scalp]).astype(np.float32)
        image = drawn.image(drawn.gather(values, triangles[whole]))
        at = image[..., 0] - 0.5, image[..., 1] - 0.5
        colour = cv2.remap(rgb, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        certainty = cv2.remap(certain, *at, cv2.INTER_LINEAR)
        self.picture = _completed(colour, _trust(image[..., 2], image[..., 3], certainty))


def _trust(seen: np.ndarray, scalp: np.ndarray, certainty: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) 0…1: how well the portrait shows each place; hair may be seen at a flatter angle than skin."""
    least = 0.2 - 0.15 * scalp
    trust = smoothstep((seen - least) / (0.25 - 0.1 * scalp)) * smoothstep((certainty - 0.8) / 0.15)
    trust = cv2.GaussianBlur(cv2.erode(trust.astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), 1.5)
    return np.minimum(trust, seen > least - 0.05)


def _completed(colour: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """The other half of the face fills in where the two agree, at its own side's light; the rest is diffused."""
    other, other_trust = colour[:, ::-1], trust[:, ::-1] * (trust[:, ::-1] > 0.3)
    both = trust * other_trust
    both = both * (both > 0.8)
    mirrored = other * _gain(colour, other, both)
    other_trust = other_trust * _agreement(colour, mirrored, both, trust)
    known = trust + (1 - trust) * other_trust
    mixed = colour * trust[..., None] + mirrored * ((1 - trust) * other_trust)[..., None]
    mixed /= np.maximum(known, 1e-4)[..., None]
    full = reflect_detail(push_pull(mixed, known), mixed, known > 0.9, 1 - np.clip(known, 0, 1), 3)
    return np.clip(full, 0, 255).astype(np.uint8)


def _gain(colour: np.ndarray, other: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE, 3): what turns the other side's light into this one's. A gain keeps dark hair dark."""

    def blurred(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), SIZE / 40)

    share = blurred(both)
    steady = 4 * share[..., None]
    gain = (blurred(colour * both[..., None]) + steady) / (blurred(other * both[..., None]) + steady + 1e-6)
    gain = push_pull(np.clip(gain, 0.5, 1.5), (share > 0.15).astype(np.float32))
    return cv2.GaussianBlur(gain, (0, 0), SIZE / 60)


def _agreement(colour: np.ndarray, mirrored: np.ndarray, both: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) 0…1: how alike the halves are along the border of what is seen."""
    border = both * (cv2.GaussianBlur(trust, (0, 0), SIZE / 25) < 0.93)
    share = np.maximum(cv2.GaussianBlur(border, (0, 0), SIZE / 60), 1e-3)
    difference = np.abs(colour - mirrored).mean(axis=-1) * border
    difference = push_pull(cv2.GaussianBlur(difference, (0, 0), SIZE / 60) / share, border)
    return (1 - smoothstep((difference - _DISAGREE) / _DIFFERENT)).astype(np.float32)
