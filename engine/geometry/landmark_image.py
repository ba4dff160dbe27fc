"""Landmarks drawn as lines, one colour for each part of the face: the input of landmark-driven networks."""

from __future__ import annotations

import cv2
import numpy as np

# Of the 68 iBUG points: first, one past the last, whether the line is closed, sRGB.
PARTS = (
    (0, 17, False, (255, 255, 255)),  # jaw
    (17, 22, False, (255, 160, 0)),  # the subject's right brow
    (22, 27, False, (255, 240, 0)),  # the subject's left brow
    (27, 31, False, (0, 200, 80)),  # bridge of the nose
    (31, 36, False, (0, 255, 160)),  # nostrils
    (36, 42, True, (0, 160, 255)),  # the subject's right eye
    (42, 48, True, (0, 80, 255)),  # the subject's left eye
    (48, 60, True, (255, 0, 80)),  # outer lips
    (60, 68, True, (255, 0, 200)),  # inner lips
)
_SHIFT = 4  # fractional bits of cv2's coordinates


def landmark_image(points: np.ndarray, size: int) -> np.ndarray:
    """``points`` (68, 2) in pixels, centres at +.5, drawn on black: (size, size, 3) uint8, lines 2 px wide at 256."""
    image = np.zeros((size, size, 3), np.uint8)
    places = np.round((np.clip(points, -size, 2 * size) - 0.5) * (1 << _SHIFT)).astype(np.int32)
    width = max(1, round(size / 128))
    for first, end, closed, colour in PARTS:
        cv2.polylines(image, [places[first:end]], closed, colour, width, cv2.LINE_AA, _SHIFT)
    return image
