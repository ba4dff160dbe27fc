"""What goes into the face regressor and what comes out; shared by the network, its training and its use."""

from __future__ import annotations

import numpy as np

SIZE = 128  # of the crop, pixels
LANDMARKS68, DENSE, IRIS = 68, 468, 10
POINTS = LANDMARKS68 + DENSE + IRIS
# In the ONNX graph's order. ``landmarks68`` (B, 68, 2), ``dense`` (B, 468, 3), ``iris`` (B, 2, 5, 2): on the crop's
# grid; ``pose`` (B, 6): rotation._matrix; ``expression`` (B, E) 0…1; ``gaze`` (B, 2, 2) radians; ``confidence`` (B, 1)
# 0…1; ``matte`` (B, 1, SIZE, SIZE) 0…1.
OUTPUTS = ("landmarks68", "dense", "iris", "pose", "expression", "gaze", "confidence", "matte")
MARGIN = 1.6  # side of an ideal crop by the longer side of the dense points' box


def ideal_crop(points: np.ndarray) -> np.ndarray:
    """Dense points (468, 2) → the (centre x, centre y, side) of the square a face is best seen in, upright."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.array([*(low + high) / 2, MARGIN * (high - low).max()])
