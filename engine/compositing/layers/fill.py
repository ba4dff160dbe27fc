"""Filling holes in pictures: colours from all around, and detail reflected at the hole's edge."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

_DETAIL = 9.0  # of 255: more is an edge rather than a texture


def ellipse(radius: float) -> np.ndarray:
    """A disc for morphology, of at least one pixel around its middle."""
    size = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def nearest(known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pixel the distance to the nearest ``known`` (h, w) one, its row and its column."""
    distance, (rows, columns) = distance_transform_edt(~known, return_indices=True)
    return distance, rows, columns


def push_pull(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``values`` (h, w) or (h, w, C) where ``weight`` (h, w) is 1; where it is less, what coarser levels have there.

    Gortler et al. 1996, "The Lumigraph", section 3.4.
    """
    if values.ndim == 2:
        return push_pull(values[..., None], weight)[..., 0]
    weight = weight.astype(np.float32)
    levels = [(values.astype(np.float32) * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        value, share = levels[-1]
        size = (share.shape[1] + 1) // 2, (share.shape[0] + 1) // 2
        value, share = (
            cv2.resize(cv2.GaussianBlur(a, (5, 5), 1.0), size, interpolation=cv2.INTER_AREA) for a in (value, share)
        )
        saturate = np.minimum(1, 4 * share) / np.maximum(share, 1e-6)
        levels.append((value.reshape(*share.shape, -1) * saturate[..., None], share * saturate))
    value, share = levels[-1]
    filled = value / np.maximum(share, 1e-4)[..., None]
    for value, share in levels[-2::-1]:
        coarse = cv2.resize(filled, share.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(*share.shape, -1)
        keep = np.minimum(share, 1)[..., None]
        filled = value / np.maximum(share, 1e-4)[..., None] * keep + coarse * (1 - keep)
    return filled


def reflect_detail(
    smooth: np.ndarray,
    picture: np.ndarray,
    known: np.ndarray,
    hole: np.ndarray,
    sigma: float = 2.0,
    reach: float = 25.0,
) -> np.ndarray:
    """``smooth`` (h, w, 3) with the fine detail that ``picture`` has where it is ``known`` (h, w), reflected at the
    edge of the ``hole`` (h, w) 0…1 and fading out over ``reach`` pixels."""
    share = known.astype(np.float32)
    broad = cv2.GaussianBlur(picture * share[..., None], (0, 0), sigma)
    broad /= np.maximum(cv2.GaussianBlur(share, (0, 0), sigma), 1e-3)[..., None]
    inner = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    detail = np.clip(picture - broad, -_DETAIL, _DETAIL) * inner[..., None]
    away, rows, columns = nearest(known)
    height, width = known.shape
    at_rows, at_columns = np.indices(known.shape)
    rows = np.clip(2 * rows - at_rows, 0, height - 1)
    columns = np.clip(2 * columns - at_columns, 0, width - 1)
    reflected = detail[rows, columns] * known[rows, columns][..., None]
    return smooth + reflected * (hole * np.exp(-((away / reach) ** 2)))[..., None]
