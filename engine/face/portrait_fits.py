"""Fits of portraits, remembered for further takes of the same pictures in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from engine.face import model as face_model
from engine.face.subject import FaceFit, fit_portraits
from engine.media.hashes import sha256
from engine.tracking.detector import Detector

_REMEMBERED = 8
_fits: dict[Hashable, list[FaceFit]] = {}  # the one used last is at the end


def fit_once(images: list[tuple[Path, np.ndarray]], detector: Detector) -> list[FaceFit]:
    """What :func:`fit_portraits` gives for these pixels, this detector and this face model; raises as it does."""
    pixels = tuple((rgb.shape, hashlib.sha256(np.ascontiguousarray(rgb).data).digest()) for _, rgb in images)
    key = (face_model.load().sha256, detector.name, *map(sha256, detector.weights), pixels)
    fits = _fits.pop(key, None) or fit_portraits(images, detector)
    _fits[key] = fits
    while len(_fits) > _REMEMBERED:
        del _fits[next(iter(_fits))]
    return fits


def forget() -> None:
    _fits.clear()
