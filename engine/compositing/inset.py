"""A box of the frame around some mesh fragments, in which eyes or mouth are painted at full resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.geometry.flow import GeometryFlow

_MARGIN = 4


@dataclass
class Inset:
    """The ``chosen`` (P,) bool fragments as images of one box at flow resolution; :meth:`full` enlarges them."""

    flow: GeometryFlow
    chosen: np.ndarray
    top: int
    left: int
    shape: tuple[int, int]

    @classmethod
    def around(cls, flow: GeometryFlow, chosen: np.ndarray) -> Inset | None:
        """The box around the ``chosen`` (P,) bool fragments, None for too few fragments to see."""
        if np.count_nonzero(chosen) < 3:
            return None
        rows, columns = flow.fragments.rows[chosen], flow.fragments.columns[chosen]
        height, width = flow.fragments.shape
        top, left = max(int(rows.min()) - _MARGIN, 0), max(int(columns.min()) - _MARGIN, 0)
        bottom, right = min(int(rows.max()) + _MARGIN + 1, height), min(int(columns.max()) + _MARGIN + 1, width)
        return cls(flow, chosen, top, left, (bottom - top, right - left))

    def image(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) or (n, C) of the chosen fragments as an image, extended a few pixels beyond them."""
        mask = self.mask()
        out = np.zeros(self.shape + values.shape[1:], np.float32)
        rows, columns = self._at()
        out[rows, columns] = values
        weight = cv2.blur(mask, (7, 7))
        around = cv2.blur(out, (7, 7)) / np.maximum(weight, 1e-6).reshape(self.shape + (1,) * (values.ndim - 1))
        return np.where((mask > 0).reshape(self.shape + (1,) * (values.ndim - 1)), out, around)

    def mask(self) -> np.ndarray:
        out = np.zeros(self.shape, np.float32)
        out[self._at()] = 1
        return out

    def polygon(self, points: np.ndarray) -> np.ndarray:
        """A polygon given in flow pixels (n, 2), filled with 1 inside the box."""
        out = np.zeros(self.shape, np.uint8)
        corners = np.round((points - [self.left, self.top]) * 16 - 8).astype(np.int32)
        cv2.fillPoly(out, [corners], 1, shift=4)
        return out.astype(np.float32)

    def full(self, image: np.ndarray, frame: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
        """An image of the box at the frame's resolution (height, width), and where it lies there.

        Sampled at exact pixel centres, so nothing shifts between the two resolutions.
        """
        scale = self.flow.scale
        rows = slice(max(int(self.top / scale), 0), min(int(np.ceil((self.top + self.shape[0]) / scale)), frame[0]))
        columns = slice(
            max(int(self.left / scale), 0), min(int(np.ceil((self.left + self.shape[1]) / scale)), frame[1])
        )
        if scale == 1:
            return (rows, columns), image
        x = ((np.arange(columns.start, columns.stop) + 0.5) * scale - 0.5 - self.left).astype(np.float32)
        y = ((np.arange(rows.start, rows.stop) + 0.5) * scale - 0.5 - self.top).astype(np.float32)
        map_x, map_y = np.meshgrid(x, y)
        return (rows, columns), cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _at(self) -> tuple[np.ndarray, np.ndarray]:
        fragments = self.flow.fragments
        return fragments.rows[self.chosen] - self.top, fragments.columns[self.chosen] - self.left


def blend(frame: np.ndarray, where: tuple[slice, slice], colour: np.ndarray, mask: np.ndarray) -> None:
    """Paint ``colour`` into ``frame`` under ``mask`` (h, w), in place."""
    under = frame[where]
    under += mask[..., None] * (colour - under)


def rim_light(opening: np.ndarray, reach: float, shadow: float) -> np.ndarray:
    """Light inside an ``opening`` (h, w) 0…1 between lids or lips: 1 away from the rim, down to 1 − ``shadow`` at it.

    The upper rim casts more shadow: the blurred rim, ``reach`` px wide, is moved down by half its width.
    """
    shift = np.array([[1, 0, 0], [0, 1, 0.5 * reach]], np.float32)
    rim = cv2.warpAffine(1 - opening, shift, opening.shape[::-1], flags=cv2.INTER_LINEAR, borderValue=1)
    return 1 - shadow * np.clip(cv2.GaussianBlur(rim, (0, 0), max(0.5, 0.5 * reach)), 0, 1)
