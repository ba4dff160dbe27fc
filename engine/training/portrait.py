"""A fixed square crop of the face in a clip: the view of a virtual camera turned towards it, so geometry is exact."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.face import model as face_model
from engine.face.camera import Camera
from engine.motion.motion import Motion

_MARGIN = 1.75  # widths of the view per width of what the face covers in the clip: room for hair, neck and shoulders
_WIDEST = 3.4  # … per width of the face itself, however far it wanders
_OUTLYING = 2.0  # percent of frames that may leave the view on each side


@dataclass(frozen=True)
class Portrait:
    """``turn`` (3, 3) from the clip's camera to the view's, ``focal`` in widths of the view, ``inside`` (T,) bool where
    the whole face is in view; ``seen`` (T, P, 3) the face's points in the view's camera space."""

    motion: Motion
    turn: np.ndarray
    focal: float
    inside: np.ndarray
    seen: np.ndarray

    def rotation(self, k: int) -> np.ndarray:
        """Head → view in frame k, (3, 3)."""
        return self.turn @ self.motion.rotation[k]

    def translation(self, k: int) -> np.ndarray:
        return self.turn @ self.motion.translation[k]

    def points(self, k: int, size: int) -> np.ndarray:
        """The detector's points (P, 3) in pixels of the view, z likewise, negative nearer than the head's centre."""
        points, centre = self.seen[k], -self.translation(k)[2]
        depth = -points[:, 2]
        x, y = (points[:, :2] * (self.focal * size / depth)[:, None]).T
        z = (depth - centre) * (self.focal * size / centre)
        return np.column_stack([size / 2 + x, size / 2 - y, z]).astype(np.float32)

    def crop(self, rgb: np.ndarray, size: int) -> np.ndarray:
        """The view of a frame, (size, size, 3); outside the frame its border is replicated."""
        camera = Camera(rgb.shape[1], rgb.shape[0])
        finer = int(np.clip(np.ceil(camera.focal / (self.focal * size)), 1, 8))
        fine = size * finer
        to_ray = _intrinsics(self.focal * fine, fine / 2, fine / 2, inverse=True)
        to_frame = _intrinsics(camera.focal, *camera.centre) @ self.turn.T @ to_ray
        view = cv2.warpPerspective(
            rgb, to_frame, (fine, fine), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        return view if finer == 1 else cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)


def portrait_of(motion: Motion) -> Portrait:
    """The view in which the face stays, with room around, for as much of the clip as can be; ``motion`` was tracked."""
    model, tracked = face_model.load(), motion.tracked
    assert tracked
    neutral = model.dense.at(model.neutral(tracked.identity.astype(np.float32)))
    basis = model.dense.at(model.expression)
    heads = neutral + np.einsum("te,epc->tpc", motion.expression, basis, optimize=True) + tracked.offsets
    points = np.einsum("tpc,tdc->tpd", heads, motion.rotation) + motion.translation[:, None]
    low, high = _bounds(points)
    valid = motion.valid
    low, high = np.percentile(low[valid], _OUTLYING, axis=0), np.percentile(high[valid], 100 - _OUTLYING, axis=0)
    turn = _towards(np.array([*(low + high) / 2, -1.0]))
    seen = points @ turn.T
    low, high = _bounds(seen)
    face = float(np.median((high - low)[valid].max(axis=1)))
    reach = np.percentile(np.maximum(-low, high)[valid].max(axis=1), 100 - _OUTLYING)
    half = min(float(reach) * _MARGIN, face / 2 * _WIDEST)
    inside = np.asarray((np.maximum(-low, high) < half).all(axis=1))
    return Portrait(motion, turn, 0.5 / half, inside, seen)


def _bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest x/depth and y/depth of points (T, P, 3): (T, 2) each."""
    at_depth_one = points[..., :2] / -points[..., 2:]
    return at_depth_one.min(axis=1), at_depth_one.max(axis=1)


def _towards(ray: np.ndarray) -> np.ndarray:
    """(3, 3): turns ``ray`` into −z, y staying up."""
    back = -ray / np.linalg.norm(ray)
    right = np.cross([0, 1.0, 0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back])


def _intrinsics(focal: float, x: float, y: float, inverse: bool = False) -> np.ndarray:
    """(3, 3): camera space, y up and looking down −z, to pixels whose first has its centre at 0; or back to a ray."""
    matrix = np.array([[focal, 0, -(x - 0.5)], [0, -focal, -(y - 0.5)], [0, 0, -1]])
    return np.linalg.inv(matrix) if inverse else matrix
