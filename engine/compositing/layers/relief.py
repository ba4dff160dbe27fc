"""Where each pixel of the portrait lies on the head, and which vertices are head rather than neck."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.compositing.layers.fill import ellipse, push_pull
from engine.face.maths import smoothstep
from engine.geometry.flow import FlowBuilder
from engine.geometry.source_geometry import SourceGeometry

_CUT, _NECK = 0.5, 0.35  # weights of the head above which a pixel is its core, and below which it is neck
_FADE = 0.15  # of the face's diagonal, over which the relief gives way to the head's middle plane
_NAPE = 4.0  # nominal cm above the chin where the head ends behind
_LOBES = 5.0  # and where it ends below the ears


@dataclass(frozen=True)
class Relief:
    """The portrait at flow resolution as the fitted head explains it, all (h, w).

    ``core`` where the mesh's head is seen, ``neck`` where its neck is; ``points`` (h, w, 3) cm in the head's frame,
    the mesh's depth continued outward; ``height`` nominal cm above the chin; ``away`` from the core, in diagonals of
    the face; ``pixels`` (h, w, 2) portrait pixels; ``diagonal`` flow pixels.
    """

    core: np.ndarray
    neck: np.ndarray
    points: np.ndarray
    height: np.ndarray
    away: np.ndarray
    pixels: np.ndarray
    diagonal: float

    def follows(self, matte: np.ndarray) -> np.ndarray:
        """(h, w) 0…1 how much of the head's motion a pixel of the person takes: all above the chin, none at the
        shoulders, none where the picture's border cuts the person."""
        rigid = smoothstep((self.height + 7.0) / 7.0).astype(np.float32)
        free = np.ones(self.core.shape, np.uint8)
        person = matte > 0.5
        free[-1, person[-1]] = 0
        free[person[:, 0], 0] = 0
        free[person[:, -1], -1] = 0
        to_border = cv2.distanceTransform(free, cv2.DIST_L2, 5) / self.diagonal
        rigid = cv2.GaussianBlur(rigid * smoothstep(to_border / 0.3), (0, 0), 2)
        rigid[self.core] = 1
        return np.maximum(rigid, np.exp(-((self.away / 0.05) ** 2))).astype(np.float32)


def head_weights(source: SourceGeometry) -> np.ndarray:
    """(N,) float32: 1 on the head, 0 on the neck. The border follows the jaw line by azimuth on the mean head."""
    anatomy, model = source.anatomy, source.face.model
    vertices = model.vertices
    axis = float(np.median(vertices[anatomy.skin & (anatomy.height > 0), 2])) - 2.0
    azimuth = np.arctan2(vertices[:, 0], vertices[:, 2] - axis)
    marks = model.landmarks68.at(vertices)[:17]
    jaw_azimuth = np.arctan2(marks[:, 0], marks[:, 2] - axis)
    jaw_height = np.minimum((marks[:, 1] - anatomy.chin[1]) / anatomy.unit, 6.5)
    order = np.argsort(jaw_azimuth)
    jaw = np.interp(azimuth, jaw_azimuth[order], jaw_height[order])
    end = np.abs(jaw_azimuth).max()
    behind = smoothstep((np.abs(azimuth) - end) / 0.5)
    jaw = jaw * (1 - behind) + _NAPE * behind
    jaw = np.where(np.abs(np.abs(azimuth) - end) < 0.35, np.minimum(jaw, _LOBES), jaw)
    under_chin = 1.0 + 1.2 * np.exp(-((azimuth / 0.35) ** 2))
    weight = smoothstep((anatomy.height - jaw + under_chin) / (0.8 * under_chin))
    weight = np.where(anatomy.skin, weight, 1).astype(np.float32)
    for _ in range(4):  # a coarse mesh would cut a ragged jaw
        weight = np.where(anatomy.skin, 0.4 * weight + 0.6 * (anatomy.neighbours @ weight), 1).astype(np.float32)
    return weight


def relief(build: FlowBuilder, weights: np.ndarray) -> Relief:
    """The relief of the portrait of ``build``; ``weights`` (N,) are those of :func:`head_weights`."""
    source = build.source
    anatomy, camera, pose = source.anatomy, source.camera, source.face.pose
    diagonal = source.diagonal * build.scale
    fragments, _, triangles = build.rasterised(source.pixels, source.depth)
    weight = fragments.image(fragments.gather(weights, triangles), -1.0)
    depth = fragments.image(fragments.depth, np.inf)
    core = cv2.morphologyEx((weight > _CUT).astype(np.uint8), cv2.MORPH_CLOSE, ellipse(2)) > 0
    away = cv2.distanceTransform(1 - core.astype(np.uint8), cv2.DIST_L2, 5) / diagonal
    middle = float(-pose.apply(np.array([0.0, anatomy.chin[1] + 9.6 * anatomy.unit, 0.0]))[2])
    seen = core & np.isfinite(depth)
    continued = push_pull(np.where(seen, depth, 0), seen.astype(np.float32))
    fade = smoothstep(away / _FADE)
    surface = np.where(core, continued, continued * (1 - fade) + middle * fade).astype(np.float32)
    surface = cv2.GaussianBlur(surface, (0, 0), 0.012 * diagonal + 0.5)
    rows, columns = np.indices(build.shape, np.float32)
    pixels = np.stack([(columns + 0.5) / build.scale, (rows + 0.5) / build.scale], axis=-1)
    offset = camera.lift(pixels - camera.centre, surface)
    offset[..., 2] = -surface
    points = (offset - pose.translation) @ pose.rotation
    height = (points[..., 1] - anatomy.chin[1]) / anatomy.unit
    return Relief(core, (weight >= 0) & (weight < _NECK), points, height, away, pixels, diagonal)
