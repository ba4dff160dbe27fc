"""Shut lids: where a portrait's open eyes close, the jagged seam between the lids becomes a line of lashes.

A portrait with open eyes does not show closed lids. The mesh brings two rims of the photograph together, with specks of
sclera and make-up in them that are finer than a network's resolution. The seam is painted anew from the lids on both
sides, and over it the colour of the portrait's upper rim.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from engine.face.camera import Camera, Pose
from engine.face.fitting import LIDS_LEFT, LIDS_RIGHT
from engine.face.maths import smoothstep
from engine.geometry.framing import Square
from engine.geometry.source_geometry import SourceGeometry

# The dense points of the upper and the lower rim of each eye, nine each, from the subject's right to left.
_RIMS = (
    ([*LIDS_RIGHT[:1], *LIDS_RIGHT[:7:-1]], [*LIDS_RIGHT[:9]]),
    ([*LIDS_LEFT[8:], *LIDS_LEFT[:1]], [*LIDS_LEFT[8::-1]]),
)
# Lengths are shares of an eye's width, from corner to corner.
_SHUT, _AJAR = 0.06, 0.12  # gap between the lids below which they are shut, and above which they are open
_STILL, _CLOSED = 0.03, 0.09  # closing since the portrait below which nothing is drawn, and from which all is
_AWAY, _FACING = 0.25, 0.45  # the same for the cosine between an eye and the viewer
_BAND, _FADE = 0.05, 0.04  # half width of the repainted band along the seam, and of its blend into the frame
_ENDS = 0.06  # outside and inside the corners over which the band fades in
_LINE, _TAPER = 0.028, 0.25  # sigma across the line of lashes, and the distance from the corners where it is full
_COVER = 0.9  # opacity of the lashes over the skin
_LASHES = 0.06, 0.03  # reach above and below an open eye's upper rim where lashes are looked for …
_DARK = 25  # … among the darkest per cent
_ALONG, _ACROSS = 96, 33  # samples of a strip along a rim
_SMOOTH = 0.08  # sigma along the seam


class ShutLids:
    """Draws one portrait's eyes when they are shut."""

    def __init__(self, rgb: np.ndarray, source: SourceGeometry, square: Square) -> None:
        """``rgb`` (H, W, 3) uint8 is the portrait; ``square`` the part of it that ``lids`` of :meth:`mend` is of."""
        self._camera, self._points, self._square = source.camera, source.face.model.dense, square
        seen = self._eyes(source.face.pose.apply(source.vertices), source.face.pose)
        self._open = [eye.apart for eye in seen]
        self._lashes = [_lashes(rgb, eye) for eye in seen]

    def mend(self, frame: np.ndarray, mesh: np.ndarray, pose: Pose, lids: Callable[[], np.ndarray]) -> None:
        """Draw shut lids into ``frame`` (H, W, 3) uint8, in place, as far as they are in view. ``mesh`` (N, 3) is the
        head in camera space, ``pose`` its pose; ``lids`` gives the frame's array of that name, (S, S) bool."""
        for eye, was, lashes in zip(self._eyes(mesh, pose), self._open, self._lashes):
            shut = 1 - _ramp(eye.apart, _SHUT, _AJAR)
            shut *= _ramp(was - eye.apart, _STILL, _CLOSED) * _ramp(eye.facing, _AWAY, _FACING)
            if shut > 0:
                self._draw(frame, eye, lashes, shut, lids())

    def _eyes(self, head: np.ndarray, pose: Pose) -> list[_Eye]:
        """Both, of a ``head`` (N, 3) in the camera's space, cm."""
        points = self._points.at(head)
        return [_Eye(points[upper], points[lower], pose, self._camera) for upper, lower in _RIMS]

    def _draw(self, frame: np.ndarray, eye: _Eye, lashes: np.ndarray, shut: float, lids: np.ndarray) -> None:
        reach, steps = _BAND + _FADE, np.linspace(-_ENDS, 1 + _ENDS, _ALONG)
        edges = eye.places(np.broadcast_to(steps, (2, _ALONG)), eye.seam(steps) + [[-reach], [reach]]).reshape(-1, 2)
        left, top = np.maximum(np.floor(edges.min(axis=0)).astype(int), 0)
        right, bottom = np.minimum(np.ceil(edges.max(axis=0)).astype(int), frame.shape[1::-1])
        if min(right - left, bottom - top) < 2:
            return
        places = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=-1) + 0.5
        along, across = eye.straightened(places)
        off, inside = across - eye.seam(along), np.minimum(along, 1 - along)
        band = smoothstep((reach - np.abs(off)) / _FADE) * smoothstep((inside + _ENDS) / (2 * _ENDS))
        on_lids = (places - [self._square.left, self._square.top]) * (len(lids) / self._square.side)
        band *= _look_up(lids.astype(np.float32), on_lids, cv2.BORDER_CONSTANT)
        line = _COVER * np.exp(-0.5 * (off / _LINE) ** 2) * smoothstep(inside / _TAPER)
        skin = _skin(frame, eye, along, off)
        laid = skin + line[..., None] * (np.minimum(lashes, skin) - skin)
        box = frame[top:bottom, left:right]
        box[:] = np.rint(box + shut * band[..., None] * (laid - box))


