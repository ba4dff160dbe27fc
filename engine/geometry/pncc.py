"""The normalised coordinate code of the face model, which a posed head is drawn in as the projected code (PNCC).

Zhu et al., "Face alignment across large poses: a 3D solution", 2016, section 3.2.
"""

from __future__ import annotations

import numpy as np

from engine.face.model import FaceModel


def normalised_coordinates(model: FaceModel) -> np.ndarray:
    """Each vertex' place on the mean head, stretched so that the head fills 0…1 on every axis: (N, 3) float32."""
    low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
    return ((model.vertices - low) / (high - low)).astype(np.float32)
