"""Triangle id and perspective-correct barycentrics on the CPU with OpenCV 5; any attribute is gathered afterwards.

The mesh is drawn once over unshared vertices, so the three channels that ``cv2.triangleRasterize`` interpolates can
carry the triangle's number and two barycentrics. Pixel centres are at +.5; x right, y down; depth is positive.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

_FOV_Y = np.pi / 2  # arbitrary, since the projection is inverted again
_NEAR, _FAR = 0.1, 1e5


@dataclass(frozen=True)
class Fragments:
    """The covered pixels of a (height, width) buffer, in row-major order.

    ``pixel`` (P,) int is row · width + column, ``triangle`` (P,) int, ``barycentric`` (P, 3) float32 sums to 1,
    ``depth`` (P,) float32.
    """

    shape: tuple[int, int]
    pixel: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray

    @functools.cached_property
    def rows(self) -> np.ndarray:
        return self.pixel // self.shape[1]

    @functools.cached_property
    def columns(self) -> np.ndarray:
        return self.pixel % self.shape[1]

    def gather(self, attribute: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """A per-vertex ``attribute`` (N,) or (N, C) at every fragment: (P,) or (P, C)."""
        corners = triangles[self.triangle]
        weights = self.barycentric if attribute.ndim == 1 else self.barycentric[..., None]
        return sum(np.take(attribute, corners[:, k], axis=0) * weights[:, k] for k in range(3))  # type: ignore[return-value]

    def image(self, values: np.ndarray, empty: float = 0) -> np.ndarray:
        """Per-fragment ``values`` (P,) or (P, C) as an image, ``empty`` where nothing was drawn."""
        out = np.full((self.shape[0] * self.shape[1], *values.shape[1:]), empty, values.dtype)
        out[self.pixel] = values
        return out.reshape(self.shape + values.shape[1:])


def rasterise(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, shape: tuple[int, int]) -> Fragments:
    """Draw ``triangles`` (T, 3) over ``pixels`` (N, 2), nearest ``depth`` (N,) > 0 wins, into (height, width).

    Both windings are drawn. The caller must leave out triangles that touch the plane of the camera.
    """
    corners = triangles.reshape(-1)
    x, y = (pixels[:, k].take(corners) for k in (0, 1))
    return rasterise_corners(x, y, np.asarray(depth).take(corners), shape)


def rasterise_corners(x: np.ndarray, y: np.ndarray, depth: np.ndarray, shape: tuple[int, int]) -> Fragments:
    """As :func:`rasterise`, for triangles that share no corners: pixels ``x`` and ``y`` and ``depth``, each (3 T,)."""
    height, width = shape
    focal = height / 2 / np.tan(_FOV_Y / 2)
    nearest = np.float32(depth.min()) if len(depth) else np.float32(1)
    z = np.asarray(depth, np.float32) / nearest  # the depth buffer is exact where depth is near 1
    camera = np.empty((len(z), 3), np.float32)
    scaled = z / np.float32(focal)
    np.multiply(x - np.float32(width / 2), scaled, out=camera[:, 0])
    np.multiply(np.float32(height / 2) - y, scaled, out=camera[:, 1])
    np.negative(z, out=camera[:, 2])
    count = len(z) // 3
    capacity = 1 << max(count - 1, 0).bit_length()  # a power of two, so that pictures of any count share the labels
    colour, indices = (labels[: length * count] for labels, length in zip(_labels(capacity), (3, 1), strict=True))
    colour_buffer = np.full((height, width, 3), -1, np.float32)
    depth_buffer = np.full((height, width), _FAR, np.float32)
    if count:  # OpenCV refuses an empty scene
        cv2.triangleRasterize(
            camera,
            indices,
            colour,
            colour_buffer,
            depth_buffer,
            np.eye(4, dtype=np.float32),
            _FOV_Y,
            _NEAR,
            _FAR,
            _settings(),
        )
    label = colour_buffer.reshape(-1, 3)
    pixel = np.flatnonzero(depth_buffer.reshape(-1) < _FAR / 2)  # empty depths come back inexact
    label = label.take(pixel, axis=0)
    triangle = (label[:, 0] * np.float32(capacity) + np.float32(0.5)).astype(np.intp)
    barycentric = label
    barycentric[:, 0] = 1 - label[:, 1] - label[:, 2]
    return Fragments(shape, pixel, triangle, barycentric, depth_buffer.reshape(-1).take(pixel) * nearest)


def depth_image(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The nearest depth at every pixel, (height, width) float32, infinity where nothing was drawn."""
    fragments = rasterise(pixels, depth, triangles, shape)
    return fragments.image(fragments.depth, np.inf)


@functools.lru_cache(maxsize=4)
def _labels(capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Per unshared vertex: triangle number scaled into 0…1, and the second and third barycentric; indices."""
    colour = np.zeros((capacity, 3, 3), np.float32)
    colour[:, :, 0] = (np.arange(capacity, dtype=np.float32) / capacity)[:, None]
    colour[:, 1, 1] = 1
    colour[:, 2, 2] = 1
    return colour.reshape(-1, 3), np.arange(3 * capacity, dtype=np.int32).reshape(-1, 3)


@functools.lru_cache(maxsize=1)
def _settings() -> cv2.TriangleRasterizeSettings:
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    return settings
