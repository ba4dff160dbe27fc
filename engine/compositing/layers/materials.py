"""The pictures that the layers are drawn with, at the portrait's own resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.compositing.layers.body import Body
from engine.compositing.layers.fill import nearest
from engine.compositing.layers.relief import Relief
from engine.face.maths import smoothstep

_RIM = 0.014  # of the diagonal: the head's edge, whose colours are mixed with the background's


@dataclass(frozen=True)
class Materials:
    """Pictures of one portrait, (H, W, …) float32. Alpha is premultiplied in ``body`` and ``shell``.

    ``body`` (H, W, 4) the person without the head; ``shell`` (H, W, 4) what the portrait adds to it at rest, and
    ``shell_turned`` the same without the specks of old background that would show at jaw and ears once turned; ``own``
    (H, W, 4) the head's own colours continued over its uncertain edge, and how firm they are; ``certain`` (H, W) 0…1
    where the portrait's colours are surely the head's.
    """

    body: np.ndarray
    shell: np.ndarray
    shell_turned: np.ndarray
    own: np.ndarray
    certain: np.ndarray


def materials(
    rgb: np.ndarray, matte: np.ndarray, background: np.ndarray, head: np.ndarray, relief: Relief, under: Body
) -> Materials:
    """``rgb`` (H, W, 3) uint8, ``matte`` (H, W) and ``background`` (H, W, 3) at the portrait's size; ``head`` (h, w),
    ``relief`` and ``under`` at flow resolution."""
    low_shape = head.shape
    small_rgb = cv2.resize(rgb, low_shape[::-1], interpolation=cv2.INTER_AREA)
    small_matte = cv2.resize(matte, low_shape[::-1], interpolation=cv2.INTER_AREA)

    def full(image: np.ndarray) -> np.ndarray:
        image = image.astype(np.float32, copy=False)
        return image if image.shape[:2] == rgb.shape[:2] else cv2.resize(image, rgb.shape[1::-1])

    hole = full(cv2.GaussianBlur(under.hole.astype(np.float32), (0, 0), 0.8))
    hole = smoothstep((np.clip(hole, 0, 1) - 0.1) / 0.5)
    alpha_under = full(under.alpha)
    alpha = matte * (1 - hole) + alpha_under * hole
    filled = full(under.colour) * alpha_under[..., None] + background * (1 - alpha_under[..., None])
    without_head = rgb * (1 - hole[..., None]) + hole[..., None] * filled
    body = np.dstack([without_head - background * (1 - alpha[..., None]), alpha]).astype(np.float32)
    head_alpha = np.clip(full(under.feather), 0, 1) * matte
    shell = np.dstack([rgb - (1 - head_alpha[..., None]) * without_head, head_alpha]).astype(np.float32)

    inside = cv2.distanceTransform((head & (small_matte > 0.5)).astype(np.uint8), cv2.DIST_L2, 5)
    rim = _RIM * relief.diagonal + 1
    deep = inside > rim
    if deep.any():
        _, rows, columns = nearest(deep)
        continued = cv2.GaussianBlur(small_rgb[rows, columns].astype(np.float32), (0, 0), 1.5)
        certain = full(smoothstep(inside / rim))
        own = rgb * certain[..., None] + full(continued) * (1 - certain[..., None])
        firm = smoothstep((full(inside) - 0.4 * rim) / (0.5 * rim))
    else:
        own, firm, certain = rgb.astype(np.float32), matte, np.ones_like(matte)
    # What the shell adds beyond the head's own colours stays with hair alone.
    low = cv2.GaussianBlur(smoothstep((9 - relief.height) / 2).astype(np.float32), (0, 0), 2)
    low *= (under.skin_distance < 25) | (small_matte < 0.5)
    rest = shell[..., :3] - head_alpha[..., None] * own
    turned = np.dstack([shell[..., :3] - full(low)[..., None] * rest, head_alpha]).astype(np.float32)
    return Materials(body, shell, turned, np.dstack([own, firm]).astype(np.float32), certain.astype(np.float32))


def tightened(
    rgb: np.ndarray, matte: np.ndarray, background: np.ndarray, shape: tuple[int, int], diagonal: float
) -> np.ndarray:
    """``matte`` (H, W) without the background that a loose one holds at its rim.

    At flow resolution ``shape``, in which the face's ``diagonal`` is in pixels: alpha by the line in colour space from
    the plate to the person's own colour further inside, trusted where the two differ.
    """
    size = shape[::-1]
    picture, small, behind = (
        cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA) for image in (rgb, matte, background)
    )
    solid = cv2.copyMakeBorder((small > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    deep = cv2.distanceTransform(solid, cv2.DIST_L2, 5)[1:-1, 1:-1] > 0.03 * diagonal
    if not deep.any():
        return matte
    _, rows, columns = nearest(deep)
    line = cv2.GaussianBlur(picture[rows, columns], (0, 0), 2) - behind
    length = (line**2).sum(axis=-1)
    alpha = ((picture - behind) * line).sum(axis=-1) / np.maximum(length, 1)
    sure = smoothstep((np.sqrt(length) - 40) / 60) * ~deep
    keep = cv2.GaussianBlur((1 - sure * (1 - smoothstep((alpha - 0.1) / 0.5))).astype(np.float32), (0, 0), 0.7)
    return (matte * cv2.resize(keep, matte.shape[::-1], interpolation=cv2.INTER_LINEAR)).astype(np.float32)
