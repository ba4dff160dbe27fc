"""The normalised coordinate code of the face model; drawn on a posed head it is the projected code (PNCC).

Zhu et al., "Face alignment across large poses: a 3D solution", 2016, section 3.2.
"""

from __future__ import annotations

import numpy as np

from engine.face.model import FaceModel

_LIDS = 0.8  # of an eye's width from its middle: lids, lashes and the crease above


def normalised_coordinates(model: FaceModel) -> np.ndarray:
    """(N, 3) float32: each vertex of the mean head, scaled to 0…1 on every axis."""
    low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
    return ((model.vertices - low) / (high - low)).astype(np.float32)


def eyes_in_code(model: FaceModel) -> np.ndarray:
    """(2, 2, 3) float32: the middle of each eye, and how far its lids reach, in the normalised coordinate code."""
    marks, span = model.landmarks68.at(normalised_coordinates(model)), np.ptp(model.vertices, axis=0)
    eyes = [marks[36:42], marks[42:48]]
    middles = np.array([(eye.min(axis=0) + eye.max(axis=0)) / 2 for eye in eyes])
    reach = np.array([_LIDS * np.ptp(eye, axis=0)[0] * span[0] / span for eye in eyes])  # the same in cm on every axis
    return np.stack([middles, reach]).astype(np.float32)
