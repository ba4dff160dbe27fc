"""The gap between posed lips: where it lies in the frame, and finer samples of it to paint on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.face.maths import smoothstep
from engine.geometry.flow import GeometryFlow
from engine.motion.mouth_sight import LOWER_LIP, UPPER_LIP

_SHUT, _PARTED = 0.008, 0.018  # lip gap, of the face's diagonal, up to which lips touch and from which they are apart
_MARGIN = 4  # px
_FINE, _WIDEST = 3, 900  # samples a pixel, and of a mouth's width at most
_IN_FRONT = 0.35  # cm by which skin that hides the mouth is nearer than the lips


def parted(gap: float) -> float:
    """How far lips with this ``gap`` are apart for their inside to be seen, 0…1."""
    return float(smoothstep(np.asarray((gap - _SHUT) / (_PARTED - _SHUT))))


@dataclass(frozen=True)
class Lips:
    """Inner rims ``upper`` and ``lower`` (11, 2) px from the subject's right corner to its left, and how deep they lie,
    ``depth`` (11,) cm; ``diagonal`` of the face, px."""

    upper: np.ndarray
    lower: np.ndarray
    depth: np.ndarray
    diagonal: float

    @classmethod
    def of(cls, dense: np.ndarray, depth: np.ndarray) -> Lips:
        """From dense landmarks (468, 2) px and their ``depth`` (468,) cm."""
        upper, lower = list(UPPER_LIP), list(LOWER_LIP)
        diagonal = float(np.linalg.norm(np.ptp(dense, axis=0)))
        return cls(dense[upper], dense[lower], (depth[upper] + depth[lower]) / 2, diagonal)

    @property
    def gap(self) -> float:
        """Between their middles, a share of the diagonal."""
        return float(np.linalg.norm(self.upper[5] - self.lower[5])) / max(self.diagonal, 1e-6)

    def closed(self, share: float) -> Lips:
        """Nearer to each other: 0 both on the line between them, 1 as they are."""
        middle = (self.upper + self.lower) / 2
        upper, lower = (middle + share * (rim - middle) for rim in (self.upper, self.lower))
        return Lips(upper, lower, self.depth, self.diagonal)


class Opening:
    """A box of the frame around ``lips``, sampled (h, w) ``fine`` times in a pixel each way.

    ``places`` (h, w, 2) of the samples in frame pixels, centres at +.5; ``mask`` (h, w) 1 between the lips; ``along``
    from corner to corner 0…1; ``aside`` 0 in the middle, 1 in the corners; ``down`` 0 at the upper lip, 1 at the lower;
    ``axes`` (2, 2) unit vectors along and across.
    """

    def __init__(self, lips: Lips, box: tuple[slice, slice], fine: int) -> None:
        self.lips, self.box, self.fine = lips, box, fine
        rows, columns = box
        self.shape = ((rows.stop - rows.start) * fine, (columns.stop - columns.start) * fine)
        self.origin = np.array([columns.start, rows.start])
        y, x = np.indices(self.shape, np.float32)
        self.places = np.stack([x + 0.5, y + 0.5], axis=-1) / np.float32(fine) + self.origin.astype(np.float32)
        self._corner, right = ((lips.upper[k] + lips.lower[k]) / 2 for k in (0, -1))
        self._width = max(float(np.linalg.norm(right - self._corner)), 1.0)
        along = (right - self._corner) / self._width
        self.axes = np.stack([along, [-along[1], along[0]]])
        away = (self.places - self._corner.astype(np.float32)) @ self.axes.T.astype(np.float32)
        self.along = away[..., 0] / np.float32(self._width)
        top, height = self._column(self.along)
        self.down = ((away[..., 1] - top) / height).astype(np.float32)
        self.aside = np.abs(2 * self.along - 1)
        self.mask = np.zeros(self.shape, np.float32)
        outline = np.concatenate([lips.upper, lips.lower[-2:0:-1]])
        cv2.fillPoly(self.mask, [np.round(self.sampled(outline) * 16 - 8).astype(np.int32)], 1, shift=4)

    @classmethod
    def between(cls, lips: Lips, size: tuple[int, int], fine: int = _FINE) -> Opening | None:
        """In a frame of ``size`` (height, width), at most ``fine``; None where too little is inside to be seen."""
        outline = np.concatenate([lips.upper, lips.lower])
        low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - _MARGIN, 0)
        high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + _MARGIN + 1, size[::-1])
        if min(high - low) < 3:
            return None
        fine = int(np.clip(_WIDEST // (high - low).max(), 1, fine))
        return cls(lips, (slice(low[1], high[1]), slice(low[0], high[0])), fine)

    def _column(self, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the upper lip is across the mouth, and px from it to the lower one."""
        upper, lower = ((rim - self._corner) @ self.axes.T for rim in (self.lips.upper, self.lips.lower))
        top, bottom = (np.interp(along * self._width, rim[:, 0], rim[:, 1]) for rim in (upper, lower))
        return top, np.maximum(bottom - top, 1.0)

    def at(self, along: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Frame pixels (…, 2) of places between these lips."""
        top, height = self._column(along)
        away = np.stack([along * self._width, top + down * height], axis=-1)
        return self._corner + away @ self.axes

    def sampled(self, pixels: np.ndarray) -> np.ndarray:
        """Frame pixels (…, 2) in samples."""
        return (pixels - self.origin) * self.fine

    def hide(self, flow: GeometryFlow, skin: int) -> None:
        """Take off the mask what skin before the mouth hides, as a turned head's cheek does. ``skin`` is its part."""
        rows, columns = (
            slice(int(side.start * flow.scale), int(np.ceil(side.stop * flow.scale)) + 1) for side in self.box
        )
        fragments = flow.fragments
        near = (flow.fragment_part == skin) & (fragments.rows >= rows.start) & (fragments.rows < rows.stop)
        near &= (fragments.columns >= columns.start) & (fragments.columns < columns.stop)
        depth = np.full((rows.stop - rows.start, columns.stop - columns.start), np.inf, np.float32)
        depth[fragments.rows[near] - rows.start, fragments.columns[near] - columns.start] = fragments.depth[near]
        at = self.places * np.float32(flow.scale) - np.array([columns.start + 0.5, rows.start + 0.5], np.float32)
        before = cv2.remap(depth, at[..., 0], at[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        lips = np.interp(self.along, np.linspace(0, 1, len(self.lips.depth)), self.lips.depth)
        self.mask[before < lips - _IN_FRONT] = 0

    def averaged(self, image: np.ndarray) -> np.ndarray:
        """An image of the samples at the frame's resolution."""
        size = self.shape[1] // self.fine, self.shape[0] // self.fine
        return image if self.fine == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
