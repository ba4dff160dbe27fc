"""The portrait in layers: the person, premultiplied by the matte, and a clean plate of the background."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from engine.face.maths import smoothstep

_FILL_SIDE = 512
_HOLE_GROWS = 19
_FILL_KERNELS = (5, 11, 23, 47, 95, 191, 383)


class Plate:
    """Person and background of one portrait; composed without motion they give exactly the portrait.

    ``background`` (H, W, 3) float32 is the portrait with the person filled in from what is around.
    """

    def __init__(self, rgb: np.ndarray, matte: np.ndarray, solid: np.ndarray) -> None:
        """``solid`` (h, w), any size: where the portrait shows the face itself, see SourceGeometry."""
        matte = matte.astype(np.float32)
        self.background = _clean_background(rgb, matte)
        person = rgb - self.background * (1 - matte[..., None])
        self._extended = _extend_person(rgb, matte)
        self._layers = np.dstack([person, matte])
        self._faceless = _without_face(self._layers, solid)

    def compose(self, source: np.ndarray, hidden: np.ndarray, vacated: np.ndarray) -> np.ndarray:
        """The person sampled at ``source`` (H, W, 2), pixel centres at +.5, over the background: (H, W, 3) float32.

        Where ``hidden`` (H, W) is 1 the portrait does not show the surface: the head is opaque there even if the matte
        is empty, in the person's nearest colours. Where ``vacated`` (H, W) is 1 the face has turned away, and what is
        next to it shows: hair, neck or background.
        """
        x, y = source[..., 0] - 0.5, source[..., 1] - 0.5
        layers = cv2.remap(self._layers, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if vacated.any():
            behind = cv2.remap(self._faceless, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            layers += vacated[..., None] * (behind - layers)
        alpha = np.clip(layers[..., 3:], 0, 1)
        image = layers[..., :3] + self.background * (1 - alpha)
        opaque = smoothstep(1.5 * hidden)[..., None] * (1 - alpha)
        if opaque.max() > 0:
            face = cv2.remap(self._extended, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            image += opaque * (face - image)
        return image


def _clean_background(rgb: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The portrait with the person filled from the surroundings, nearest first, by blurs of growing size."""
    height, width = matte.shape
    shrink = min(1.0, _FILL_SIDE / max(height, width))
    small = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32)
    person = (cv2.resize(matte, small.shape[1::-1]) > 0.03).astype(np.uint8)
    hole = cv2.dilate(person, np.ones((_HOLE_GROWS, _HOLE_GROWS), np.uint8))
    known = (1 - hole).astype(np.float32)
    seen = small * known[..., None]
    filled, have = seen.copy(), known.copy()
    for size in _FILL_KERNELS:
        colour, weight = cv2.blur(seen, (size, size)), cv2.blur(known, (size, size))
        new = (have <= 0) & (weight > 0.02)
        filled[new] = colour[new] / weight[new][:, None]
        have[new] = 1
    filled[have <= 0] = small.reshape(-1, 3).mean(axis=0)
    filled = np.where(hole[..., None] > 0, cv2.GaussianBlur(filled, (0, 0), 2.5), filled)
    full = np.clip(cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255)
    where = cv2.GaussianBlur(cv2.resize(hole.astype(np.float32), (width, height)), (0, 0), 2)[..., None]
    return rgb * (1 - where) + full * where


def _extend_person(rgb: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The portrait with everything but the person replaced by the person's nearest colours, uint8."""
    height, width = matte.shape
    shrink = min(1.0, _FILL_SIDE / max(height, width))
    small = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    person = cv2.resize(matte, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.9
    inside = cv2.erode(person.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if not inside.any():
        return rgb
    rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    nearest = cv2.GaussianBlur(small[rows, columns].astype(np.float32), (0, 0), 3)
    full = cv2.resize(nearest, (width, height), interpolation=cv2.INTER_LINEAR)
    keep = matte[..., None]
    return np.clip(np.rint(rgb * keep + full * (1 - keep)), 0, 255).astype(np.uint8)


def _without_face(layers: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Colour and matte (H, W, 4) with the face replaced by the nearest of what surrounds it."""
    height, width = layers.shape[:2]
    shrink = min(1.0, _FILL_SIDE / max(height, width))
    small = cv2.resize(layers, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    face = cv2.resize(solid.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.02
    if face.all():
        return layers
    rows, columns = distance_transform_edt(face, return_distances=False, return_indices=True)
    filled = cv2.GaussianBlur(small[rows, columns], (0, 0), 2)
    where = cv2.GaussianBlur(face.astype(np.float32), (0, 0), 1)[..., None]
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    where = cv2.resize(where, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    return layers + where * (filled - layers)
