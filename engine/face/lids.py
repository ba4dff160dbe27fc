"""Lids that meet: a fit leaves a slit between lids that are shut, through which the portrait's eye would look."""

from __future__ import annotations

import numpy as np

from engine.face.maths import smoothstep
from engine.face.model import FaceModel

_EYES = {"eyeBlink_R": ((37, 38), (41, 40)), "eyeBlink_L": ((43, 44), (47, 46))}  # middles of upper and lower lid
_SHUT, _AJAR = 0.2, 0.45  # of the portrait's own opening: below and above which lids are shut and are as fitted
_NO_BLINK, _BLINK = 0.25, 0.5  # weights of a blink: what narrows eyes otherwise, as a look down does, shuts none
_OVERLAP = 0.1  # of it: so far lids close over each other, or their jagged rims let the eye through
_LEAST = 1e-3  # cm: lids of a portrait that are no further apart are shut


class Lids:
    """How far the lids of one portrait's head are apart, and the blink that is left until they meet."""

    def __init__(self, model: FaceModel, portrait: np.ndarray) -> None:
        """``portrait`` (N, 3) cm: the head as the portrait has it. Eyes whose blink the model lacks are left alone."""
        known = {name: lids for name, lids in _EYES.items() if name in model.expression_names}
        self._marks, self._lids = model.landmarks68, list(known.values())
        self._indices = [model.expression_index(name) for name in known]
        self._blinks = model.expression[self._indices]
        self._closes = np.array([-self._apart(blink)[eye] for eye, blink in enumerate(self._blinks)])
        self._open = np.maximum(self._apart(portrait), _LEAST)

    def meet(self, placed: np.ndarray, expression: np.ndarray) -> None:
        """Shut, in place, the eyes of a head (N, 3) that blinks with ``expression`` (E,) and has them nearly shut;
        wider ones, and weaker blinks, less and less."""
        apart = self._apart(placed)
        blinks = smoothstep((expression[self._indices] - _NO_BLINK) / (_BLINK - _NO_BLINK))
        shut = blinks * (1 - smoothstep((apart / self._open - _SHUT) / (_AJAR - _SHUT)))
        placed += np.tensordot(np.maximum(apart + _OVERLAP * self._open, 0) * shut / self._closes, self._blinks, 1)

    def _apart(self, field: np.ndarray) -> np.ndarray:
        """Of each eye the height (cm) between its lids' middles in a field (N, 3)."""
        height = self._marks.at(field)[:, 1]
        return np.array([(height[list(upper)] - height[list(lower)]).mean() for upper, lower in self._lids])
