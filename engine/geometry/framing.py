"""The square around a head that networks see, framed as by the studio's cameras."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.face.camera import Camera, Pose

HEAD_MIDDLE = np.array([0.0, 2.6, 3.0])  # head space, cm: where the studio's cameras point
_WIDTH = 36.0  # cm: a little more than they usually show, since the head will move
Scale = tuple[float, float]


@dataclass(frozen=True)
class Square:
    """A square of the portrait, in its pixels; it may reach beyond the portrait's edge."""

    left: float
    top: float
    side: float

    def cut(self, image: np.ndarray, size: int, scale: Scale = (1.0, 1.0)) -> np.ndarray:
        """The square of an ``image`` with ``scale`` (x, y) pixels per portrait pixel: (size, size) or (size, size, C).
        The border is repeated beyond the image. Smaller pictures are averages, larger ones are interpolated."""
        finer = max(1, round(self.side * max(scale) / size))
        cut = self._looked_up(image, size * finer, scale, cv2.INTER_LINEAR)
        return cut if finer == 1 else cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA)

    def place(self, pixels: np.ndarray, size: int) -> np.ndarray:
        """Portrait ``pixels`` (…, 2) in the pixels of the cut picture."""
        return (pixels - [self.left, self.top]) * (size / self.side)

    def cut_classes(self, image: np.ndarray, size: int, scale: Scale = (1.0, 1.0)) -> np.ndarray:
        """The same of class numbers (h, w), which cannot be averaged."""
        return self._looked_up(image, size, scale, cv2.INTER_NEAREST)

    def _looked_up(self, image: np.ndarray, size: int, scale: Scale, how: int) -> np.ndarray:
        steps = [self.side * each / size for each in scale]  # image pixels a new pixel
        starts = [at * each + 0.5 * step - 0.5 for at, each, step in zip((self.left, self.top), scale, steps)]
        matrix = np.column_stack([np.diag(steps), starts])
        flags = how | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def framed(camera: Camera, pose: Pose) -> Square:
    """The posed head, its hair and a little of the shoulders."""
    middle, depth = camera.project(pose.apply(HEAD_MIDDLE))
    side = _WIDTH * camera.focal / float(depth)
    return Square(float(middle[0]) - side / 2, float(middle[1]) - side / 2, side)


def head_square(camera: Camera, pose: Pose) -> Square:
    """The square of :func:`framed` in whole pixels and inside the picture."""
    whole = framed(camera, pose)
    side = min(round(whole.side), camera.width, camera.height)
    less = (whole.side - side) / 2
    left, top = (
        int(np.clip(round(at + less), 0, length - side))
        for at, length in ((whole.left, camera.width), (whole.top, camera.height))
    )
    return Square(left, top, side)
