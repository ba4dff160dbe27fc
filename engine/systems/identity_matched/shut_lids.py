"""Shut lids: where a portrait's open eyes close, the jagged seam between their lids becomes a line of lashes.

No open eye shows what its lids look like when they meet: the mesh brings two rims of a photograph together, with specks
of sclera and make-up in them, finer than a network at its own resolution can mend. What lies along the seam is laid
anew from the lids on both sides, and on it the colour that the portrait has along its upper rim.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.face.fitting import LIDS_LEFT, LIDS_RIGHT
from engine.face.framing import Square
from engine.face.geometry_flow import GeometryFlow
from engine.face.maths import smoothstep
from engine.face.source_geometry import SourceGeometry

# Of the dense points around each eye the upper and the lower rim, nine of each from the image's left to its right.
_RIMS = (
    ([*LIDS_RIGHT[:1], *LIDS_RIGHT[:7:-1]], [*LIDS_RIGHT[:9]]),
    ([*LIDS_LEFT[8:], *LIDS_LEFT[:1]], [*LIDS_LEFT[8::-1]]),
)
# Lengths are shares of an eye's width, from corner to corner.
_SHUT, _AJAR = 0.06, 0.12  # between lids: below and above which they are shut and open
_STILL, _CLOSED = 0.03, 0.09  # so much closer than in the portrait: they are as there, and have closed
_BAND, _FADE = 0.05, 0.04  # to both sides of the seam is laid anew, and beyond that gives way to the frame
_ENDS = 0.06  # outside and inside the corners, over which the band begins
_LINE, _TAPER = 0.028, 0.25  # sigma across the line of lashes, and where it is whole from the corners
_COVER = 0.9  # of the skin below, by lashes
_LASHES = 0.06, 0.03  # above and below an open eye's upper rim: so far reach lashes and their shade …
_DARK = 25  # … which are the darkest per cent there
_ALONG, _ACROSS = 96, 33  # samples of a strip along a rim
_SMOOTH = 0.08  # sigma along the seam


class ShutLids:
    """What one portrait's eyes look like when they are shut."""

    def __init__(self, rgb: np.ndarray, source: SourceGeometry, square: Square) -> None:
        """``rgb`` (H, W, 3) uint8 the portrait; ``square`` the piece of it that conditions are of."""
        self._points, self._square = source.face.model.dense, square
        seen = self._eyes(source.camera.project(source.face.pose.apply(source.vertices))[0])
        self._open = [eye.apart for eye in seen]
        self._lashes = [_lashes(rgb, eye) for eye in seen]

    def mend(self, frame: np.ndarray, flow: GeometryFlow, lids: np.ndarray) -> None:
        """Draw, in place, the lids that ``flow`` shuts into a ``frame`` (H, W, 3) uint8, as far as they are in view:
        ``lids`` (S, S) bool of Conditions."""
        for eye, was, lashes in zip(self._eyes(flow.vertices / flow.scale), self._open, self._lashes):
            shut = 1 - smoothstep(np.asarray((eye.apart - _SHUT) / (_AJAR - _SHUT)))
            shut *= smoothstep(np.asarray((was - eye.apart - _STILL) / (_CLOSED - _STILL)))
            if shut > 0:
                self._draw(frame, eye, lashes, float(shut), lids)

    def _eyes(self, vertices: np.ndarray) -> list[_Eye]:
        """Both, of a head whose ``vertices`` (N, 2) lie there in a picture."""
        points = self._points.at(vertices)
        return [_Eye(points[upper], points[lower]) for upper, lower in _RIMS]

    def _draw(self, frame: np.ndarray, eye: _Eye, lashes: np.ndarray, shut: float, lids: np.ndarray) -> None:
        corners = eye.places(np.array([-0.2, 1.2, -0.2, 1.2]), np.array([-0.5, -0.5, 0.5, 0.5]))
        left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
        right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int), frame.shape[1::-1])
        if min(right - left, bottom - top) < 2:
            return
        places = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=-1) + 0.5
        along, across = eye.straightened(places)
        off, inside = across - eye.seam(along), np.minimum(along, 1 - along)
        band = smoothstep((_BAND + _FADE - np.abs(off)) / _FADE) * smoothstep((inside + _ENDS) / (2 * _ENDS))
        scale = len(lids) / self._square.side
        band *= _look_up(lids.astype(np.float32), (places - [self._square.left, self._square.top]) * scale)
        line = _COVER * np.exp(-0.5 * (off / _LINE) ** 2) * smoothstep(inside / _TAPER)
        skin = _skin(frame, eye, along, off)
        laid = skin + line[..., None] * (np.minimum(lashes, skin) - skin)
        box = frame[top:bottom, left:right]
        box[:] = np.rint(box + shut * band[..., None] * (laid - box))


