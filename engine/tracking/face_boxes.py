"""Boxes of faces: MediaPipe's BlazeFace (Bazarevsky et al. 2019) on the whole picture and on tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from engine import runtime
from engine.tracking.crop import Square, overlap
from engine.tracking.networks import open_network

_SHORT, _FULL, _TILE = 0.3, 0.4, 0.6  # scores from which a box counts, by search
_SAME_FACE = 0.3  # overlap of boxes that are averaged
_LOCAL = 2.0  # side of the window in which a known face is searched, of its crop's


@dataclass(frozen=True)
class FaceBox:
    """``box`` (4,) left, top, right, bottom and ``eyes`` (2, 2), the left one in the picture first, pixels."""

    box: np.ndarray
    eyes: np.ndarray
    score: float

    @property
    def crop(self) -> Square:
        """For the face mesh."""
        return Square.around(self.box[:2], self.box[2:], *self.eyes)

    @property
    def prominence(self) -> float:
        return self.score * self.crop.side


class BoxNetwork:
    """``anchors``: (stride, boxes a cell) of the network's layers."""

    def __init__(self, name: str, anchors: tuple[tuple[int, int], ...]) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._session: runtime.Session = open_network(name)
        self._size = self._session.inputs["image"][0]
        centres = []
        for stride, count in anchors:
            cells = self._size // stride
            y, x = np.mgrid[:cells, :cells]
            centres.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5, count, axis=0) / cells)
        self._anchors = np.concatenate(centres)

    def __call__(self, rgb: np.ndarray, window: Square, least: float) -> list[FaceBox]:
        """Faces in an upright window of the picture, best first; outside the picture is black."""
        picture = window.cut(rgb, self._size, cv2.BORDER_CONSTANT)
        result = self._session.run({"image": picture[None].astype(np.float32)})
        scores = result["scores"][0].astype(np.float64)
        kept = np.flatnonzero(scores >= least)
        values = result["boxes"][0, kept].astype(np.float64).reshape(-1, 8, 2) / self._size
        corner = window.box[:2]
        centre = (values[:, 0] + self._anchors[kept]) * window.side + corner
        half = values[:, 1] * window.side / 2
        eyes = (values[:, 2:4] + self._anchors[kept, None]) * window.side + corner
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return merged([FaceBox(*found) for found in zip(boxes, eyes, scores[kept].tolist())])

    def close(self) -> None:
        self._session.release()


class FaceFinder:
    """Three searches, each for smaller faces at a higher price: short range, full range, full range on tiles."""

    def __init__(self) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._short = BoxNetwork("face_short_range", ((8, 2), (16, 6)))
        self._full = BoxNetwork("face_full_range", ((4, 1),))

    def searches(self, rgb: np.ndarray) -> Iterator[list[FaceBox]]:
        """What each search finds; a search is made when it is asked for."""
        yield self.large(rgb)
        yield self._full(rgb, _whole(rgb), _FULL)
        yield merged([face for tile in tiles(*rgb.shape[:2]) for face in self._full(rgb, tile, _TILE)])

    def searches_for_all(self, rgb: np.ndarray) -> Iterator[list[FaceBox]]:
        """The same, with the first two as one: a large face must not hide a small one."""
        searches = self.searches(rgb)
        short = next(searches)
        yield short + [
            face for face in next(searches) if all(overlap(face.box, other.box) <= _SAME_FACE for other in short)
        ]
        yield from searches

    def large(self, rgb: np.ndarray) -> list[FaceBox]:
        return self._short(rgb, _whole(rgb), _SHORT)

    def near(self, rgb: np.ndarray, crop: Square) -> list[FaceBox]:
        """Faces around a known one."""
        return self._short(rgb, Square(crop.x, crop.y, crop.side * _LOCAL), _SHORT)

    def close(self) -> None:
        self._short.close()
        self._full.close()


def merged(faces: list[FaceBox]) -> list[FaceBox]:
    """Weighted non-maximum suppression: boxes that overlap the best one are averaged with it by their scores."""
    faces = sorted(faces, key=lambda face: -face.score)
    boxes = np.array([face.box for face in faces]).reshape(-1, 4)
    eyes = np.array([face.eyes for face in faces]).reshape(-1, 2, 2)
    scores = np.array([face.score for face in faces])
    kept, left = [], np.arange(len(faces))
    while len(left):
        same = overlap(boxes[left], boxes[left[0]]) > _SAME_FACE
        same[0] = True  # even a box without an area
        group, left = left[same], left[~same]
        share = scores[group] / scores[group].sum()
        kept.append(FaceBox(share @ boxes[group], np.tensordot(share, eyes[group], 1), faces[group[0]].score))
    return kept


def tiles(height: int, width: int) -> list[Square]:
    """Squares of half the shorter side that cover a picture, each overlapping the next by half. In a long picture they
    are larger, so that they are not too many."""
    side = max(min(height, width) / 2, max(height, width) / 8)

    def centres(length: int) -> list[float]:
        count = int(np.ceil(2 * length / side)) - 1
        return np.linspace(side / 2, length - side / 2, count).tolist() if count > 1 else [length / 2]

    return [Square(x, y, side) for y in centres(height) for x in centres(width)]


def _whole(rgb: np.ndarray) -> Square:
    height, width = rgb.shape[:2]
    return Square(width / 2, height / 2, max(height, width))
