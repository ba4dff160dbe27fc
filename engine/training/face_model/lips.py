"""Corrects the detector's inner lips: in open mouths they lie outside the line where lips meet, and would not close."""

from __future__ import annotations

import numpy as np

from engine.training.face_model import remesh
from engine.training.face_model.assets import AnnotatedHead
from engine.training.face_model.correspondence import INNER_LIPS

# Share of the way to the line of contact. On talking faces, 0 leaves closed mouths ajar, 1 makes open ones too small.
SHARE = 0.7
_UPPER, _LOWER = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)  # iBUG points along the contact


def towards_contact(head: AnnotatedHead, opened: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The dense points (468, 3), found on the ``opened`` head (N, 3), with the inner lips moved to the contact line."""
    edges = remesh.edges_of(head.part("skin"))
    out = points.copy()
    for stops, indices in ((_UPPER, INNER_LIPS[:11]), (_LOWER, INNER_LIPS[11:])):
        path = np.unique(remesh.trace(head.vertices, edges, head.landmarks68[list(stops)]))
        line = opened[path][np.argsort(opened[path, 0])]
        ids = list(indices)
        goal = np.stack([np.interp(points[ids, 0], line[:, 0], line[:, axis]) for axis in range(3)], axis=1)
        out[ids] += SHARE * (goal - points[ids])
    return out
