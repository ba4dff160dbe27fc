"""Mesh motion → dense flow: for every pixel of the new frame, where in the portrait to look, and how far to trust it.

There are two layers. The *outer* layer moves hair, neck and surroundings as a soft rigid body on a coarse grid. The
*face* layer is the rasterised mesh. Its difference from the outer layer is extrapolated beyond its edge with decay, so
that there is no seam.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from engine.face.camera import Pose
from engine.face.maths import rotation_from_vector, smoothstep, vector_from_rotation
from engine.geometry.source_geometry import SourceGeometry, turn_weight
from engine.raster.opencv import Fragments, depth_image, rasterise

_GRID_SIDE = 160
_SOFT_TURN = 0.12  # radians out of plane beyond which the outer layer stops following
_EYE_BIAS = 0.12  # cm by which eyeballs are drawn deeper than they are, so that they do not pierce the lids
_UNHIDES = 0.12  # radians out of plane from which on what the portrait hides is filled completely
_INVERSIONS = 10


@dataclass(frozen=True)
class GeometryFlow:
    """Buffers of (h, w), the portrait's aspect at flow resolution.

    ``source`` (h, w, 2) float32 where to look, in portrait pixels with centres at +.5; ``hidden`` (h, w) 0…1 how much
    of what is looked up the portrait does not really show, or must be opaque since the head has turned; ``fragments``
    of the drawn mesh, their part ``fragment_part`` (P,), source coordinates ``fragment_source`` (P, 2),
    how much of these the portrait does not show ``fragment_hidden`` (P,) 0…1, and the ``triangles`` they index;
    ``vertices`` (N, 2) pixels at flow resolution, ``camera_points`` (N, 3) cm; ``scale`` flow pixels a portrait pixel.
    """

    source: np.ndarray
    hidden: np.ndarray
    fragments: Fragments
    fragment_part: np.ndarray
    fragment_source: np.ndarray
    fragment_hidden: np.ndarray
    triangles: np.ndarray
    vertices: np.ndarray
    camera_points: np.ndarray
    scale: float


def stretch(places: np.ndarray) -> np.ndarray:
    """(h, w) log2 of the area in the new frame per area of the portrait, for ``places`` (h, w, 2) to look, in pixels of
    the new frame; above 0 the portrait's pixels are magnified."""
    (xx, xy), (yx, yy) = (np.gradient(places[..., k]) for k in range(2))
    area = np.abs(xy * yx - xx * yy)
    return -np.log2(np.clip(area, 1e-3, 1e3))


