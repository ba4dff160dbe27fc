"""Lids that meet: a fit leaves a slit between shut lids, through which the portrait's eye would show."""

from __future__ import annotations

import numpy as np

from engine.face.maths import smoothstep
from engine.face.model import FaceModel

_EYES = {"eyeBlink_R": ((37, 38), (41, 40)), "eyeBlink_L": ((43, 44), (47, 46))}  # middles of upper and lower lid
_SHUT, _AJAR = 0.2, 0.45  # shares of the portrait's own opening below which lids are shut, and above which unchanged
_NO_BLINK, _BLINK = 0.25, 0.5  # weights of a blink: eyes narrowed otherwise, as by a look down, are not shut
_OVERLAP = 0.1  # share of the opening by which lids overlap, so that the eye does not show through their rims
_LEAST = 1e-3  # cm: smallest opening of a portrait's lids


class Lids:
    """How far the lids of one portrait's head are apart, and the blink that makes them meet."""

    def __init__(self, model: FaceModel, portrait: np.ndarray) -> None:
        """``portrait`` (N, 3) cm: the head as the portrait has it. Eyes whose blink the model lacks are left alone."""
        known = {name: lids for name, lids in _EYES.items() if name in model.expression_names}
        self._names = tuple(known)
        self._marks, self._lids = model.landmarks68, list(known.values())
        self._indices = [model.expression_index(name) for name in known]
        self._blinks = model.expression[self._indices]
        self._closes = np.array([-self._apart(blink)[eye] for eye, blink in enumerate(self._blinks)])
        self._open = np.maximum(self._apart(portrait), _LEAST)

    @property
    def blink_to_shut(self) -> dict[str, float]:
        """By name, how much more of each blink makes the lids of the portrait meet."""
        return dict(zip(self._names, (self._open / self._closes).tolist(), strict=True))

    def meet(self, placed: np.ndarray, expression: np.ndarray) -> None:
        """Shut, in place, the eyes of a head (N, 3) that blinks with ``expression`` (E,) and has them nearly shut. The
        effect fades for wider eyes and weaker blinks."""
        apart = self._apart(placed)
        blinks = smoothstep((expression[self._indices] - _NO_BLINK) / (_BLINK - _NO_BLINK))
        shut = blinks * (1 - smoothstep((apart / self._open - _SHUT) / (_AJAR - _SHUT)))
        placed += np.tensordot(np.maximum(apart + _OVERLAP * self._open, 0) * shut / self._closes, self._blinks, 1)

    def _apart(self, field: np.ndarray) -> np.ndarray:
        """The height (cm) between the middles of each eye's lids in a field (N, 3)."""
        height = self._marks.at(field)[:, 1]
        return np.array([(height[list(upper)] - height[list(lower)]).mean() for upper, lower in self._lids])
