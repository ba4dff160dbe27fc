"""A frame cut into tiles, so that each is drawn by the cheapest way that gives the same picture.

What happens in a tile is decided at flow resolution. Tiles that are drawn alike are stacked into one tall picture of a
size that stays in a processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

TILE = 32  # pixels of the frame
_STACK = 48  # tiles drawn at once


class Tiles:
    """The tiles of frames of ``shape`` (H, W); masks and maps come at flow resolution ``low`` (h, w)."""

    def __init__(self, low: tuple[int, int], shape: tuple[int, int]) -> None:
        self._low, self.shape = low, shape
        self._side = tuple(min(TILE, length) for length in shape)
        # The last tile of a row or column overlaps the one before it.
        self._starts = [
            np.minimum(np.arange(0, length, side), length - side) for length, side in zip(shape, self._side)
        ]
        self._spans = []
        for start, side, few, many in zip(self._starts, self._side, low, shape):
            first = np.floor((start + 0.5) * few / many - 0.5).astype(int)
            last = np.ceil((start + side - 0.5) * few / many - 0.5).astype(int)
            self._spans.append((np.clip(first, 0, few - 1), np.clip(last + 1, 1, few)))

    def touched(self, mask: np.ndarray) -> np.ndarray:
        """(R, C) bool: tiles in which ``mask`` (h, w) bool, enlarged to the frame, is anywhere more than 0."""
        total = cv2.integral(mask.astype(np.uint8))
        (top, bottom), (left, right) = self._spans
        top, bottom = top[:, None], bottom[:, None]
        return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0

    def stacks(self, marks: np.ndarray) -> Iterator[Stack]:
        """The tiles marked in ``marks`` (R, C) bool, some at a time."""
        rows, columns = np.nonzero(marks)
        for k in range(0, len(rows), _STACK):
            tops, lefts = self._starts[0][rows[k : k + _STACK]], self._starts[1][columns[k : k + _STACK]]
            yield Stack(tops, lefts, self._side, self._low, self.shape)


class Stack:
    """Some tiles one below another: pictures of them are (n · side, side, …)."""

    def __init__(
        self,
        tops: np.ndarray,
        lefts: np.ndarray,
        side: tuple[int, ...],
        low: tuple[int, int],
        shape: tuple[int, int],
    ) -> None:
        self._tops, self._lefts, self._side = tops, lefts, side
        self._scale = low[0] / shape[0], low[1] / shape[1]
        rows = (tops[:, None] + np.arange(side[0])).astype(np.float32).reshape(-1, 1)
        columns = np.repeat((lefts[:, None] + np.arange(side[1])).astype(np.float32), side[0], axis=0)
        self.rows, self.columns = np.broadcast_to(rows, columns.shape), columns

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The tiles of a whole frame (H, W, …), as a copy."""
        return self._windows(image)[self._tops, self._lefts].reshape(-1, *self._tail(image))

    def put(self, frame: np.ndarray, tiles: np.ndarray) -> None:
        """Write tiles into a frame."""
        self._windows(frame)[self._tops, self._lefts] = tiles.reshape(-1, *self._side, *frame.shape[2:])

    def enlarged(self, maps: np.ndarray) -> np.ndarray:
        """The tiles of ``maps`` (h, w, C), C up to 4, enlarged bilinearly."""
        x = (self.columns + np.float32(0.5)) * np.float32(self._scale[1]) - np.float32(0.5)
        y = (self.rows + np.float32(0.5)) * np.float32(self._scale[0]) - np.float32(0.5)
        return cv2.remap(maps, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def look(self, picture: np.ndarray, offset: np.ndarray, how: int = cv2.INTER_CUBIC) -> np.ndarray:
        """``picture`` (H, W, …) where each pixel looks: ``offset`` (…, 2) pixels from itself."""
        return cv2.remap(
            picture, self.columns + offset[..., 0], self.rows + offset[..., 1], how, borderMode=cv2.BORDER_REPLICATE
        )

    def _windows(self, image: np.ndarray) -> np.ndarray:
        shape = (*(n - side + 1 for n, side in zip(image.shape, self._side)), *self._side, *image.shape[2:])
        return np.lib.stride_tricks.as_strided(image, shape, image.strides[:2] + image.strides)

    def _tail(self, image: np.ndarray) -> tuple[int, ...]:
        return self._side[1], *image.shape[2:]