class FlowBuilder:
    """Turns posed heads of one portrait into :class:`GeometryFlow`, at most ``side`` pixels on the long side."""

    def __init__(self, source: SourceGeometry, side: int = 512) -> None:
        self.source = source
        camera = source.camera
        self.scale = min(1.0, side / max(camera.width, camera.height))
        self.shape = (round(camera.height * self.scale), round(camera.width * self.scale))
        self.outer = SoftBody(source)
        height, width = self.shape
        columns = (np.arange(width, dtype=np.float32) + 0.5) * (camera.width / width)
        rows = (np.arange(height, dtype=np.float32) + 0.5) * (camera.height / height)
        self._grid = np.stack(np.meshgrid(columns, rows), axis=-1)
        model = source.face.model
        self.skin = model.parts["skin"]
        self._eye_ids = np.unique(model.triangles[model.triangles_of("eye_left", "eye_right")])

    def __call__(self, vertices: np.ndarray, pose: Pose) -> GeometryFlow:
        """``vertices`` (N, 3) of the moved head in its own frame (SourceGeometry.place), and its pose."""
        return self.flow(self.posed(vertices, pose))

    def posed(self, vertices: np.ndarray, pose: Pose) -> PosedHead:
        """A head ``vertices`` (N, 3) before this portrait's camera."""
        return PosedHead(self, vertices, pose)

    def flow(self, head: PosedHead) -> GeometryFlow:
        """How the portrait's pixels move to show ``head``."""
        source = self.source
        turn = self.turn(head.pose)
        hiding, covered = self._hiding(turn)
        look_at = (source.pixels + hiding[:, None] * (source.filled - source.pixels)).astype(np.float32)
        fragments, part, triangles = head.drawn
        skin = part == self.skin
        attributes = np.column_stack([look_at, self._trust(head.camera_points), hiding, covered]).astype(
            np.float32, copy=False
        )
        values = fragments.gather(attributes, triangles)
        outer = self.outer.flow(head.pose, self.shape)
        coordinates, hidden = self._merge(fragments, skin, values, outer)
        return GeometryFlow(
            source=coordinates,
            hidden=hidden,
            fragments=fragments,
            fragment_part=part,
            fragment_source=values[:, :2],
            fragment_hidden=values[:, 3],
            triangles=triangles,
            vertices=(head.pixels * self.scale).astype(np.float32),
            camera_points=head.camera_points,
            scale=self.scale,
        )

    def rasterised(self, pixels: np.ndarray, depth: np.ndarray) -> tuple[Fragments, np.ndarray, np.ndarray]:
        """The bare mesh at flow resolution, from portrait ``pixels`` (N, 2) and ``depth`` (N,) cm of its vertices:
        its fragments, their part (P,) and the triangles (T, 3) that they index."""
        drawn_depth = depth.copy()
        drawn_depth[self._eye_ids] += _EYE_BIAS
        triangles, parts = self._facing(pixels)
        fragments = rasterise((pixels * self.scale).astype(np.float32), drawn_depth, triangles, self.shape)
        return fragments, parts[fragments.triangle], triangles

    def _facing(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The drawn triangles less skin that faces away, and their parts."""
        anatomy = self.source.anatomy
        a, b, c = (pixels[anatomy.drawn_triangles[:, k]] for k in range(3))
        turned = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        keep = (turned < 0) | (anatomy.drawn_part != self.skin)
        return anatomy.drawn_triangles[keep], anatomy.drawn_part[keep]

    def turn(self, pose: Pose) -> float:
        """Radians out of the image's plane away from the portrait's own attitude."""
        turn = vector_from_rotation(self.source.face.pose.rotation.T @ pose.rotation)
        return float(np.linalg.norm(turn[:2]))

    def _hiding(self, turn: float) -> tuple[np.ndarray, np.ndarray]:
        """Per vertex: how much the portrait hides it, and how opaque it must be since the head has turned."""
        source, far = self.source, turn_weight(turn)
        firm = source.anatomy.neck_weight * ~source.anatomy.scalp
        return turn_weight(turn, _UNHIDES) * source.hidden_hard + far * source.hidden_soft, far * firm

    def _trust(self, camera_points: np.ndarray) -> np.ndarray:
        """Weight of the mesh against the outer layer: full on the face, fading on the scalp at the silhouette."""
        anatomy = self.source.anatomy
        toward = -(anatomy.normals(camera_points) * camera_points).sum(axis=1)
        facing = toward / (np.linalg.norm(camera_points, axis=1) + 1e-9)
        scalp = anatomy.head_weight * smoothstep(facing / 0.3)
        return np.where(anatomy.skin, np.maximum(anatomy.face_weight, scalp), 1)

    def _merge(
        self, fragments: Fragments, skin: np.ndarray, values: np.ndarray, outer: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Face layer over outer layer; their difference decays beyond the face's edge."""
        pixel, trust = fragments.pixel[skin], values[skin, 2]
        size = self.shape[0] * self.shape[1]
        coordinates = (self._grid + outer).reshape(-1, 2)
        weight = np.zeros((size, 1), np.float32)
        weight[pixel, 0] = trust
        difference = np.zeros((size, 2), np.float32)
        difference[pixel] = (values[skin, :2] - coordinates[pixel]) * trust[:, None]
        beyond = self._extend(difference.reshape(*self.shape, 2), weight.reshape(self.shape)).reshape(-1, 2)
        coordinates += difference
        beyond *= 1 - weight
        coordinates += beyond
        hidden = np.zeros(size, np.float32)
        hidden[pixel] = np.maximum(trust * values[skin, 3], values[skin, 4])
        return coordinates.reshape(*self.shape, 2), cv2.GaussianBlur(hidden.reshape(self.shape), (0, 0), 1.2)

    def _extend(self, weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
        shrink = min(1.0, _GRID_SIDE / max(self.shape))
        face = self.source.diagonal * self.scale * shrink
        low = cv2.resize(np.dstack([weighted, weight]), None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        wide = cv2.GaussianBlur(low, (0, 0), 0.025 * face) + 0.05 * cv2.GaussianBlur(low, (0, 0), 0.08 * face)
        near = cv2.GaussianBlur((low[..., 2] > 0.3).astype(np.float32), (0, 0), 0.06 * face)
        extended = wide[..., :2] / (wide[..., 2:] + 2e-4) * smoothstep(3 * near)[..., None]
        return cv2.resize(extended.astype(np.float32), self.shape[::-1], interpolation=cv2.INTER_LINEAR)


class PosedHead:
    """A head in a pose: ``camera_points`` (N, 3) cm, ``pixels`` (N, 2) of the portrait, ``depth`` (N,) cm."""

    def __init__(self, build: FlowBuilder, vertices: np.ndarray, pose: Pose) -> None:
        self._build, self.vertices, self.pose = build, vertices, pose
        self.camera_points = pose.apply(vertices)
        self.pixels, self.depth = build.source.camera.project(self.camera_points)

    @functools.cached_property
    def drawn(self) -> tuple[Fragments, np.ndarray, np.ndarray]:
        """:meth:`FlowBuilder.rasterised` of it."""
        return self._build.rasterised(self.pixels, self.depth)


class SoftBody:
    """A coarse grid over the portrait with depth, moved as a rigid body where it belongs to the head."""

    def __init__(self, source: SourceGeometry) -> None:
        self._source = source
        camera, pose, anatomy = source.camera, source.face.pose, source.anatomy
        self.scale = min(1.0, _GRID_SIDE / max(camera.width, camera.height))
        height, width = round(camera.height * self.scale), round(camera.width * self.scale)
        surface = depth_image(source.pixels * self.scale, source.depth, anatomy.skin_triangles, (height, width))
        covered = np.isfinite(surface)
        self._pivot = np.array([0.0, anatomy.chin[1] + 8.6 * anatomy.unit, 0.0])
        middle = np.float32(-pose.apply(self._pivot + [0.0, anatomy.unit, 0.0])[2])
        away = cv2.distanceTransform((~covered).astype(np.uint8), cv2.DIST_L2, 5) / (source.diagonal * self.scale)
        depth = self._extend_depth(np.where(covered, surface, 0), covered, away, middle)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        self._cells = np.stack([columns, rows], axis=-1)
        self._pixels = (self._cells + 0.5) / self.scale
        offset = camera.lift(self._pixels - camera.centre, depth)
        offset[..., 2] = -depth
        self._head = (offset - pose.translation) @ pose.rotation
        above = smoothstep((self._head[..., 1] - anatomy.chin[1] + 7.8 * anatomy.unit) / (9.4 * anatomy.unit))
        rigid = above * smoothstep(1 - (away - 0.55) / 0.9)
        self._rigid = cv2.GaussianBlur(rigid.astype(np.float32), (0, 0), 1.5)[..., None]

    def _extend_depth(
        self, surface: np.ndarray, covered: np.ndarray, away: np.ndarray, middle: np.floating
    ) -> np.ndarray:
        """Depth of the mesh, continued beyond its edge and fading to the head's middle."""
        face = self._source.diagonal * self.scale
        sigma = 0.06 * face
        total = cv2.GaussianBlur(surface.astype(np.float32), (0, 0), sigma)
        weight = cv2.GaussianBlur(covered.astype(np.float32), (0, 0), sigma)
        near = np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), middle)
        fade = smoothstep(away / 0.15)
        depth = np.where(covered, surface, near * (1 - fade) + middle * fade)
        return cv2.GaussianBlur(depth.astype(np.float32), (0, 0), 0.012 * face + 0.5)

    @property
    def shape(self) -> tuple[int, int]:
        return self._rigid.shape[:2]

    @property
    def columns(self) -> np.ndarray:
        """(w,) portrait pixels of the grid's columns."""
        return self._pixels[0, :, 0]

    def flow(self, pose: Pose, shape: tuple[int, int]) -> np.ndarray:
        """Backward displacement (h, w, 2) in portrait pixels: add it to a pixel to find where it came from."""
        return self.backward(self.forward(pose), shape)

    def forward(self, pose: Pose) -> np.ndarray:
        """Displacement of the grid's cells, (h, w, 2) float32 in portrait pixels."""
        source = self._source
        start = source.face.pose
        turn = vector_from_rotation(start.rotation.T @ pose.rotation)
        size = float(np.linalg.norm(turn[:2]))
        if size > 1e-6:
            turn[:2] *= _SOFT_TURN * np.tanh(size / _SOFT_TURN) / size
        softened = start.rotation @ rotation_from_vector(turn)
        anchor = pose.apply(self._pivot)
        moved, _ = source.camera.project((self._head - self._pivot) @ softened.T + anchor)
        return ((moved - self._pixels) * self._rigid).astype(np.float32)

    def backward(self, forward: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """The inverse of a displacement of the grid as :meth:`flow` gives it."""
        backward = np.zeros_like(forward)
        for _ in range(_INVERSIONS):
            at = self._cells - backward * self.scale
            there = cv2.remap(forward, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            backward = 0.4 * backward + 0.6 * there
        return -cv2.resize(backward, shape[::-1], interpolation=cv2.INTER_CUBIC)

    def moved(self, forward: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Portrait pixels (n, 2) float32 moved by a displacement of the grid."""
        at = points * np.float32(self.scale) - np.float32(0.5)
        offset = cv2.remap(forward, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return points + offset.reshape(-1, 2)
