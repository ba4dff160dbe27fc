"""The studio's own texture coordinates: skin as seen from the middle of the head, eyes as seen from the front.

The shipped face model has a chart that does not suit painted skin, so the studio maps skin by azimuth and latitude,
stretched so that the face takes most of the width. The chart depends on the model only, so our own textures and those
of the assets share it. v runs down, as in ``scene.Texture``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from engine.face.model import FaceModel
from engine.raster import opencv

_STRETCH = 1.6  # of azimuth by tanh: the face takes 70 % of the width
_MARGIN = 0.02  # of the width, for triangles that cross the back of the head
_CHIN, _NECK = -8.0, 0.06  # cm below the centre where the neck begins; radians a cm by which it is drawn out
_LOWEST = -2.1  # radians, of the shoulders' edge
EYE_SHARE = 0.46  # of the chart's width that the eyeball's radius takes


@dataclass(frozen=True, eq=False)
class Layout:
    """``centre`` (3,) from which skin is seen, cm in head space; ``mean`` (N, 3) the head it was made for."""

    centre: np.ndarray
    mean: np.ndarray
    triangles: np.ndarray

    def chart(self, points: np.ndarray) -> np.ndarray:
        """Head-space points (…, 3) of the mean head → (…, 2) in 0…1, cut at the back of the head."""
        azimuth, latitude = self._angles(points)
        return np.stack([_across(azimuth), _down(latitude)], axis=-1).astype(np.float32)

    def corners(self, points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(T, 3, 2): as :meth:`chart`, but triangles across the cut stay whole and run into the margin."""
        azimuth, latitude = self._angles(points)
        around = azimuth[triangles]
        around = around[:, :1] + (around - around[:, :1] + np.pi) % (2 * np.pi) - np.pi
        around += np.where(around.min(axis=1, keepdims=True) < -np.pi, 2 * np.pi, 0)
        return np.stack([_across(around), _down(latitude[triangles])], axis=-1).clip(0, 1).astype(np.float32)

    def _angles(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Azimuth and latitude; on the neck, which is seen at a grazing angle, latitude also depends on height."""
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        return np.arctan2(x, z), np.arctan2(y, np.hypot(x, z)) + _NECK * np.minimum(y - _CHIN, 0)

    @functools.lru_cache(maxsize=2)  # noqa: B019  (one layout a process)
    def positions(self, size: int) -> np.ndarray:
        """(size, size, 3) float32: the point of the mean head at each texel; outside the skin the border goes on."""
        corner = self.mean[self.triangles]
        return spread_out(*self.paint(corner, corner, size))

    def paint(self, rest: np.ndarray, values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Triangles' corners that lie on the mean head, ``rest`` (T, 3, 3), and values there, (T, 3, C), as a chart
        (size, size, C), and where it is covered, (size, size) bool.

        Where surfaces hide each other (nostrils, lips' insides), the outermost is taken.
        """
        points = rest.reshape(-1, 3)
        shared = np.arange(len(points)).reshape(-1, 3)
        uv = self.corners(points, shared).reshape(-1, 2)
        depth = 100 - np.linalg.norm(points - self.centre, axis=1)
        found = opencv.rasterise(uv * size, depth, shared, (size, size))
        image = found.image(found.gather(values.reshape(len(points), -1).astype(np.float32), shared))
        return image, found.image(np.ones(len(found.pixel), np.float32)) > 0


def spread_out(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Extend an image (h, w, C) beyond the pixels that are ``known`` (h, w)."""
    value = image.astype(np.float32) * known[..., None]
    weight = known.astype(np.float32)
    for k in (3, 7, 15, 31, 63, 127, 255, 511):
        sums, share = cv2.blur(value, (k, k)), cv2.blur(weight, (k, k))
        new = (weight == 0) & (share > 1e-4)
        value[new] = sums.reshape(value.shape)[new] / share[new][:, None]
        weight[new] = 1
    return value


def of(model: FaceModel) -> Layout:
    """The layout of a face model's skin; its centre lies behind the bridge of the nose."""
    marks = model.landmarks68.at(model.vertices)
    centre = np.array([0, (marks[27, 1] + 2 * marks[33, 1]) / 3, 0], np.float32)
    return Layout(centre, model.vertices, model.triangles[model.triangles_of("skin")])


def eye_chart(points: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Points (…, 3) of an eyeball at rest → (…, 2): seen from the front, the back is mapped to the rim."""
    direction = (points - centre) / radius
    flat = direction[..., :2] * [1, -1]
    length = np.linalg.norm(flat, axis=-1, keepdims=True)
    behind = direction[..., 2:] < 0
    flat = np.where(behind, flat / np.maximum(length, 1e-6), flat)
    return (0.5 + EYE_SHARE * flat).clip(0, 1).astype(np.float32)


def _across(azimuth: np.ndarray) -> np.ndarray:
    return 0.5 + (0.5 - _MARGIN) * np.tanh(_STRETCH * azimuth / np.pi) / np.tanh(_STRETCH)


def _down(latitude: np.ndarray) -> np.ndarray:
    return 0.005 + 0.99 * (np.pi / 2 - latitude) / (np.pi / 2 - _LOWEST)
