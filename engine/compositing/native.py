"""A network's small picture laid into a frame of any size: its flow and mask act on the frame's own pixels.

Only what the network generates comes at its own resolution; what is the portrait's stays as sharp as the portrait, and
the teeth that the geometry draws keep their edges where the network only lights them otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.face.camera import Camera, Pose
from engine.face.maths import smoothstep
from engine.geometry.conditions import EYE, MOUTH, Conditions
from engine.geometry.framing import Square

_FADE = 0.08  # of the square's side, over which its content gives way to the plain frame
_BRUSH = 0.03  # of the square's side: so far beyond what the portrait does not show may be painted
_AROUND = 1 / 64  # of the square's side: what the portrait shows is painted in colours found so far around
_FEW, _MUCH = 0.1, 0.4  # shares of hidden places within …
_THERE = 1 / 32  # … so much of the square's side (sigma) up to which, and from which on not, that holds
_BROAD = 1 / 48  # of the square's side: sigma of what is broad, below it is detail
_ALIKE, _OTHER = 25.0, 75.0  # of 255: broad colours that differ less show the same thing, and more, another
_NECK = np.array([[0.0, -9.0, 0.0], [0.0, -14.0, 0.0]])  # head space, cm: where the head's motion ceases to say more
_SHOULDERS = 6.0, 11.0, 4.0  # cm from the neck's middle to where they begin and are whole; so much higher they reach


class Canvas:
    """A whole-pixel ``square`` inside frames, in which a network of ``size`` pixels mends."""

    def __init__(self, square: Square, size: int) -> None:
        self.square, self._size = square, size
        self._left, self._top, self._side = (round(value) for value in (square.left, square.top, square.side))
        self._box = np.s_[self._top : self._top + self._side, self._left : self._left + self._side]
        ramp = _ramp(self._side)
        self._window = cv2.merge([ramp[:, None] * ramp] * 3)  # numpy multiplies equal shapes much faster
        rows, columns = np.indices((self._side, self._side), np.float32)
        self._places = np.stack([columns + self._left, rows + self._top], axis=-1)

    def mend(
        self,
        frame: np.ndarray,
        base: np.ndarray,
        offset: np.ndarray,
        mask: np.ndarray,
        generated: np.ndarray,
        share: np.ndarray | None = None,
        detailed: np.ndarray | None = None,
    ) -> np.ndarray:
        """``frame`` (H, W, 3) uint8 with the square mended: ``base``, of the frame's size, looked up at ``offset``
        (2, S, S) on the square's grid, and under ``mask`` (1, S, S) 0…1 ``generated`` (3, S, S) −1…1 instead.

        Outside the square, and along its edges, ``frame`` stays as it is; inside as far as ``share`` (S, S) 0…1 is
        below 1. Where ``detailed`` (S, S) 0…1 says so, what is painted takes on the base's detail, as far as both show
        the same thing.
        """
        change = self._moved(base, offset).astype(np.float32)
        small, painted = self._reduced(change), cv2.merge([mask[0]] * 3)
        colour = (generated.transpose(1, 2, 0) + 1) * np.float32(127.5)
        other = colour - small
        laid, veiled = painted * other, painted
        if detailed is not None and detailed.any():
            veiled = painted.copy()
            self._unveil(laid, veiled, other, detailed)
        # The enlarged composite and what is not veiled of the fine detail, without blurring where nothing is painted.
        fine = self._enlarged(small)
        np.subtract(change, fine, out=fine)
        fine *= self._enlarged(veiled)
        change += self._enlarged(laid)
        change -= fine
        plain = np.ascontiguousarray(frame[self._box])
        change -= plain
        change *= self._window
        if share is not None:
            change *= self._enlarged(share)[..., None]
        out = frame.copy()
        out[self._box] = cv2.add(plain, change, dtype=cv2.CV_8U)
        return out

    def _unveil(self, laid: np.ndarray, veiled: np.ndarray, other: np.ndarray, detailed: np.ndarray) -> None:
        """Let, in place, the base's detail through what is painted where both are alike in what is broad: ``laid`` on
        the base, ``veiled`` of its finest detail, ``other`` what is generated less the base, all (S, S, 3)."""
        sigma = _BROAD * self._size
        x, y, width, height = cv2.boundingRect((detailed > 0).astype(np.uint8))
        reach = round(4 * sigma) + 1  # of the blur
        box = np.s_[max(0, y - reach) : y + height + reach, max(0, x - reach) : x + width + reach]
        broad = cv2.GaussianBlur(other[box], (0, 0), sigma)
        alike = 1 - smoothstep((np.abs(broad).max(axis=2) - _ALIKE) / (_OTHER - _ALIKE))
        bare = (detailed[box] * alike)[..., None]
        laid[box] -= bare * veiled[box] * (other[box] - broad)
        veiled[box] *= 1 - bare

    def _moved(self, base: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """(side, side, 3) uint8."""
        pixels = np.float32((self._size - 1) / 2 * self._side / self._size)  # of the frame, a unit of the grid
        places = self._enlarged(np.ascontiguousarray(offset.transpose(1, 2, 0), np.float32) * pixels)
        places += self._places
        return cv2.remap(base, places, np.empty((0, 0), np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    def _reduced(self, picture: np.ndarray) -> np.ndarray:
        how = cv2.INTER_AREA if self._side > self._size else cv2.INTER_LINEAR
        return cv2.resize(picture, (self._size, self._size), interpolation=how)

    def _enlarged(self, picture: np.ndarray) -> np.ndarray:
        how = cv2.INTER_AREA if self._side < self._size else cv2.INTER_LINEAR
        return cv2.resize(picture, (self._side, self._side), interpolation=how)


def paintable(conditions: Conditions) -> np.ndarray:
    """(S, S) float32: 1 around what the portrait hides and in and around mouth, eyes and lids, 0 where it shows what
    belongs there: that is moved and not painted over, or hair in front of a wall may turn to smoke."""
    delicate = np.isin(conditions.part, (EYE, MOUTH)) | conditions.lids
    unknown = np.maximum(conditions.hidden, delicate.astype(np.float32))
    reach = max(1, round(_BRUSH * len(unknown)))
    grown = cv2.dilate(unknown, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return cv2.GaussianBlur(grown, (0, 0), reach / 2)


def tempered(generated: np.ndarray, warped: np.ndarray, conditions: Conditions) -> np.ndarray:
    """``generated`` (3, S, S) in colours that lie around in ``warped`` (3, S, S), but in eyes and mouth, and where much
    is hidden.

    Where its mask is hardly open a network's colours may be far too strong: a little of them is a shade, and a little
    more a stain beside the nose.
    """
    size = len(conditions.hidden)
    around = np.ones((2 * max(1, round(_AROUND * size)) + 1,) * 2, np.uint8)
    darkest, brightest = (np.stack([of(each, around) for each in warped]) for of in (cv2.erode, cv2.dilate))
    within = np.clip(generated, darkest, brightest)
    inner = ((conditions.part == EYE) | (conditions.part == MOUTH)).astype(np.float32)
    inner = cv2.GaussianBlur(cv2.dilate(inner, np.ones((5, 5), np.uint8)), (0, 0), 1.0)
    hidden = cv2.GaussianBlur(conditions.hidden, (0, 0), _THERE * size)
    free = np.maximum(inner, smoothstep((hidden - _FEW) / (_MUCH - _FEW)))
    return (within + free * (generated - within)).astype(np.float32, copy=False)


def modelled(conditions: Conditions) -> np.ndarray:
    """(S, S) float32: 1 inside the mouth, which the geometry draws tooth by tooth, sharper than a network paints."""
    return cv2.GaussianBlur((conditions.part == MOUTH).astype(np.float32), (0, 0), 1.0)


def head_share(square: Square, size: int, camera: Camera, pose: Pose) -> np.ndarray:
    """(S, S) float32 on the ``square``'s grid: 1 on the head so posed, 0 below its neck and beside it, smooth between.

    Shoulders are moved by people, not by the motion of heads, so what a network makes of them is a guess.
    """
    (top, bottom), _ = camera.project(pose.apply(_NECK))
    depth = float(np.linalg.norm(_NECK[1] - _NECK[0]))  # cm, over which it ceases
    down = (bottom - top) * depth / max(float(np.sum((bottom - top) ** 2)), 1.0)  # cm a pixel
    rows, columns = ((np.arange(size) + 0.5) * square.side / size + start for start in (square.top, square.left))
    y, x = (rows - top[1])[:, None], columns - top[0]
    begin, whole, rise = _SHOULDERS
    beside = smoothstep((np.abs(x * down[1] - y * down[0]) - begin) / (whole - begin))
    return (1 - smoothstep((x * down[0] + y * down[1] + rise * beside) / depth)).astype(np.float32)


def _ramp(side: int) -> np.ndarray:
    """(side,) float32: 0 at both ends, 1 in the middle. The frame's own edges are no exception: nothing is known of
    what lies beyond them."""
    at = np.arange(side) / (_FADE * side)
    return (smoothstep(at) * smoothstep(at[::-1])).astype(np.float32)
