"""The one camera: pinhole at the origin looking down −z, y up; images have y down and pixel centres at +.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FOCAL_PER_SIDE = 2.2  # with an assumed focal length only ratios of depth are meaningful


@dataclass(frozen=True)
class Camera:
    """``focal`` in pixels, principal point at the centre of a ``width`` × ``height`` image; ``focal_per_side`` is the
    assumed one unless the true one is known."""

    width: int
    height: int
    focal_per_side: float = FOCAL_PER_SIDE

    @property
    def focal(self) -> float:
        return self.focal_per_side * max(self.width, self.height)

    @property
    def centre(self) -> np.ndarray:
        return np.array([self.width / 2, self.height / 2])

    def project(self, camera_points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Camera-space (…, 3) cm → pixels (…, 2) and depth (…,) cm, positive in front."""
        depth = -camera_points[..., 2]
        x = self.focal * camera_points[..., 0] / depth + self.centre[0]
        y = self.centre[1] - self.focal * camera_points[..., 1] / depth
        return np.stack([x, y], axis=-1), depth

    def lift(self, pixel_offset: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """An offset in pixels (…, 2) at ``depth`` (…,) → the camera-space offset (…, 3) parallel to the image."""
        scale = depth / self.focal
        return np.stack([pixel_offset[..., 0] * scale, -pixel_offset[..., 1] * scale, 0 * scale], axis=-1)

    def ray(self, pixel: np.ndarray) -> np.ndarray:
        """The unit direction (3,) in which the camera sees a ``pixel`` (2,)."""
        x, y = (pixel - self.centre) / self.focal
        ray = np.array([x, -y, -1.0])
        return ray / np.linalg.norm(ray)


@dataclass(frozen=True)
class Pose:
    """Head → camera: ``rotation`` (3, 3), ``translation`` (3,) cm."""

    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, head_points: np.ndarray) -> np.ndarray:
        return head_points @ self.rotation.T + self.translation
