"""The projected normalised coordinate code: the face model drawn in the colours of its own coordinates.

Zhu et al., "Face alignment across large poses: a 3D solution", 2016, section 3.2. Numpy and OpenCV only.
"""

from __future__ import annotations

import numpy as np

from engine.face.model import FaceModel
from engine.raster.opencv import rasterise


def normalised_coordinates(model: FaceModel) -> np.ndarray:
    """Each vertex' place on the mean head, stretched so that the head fills 0…1 on every axis: (N, 3) float32."""
    low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
    return ((model.vertices - low) / (high - low)).astype(np.float32)


def draw(model: FaceModel, pixels: np.ndarray, depth: np.ndarray, size: int) -> np.ndarray:
    """The code (size, size, 3) float32 of a posed head alone, whatever covers it, 0 where there is none.

    ``pixels`` (N, 2) and ``depth`` (N,) cm are its projected vertices; triangles that face away are not drawn.
    """
    x, y = (pixels[:, axis][model.triangles] for axis in (0, 1))
    turned = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    inside = (x.max(1) > 0) & (x.min(1) < size) & (y.max(1) > 0) & (y.min(1) < size)
    triangles = model.triangles[(turned < 0) & inside]
    fragments = rasterise(pixels, depth, triangles, (size, size))
    return fragments.image(fragments.gather(normalised_coordinates(model), triangles))