class _Eye:
    """The coordinates of an eye in a picture: ``along`` 0…1 from corner to corner, ``across`` it downwards in widths of
    the eye seen from its front.

    ``apart`` is the gap between its lids as a share of its width, independent of pose; ``facing`` the cosine between
    its front and the viewer.
    """

    def __init__(self, upper: np.ndarray, lower: np.ndarray, pose: Pose, camera: Camera) -> None:
        """Rims (9, 3) in the camera's space, from the subject's right to its left."""
        chord, up = upper[-1] - upper[0], pose.rotation[:, 1]
        width, middle = float(np.linalg.norm(chord)), (upper[0] + upper[-1]) / 2
        outward = np.cross(chord / width, up)
        self.apart = float(((upper - lower) @ up)[2:-2].mean()) / width
        self.facing = float(-outward @ middle / (np.linalg.norm(outward) * np.linalg.norm(middle)))
        (pixels, _), (below, _), (_, depth) = camera.project(upper), camera.project(lower), camera.project(middle)
        self._corner, seen = pixels[0], pixels[-1] - pixels[0]
        self._length, self._width = max(float(np.linalg.norm(seen)), 1.0), width * camera.focal / float(depth)
        self._along = seen / self._length
        self._across = np.array([-self._along[1], self._along[0]])
        self.upper, lower_rim = (np.column_stack(self.straightened(rim)) for rim in (pixels, below))
        self._seam = (self.upper + lower_rim) / 2

    def seam(self, along: np.ndarray) -> np.ndarray:
        """The seam's ``across`` at ``along``."""
        return _across(self._seam, along)

    def places(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Pixels (…, 2), centres at +.5."""
        straight = self._length * along[..., None] * self._along + self._width * across[..., None] * self._across
        return self._corner + straight

    def straightened(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of :meth:`places`."""
        away = places - self._corner
        return away @ self._along / self._length, away @ self._across / self._width


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
    """The lids' skin without specks, (h, w, 3) float32, at places ``along`` an eye and ``off`` its seam."""
    reach = _BAND + _FADE
    steps = np.linspace(0, 1, _ALONG)
    across = np.linspace(-reach, reach, _ACROSS)[:, None] + eye.seam(steps)
    strip = _look_up(frame, eye.places(np.broadcast_to(steps, across.shape), across)).astype(np.float32)
    strip = cv2.GaussianBlur(strip, (0, 1), _SMOOTH * _ALONG, borderType=cv2.BORDER_REPLICATE)
    lower = np.linspace(0, 1, _ACROSS, dtype=np.float32)[:, None, None]
    strip = np.minimum(strip, strip[:1] + lower * (strip[-1:] - strip[:1]))  # creases are darker than lids
    return _look_up(strip, np.stack([along * (_ALONG - 1), (off / reach + 1) / 2 * (_ACROSS - 1)], axis=-1) + 0.5)


def _look_up(picture: np.ndarray, places: np.ndarray, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    x, y = ((places[..., k] - 0.5).astype(np.float32) for k in range(2))
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=border)


def _ramp(value: float, start: float, end: float) -> float:
    return float(smoothstep(np.asarray((value - start) / (end - start))))
