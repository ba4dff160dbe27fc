"""Native-resolution compositing: a network's flow and mask, made at its own size, act on the frame's own pixels.

Only what the network generates has the network's resolution. Everything else stays as sharp as the portrait, and teeth
that the geometry draws keep their edges where the network only changes their light.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.face.camera import Camera, Pose
from engine.face.maths import smoothstep
from engine.geometry.frame_inputs import EYE, MOUTH, NO_MESH
from engine.geometry.framing import Square

# Lengths are shares of the square's side, unless a unit is named.
_FADE = 0.08  # over which the square's content blends into the plain frame
_BRUSH = 0.03  # reach of the paint beyond what the portrait does not show
_AROUND = 1 / 64  # radius in which colours are looked for that may be painted where the portrait shows the surface
_FEW, _MUCH = 0.1, 0.4  # shares of hidden pixels below which that limit holds, and above which it does not …
_THERE = 1 / 32  # … measured within this sigma
_BROAD = 1 / 48  # sigma that separates detail from broad colour
_ALIKE, _OTHER = 25.0, 75.0  # of 255: broad colours that differ less show the same thing, and more, another
_STILL, _MOVING = 0.001, 0.008  # flow below which a face is at rest, and from which on it moves
_NECK = np.array([[0.0, -9.0, 0.0], [0.0, -14.0, 0.0]])  # head space, cm: between these the head's influence ends
_SHOULDERS = 6.0, 11.0, 4.0  # cm from the neck's middle to where they begin and are whole, and how much higher they are


class Canvas:
    """A whole-pixel ``square`` of the frame that a network of ``size`` pixels changes."""

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
        """A copy of ``frame`` (H, W, 3) uint8 whose square shows ``base``, of the frame's size, sampled at ``offset``
        (2, S, S) on the square's grid, and ``generated`` (3, S, S) −1…1 where ``mask`` (1, S, S) 0…1 is 1.

        ``share`` (S, S) 0…1 blends the result with ``frame``; outside the square and along its edges ``frame`` stays
        as it is. Where ``detailed`` (S, S) is 1, ``generated`` takes on the base's detail if both show the same thing.
        """
        change = self._moved(base, offset).astype(np.float32)
        small, painted = self._reduced(change), cv2.merge([mask[0]] * 3)
        colour = (generated.transpose(1, 2, 0) + 1) * np.float32(127.5)
        other = colour - small
        laid, veiled = painted * other, painted
        if detailed is not None and detailed.any():
            veiled = painted.copy()
            self._unveil(laid, veiled, other, detailed)
        # The enlarged composite plus the base's fine detail where it is not painted over.
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
        """Keep, in place, the base's detail where base and paint are alike in broad colour: ``laid`` is the change of
        the base, ``veiled`` how much of its fine detail is lost, ``other`` paint minus base, all (S, S, 3)."""
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


def paintable(parts: np.ndarray, hidden: np.ndarray, lids: np.ndarray) -> np.ndarray:
    """(S, S) float32, from the frame's arrays of these names: 1 around what the portrait hides and in and around mouth,
    eyes and lids. It is 0 where the portrait shows the surface, which is moved and not painted: painted hair would
    blur into the background."""
    delicate = np.isin(parts, (EYE, MOUTH)) | lids
    unknown = np.maximum(hidden, delicate.astype(np.float32))
    reach = max(1, round(_BRUSH * len(unknown)))
    grown = cv2.dilate(unknown, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return cv2.GaussianBlur(grown, (0, 0), reach / 2)


def tempered(generated: np.ndarray, warped: np.ndarray, parts: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """``generated`` (3, S, S) limited to the colours around each pixel of ``warped`` (3, S, S), except in eyes and
    mouth and where much is ``hidden``.

    Where its mask is nearly closed, a network's colours may be far too strong and leave stains.
    """
    size = len(hidden)
    around = np.ones((2 * max(1, round(_AROUND * size)) + 1,) * 2, np.uint8)
    darkest, brightest = (np.stack([of(each, around) for each in warped]) for of in (cv2.erode, cv2.dilate))
    within = np.clip(generated, darkest, brightest)
    inner = ((parts == EYE) | (parts == MOUTH)).astype(np.float32)
    inner = cv2.GaussianBlur(cv2.dilate(inner, np.ones((5, 5), np.uint8)), (0, 0), 1.0)
    hidden = cv2.GaussianBlur(hidden, (0, 0), _THERE * size)
    free = np.maximum(inner, smoothstep((hidden - _FEW) / (_MUCH - _FEW)))
    return (within + free * (generated - within)).astype(np.float32, copy=False)


def modelled(parts: np.ndarray) -> np.ndarray:
    """(S, S) float32: 1 inside the mouth, where the geometry draws teeth sharper than a network paints them."""
    return cv2.GaussianBlur((parts == MOUTH).astype(np.float32), (0, 0), 1.0)


def movement(flow: np.ndarray, parts: np.ndarray) -> np.float32:
    """0 while the face is as in the portrait, 1 once it has moved: by the 99th percentile of the mesh's flow."""
    far = np.linalg.norm(flow[parts != NO_MESH], axis=1)
    moved = float(np.quantile(far, 0.99)) / len(flow) if len(far) else 0.0
    return np.float32(smoothstep(np.asarray((moved - _STILL) / (_MOVING - _STILL))))


def head_share(square: Square, size: int, camera: Camera, pose: Pose) -> np.ndarray:
    """(S, S) float32 on the ``square``: 1 on the posed head, 0 below its neck and beside it, smooth between.

    A head's motion says nothing about the shoulders, so a network could only guess how they move.
    """
    (top, bottom), _ = camera.project(pose.apply(_NECK))
    depth = float(np.linalg.norm(_NECK[1] - _NECK[0]))  # cm over which the influence ends
    down = (bottom - top) * depth / max(float(np.sum((bottom - top) ** 2)), 1.0)  # cm a pixel
    rows, columns = ((np.arange(size) + 0.5) * square.side / size + start for start in (square.top, square.left))
    y, x = (rows - top[1])[:, None], columns - top[0]
    begin, whole, rise = _SHOULDERS
    beside = smoothstep((np.abs(x * down[1] - y * down[0]) - begin) / (whole - begin))
    return (1 - smoothstep((x * down[0] + y * down[1] + rise * beside) / depth)).astype(np.float32)


def _ramp(side: int) -> np.ndarray:
    """(side,) float32: 0 at both ends, 1 in the middle, also where the square touches the frame's edge."""
    at = np.arange(side) / (_FADE * side)
    return (smoothstep(at) * smoothstep(at[::-1])).astype(np.float32)
