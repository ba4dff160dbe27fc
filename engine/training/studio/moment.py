"""What a sitter does at one instant, and the stage it happens on: the two other halves of a scene."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.training.studio.scene import Lens, Light


@dataclass(frozen=True)
class Moment:
    """``expression`` (E,) weights 0…1 of the face model's shapes, lids and ``eyeLook…`` left to the assembly, which
    adds what the gaze asks of them; ``gaze`` (2, 2) radians as in ``scene.HeadState``; ``rotation`` (3, 3) and
    ``translation`` (3,) cm take the head to the camera; ``body`` (3, 3) turns neck's foot and shoulders, about the foot
    of the neck."""

    expression: np.ndarray
    gaze: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    body: np.ndarray


@dataclass(frozen=True)
class Stage:
    """Light, background, camera and lens of a shot, as in ``scene.Scene``; ``environment`` is the id of the light's."""

    light: Light
    background: np.ndarray
    focal: float
    lens: Lens = field(default_factory=Lens)
    environment: str = ""