class _Eye:
    """An eye straightened: ``along`` 0…1 from corner to corner, ``across`` it downwards, in widths of the eye."""

    def __init__(self, upper: np.ndarray, lower: np.ndarray) -> None:
        """Rims (9, 2) pixels, from left to right."""
        self._corner = upper[0]
        self._width = max(float(np.linalg.norm(upper[-1] - upper[0])), 1.0)  # of an eye seen end on there is nothing
        along = (upper[-1] - upper[0]) / self._width
        self._axes = np.stack([along, [-along[1], along[0]]])
        self.upper, self.lower = (np.column_stack(self.straightened(rim)) for rim in (upper, lower))
        self.apart = float((self.lower - self.upper)[2:-2, 1].mean())

    def seam(self, along: np.ndarray) -> np.ndarray:
        """How far across it lies."""
        return _across((self.upper + self.lower) / 2, along)

    def places(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Pixels (…, 2), centres at +.5."""
        return self._corner + self._width * (along[..., None] * self._axes[0] + across[..., None] * self._axes[1])

    def straightened(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of :meth:`places`."""
        straight = (places - self._corner) @ self._axes.T / self._width
        return straight[..., 0], straight[..., 1]


def _across(rim: np.ndarray, along: np.ndarray) -> np.ndarray:
    return np.interp(along, rim[:, 0], rim[:, 1])


def _lashes(rgb: np.ndarray, eye: _Eye) -> np.ndarray:
    """The colour (3,) along an open eye's upper rim."""
    along = np.linspace(_TAPER, 1 - _TAPER, _ALONG)
    across = np.linspace(-_LASHES[0], _LASHES[1], _ACROSS)[:, None] + _across(eye.upper, along)
    seen = _look_up(rgb, eye.places(np.broadcast_to(along, across.shape), across)).reshape(-1, 3)
    brightness = seen.sum(axis=1)
    return seen[brightness <= np.percentile(brightness, _DARK)].mean(axis=0)


def _skin(frame: np.ndarray, eye: _Eye, along: np.ndarray, off: np.ndarray) -> np.ndarray:
    """What lies between both lids without specks, (h, w, 3) float32 at places ``along`` an eye and ``off`` its seam."""
    reach = _BAND + _FADE
    steps = np.linspace(0, 1, _ALONG)
    across = np.linspace(-reach, reach, _ACROSS)[:, None] + eye.seam(steps)
    strip = _look_up(frame, eye.places(np.broadcast_to(steps, across.shape), across)).astype(np.float32)
    strip = cv2.GaussianBlur(
        strip, (0, 0), sigmaX=_SMOOTH * _ALONG, sigmaY=1e-3, borderType=cv2.BORDER_REPLICATE
    )  # along alone
    lower = np.linspace(0, 1, _ACROSS, dtype=np.float32)[:, None, None]
    strip = np.minimum(strip, strip[:1] + lower * (strip[-1:] - strip[:1]))  # a crease is darker than lids, not lighter
    return _look_up(strip, np.stack([along * (_ALONG - 1), (off / reach + 1) / 2 * (_ACROSS - 1)], axis=-1) + 0.5)


def _look_up(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    x, y = (np.float32(places[..., k] - 0.5) for k in range(2))
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
