"""The face's 478 points: MediaPipe's face mesh with attention (Grishchenko et al. 2020) on a crop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine import runtime
from engine.tracking.crop import Square
from engine.tracking.detector import Observation
from engine.tracking.networks import open_network

DENSE = 468
_PRESENT = 0.5  # the network's own score from which a crop shows a face
_LEFT_EYE, _RIGHT_EYE = 33, 263  # outer corners, as the picture shows them
_THUMBNAIL = 16  # pixels
# Indices of the mesh for the 68 iBUG points; a tuple is averaged.
_IBUG: tuple[tuple[int, ...], ...] = (
    *((127,), (234,), (93, 132), (58,), (172,), (136,), (150,), (176,), (152,)),  # jaw, image left to chin
    *((400,), (379,), (365,), (397,), (288,), (323, 361), (454,), (356,)),  # chin to image right
    *((70,), (63,), (105,), (66,), (107,), (336,), (296,), (334,), (293,), (300,)),  # brows
    *((168,), (6, 197), (195, 5), (4,), (98,), (97,), (2,), (326,), (327,)),  # nose
    *((33,), (160,), (158,), (133,), (153,), (144,), (362,), (385,), (387,), (263,), (373,), (380,)),  # eyes
    *((61,), (40,), (37,), (0,), (267,), (270,), (291,), (321,), (405,), (17,), (181,), (91,)),  # outer lips
    *((78,), (81,), (13,), (311,), (308,), (402,), (14,), (178,)),  # inner lips
)


_IBUG_WEIGHTS = np.zeros((len(_IBUG), DENSE))
for _row, _ids in zip(_IBUG_WEIGHTS, _IBUG):
    _row[list(_ids)] = 1 / len(_ids)


def ibug_from_dense(dense: np.ndarray) -> np.ndarray:
    """(…, 468, D) → (…, 68, D)."""
    return _IBUG_WEIGHTS @ dense


@dataclass(frozen=True)
class Mesh:
    """``points`` (478, 3), pixels: the mesh, then the irises, the subject's right one first. ``appearance`` is what the
    face looks like, a vector of length 1; its product with another's is their likeness, −1…1."""

    points: np.ndarray
    appearance: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        return self.points[:DENSE, :2].mean(axis=0)

    @property
    def box(self) -> np.ndarray:
        """(4,) left, top, right, bottom."""
        plane = self.points[:, :2]
        return np.concatenate([plane.min(axis=0), plane.max(axis=0)])

    @property
    def crop(self) -> Square:
        """In which to look for the face again."""
        box, plane = self.box, self.points[:, :2]
        return Square.around(box[:2], box[2:], plane[_LEFT_EYE], plane[_RIGHT_EYE])

    def observation(self, confidence: float) -> Observation:
        dense, iris = self.points[:DENSE], self.points[DENSE:, :2].reshape(2, 5, 2)[::-1]
        return Observation(ibug_from_dense(dense)[:, :2], dense, iris, confidence)


class MeshNetwork:
    def __init__(self) -> None:
        """Raises EngineError as :func:`engine.runtime.open` does."""
        self._session: runtime.Session = open_network("face_mesh")
        self._size = self._session.inputs["image"][0]

    def __call__(self, rgb: np.ndarray, crop: Square) -> Mesh | None:
        """The face in a crop, None where it shows none."""
        picture = crop.cut(rgb, self._size, cv2.BORDER_REPLICATE)
        result = self._session.run({"image": picture[None].astype(np.float32)})
        if result["presence"][0, 0] < _PRESENT:
            return None
        return Mesh(crop.place(result["points"][0].astype(np.float64), self._size), _appearance(picture))

    def close(self) -> None:
        self._session.release()


def _appearance(picture: np.ndarray) -> np.ndarray:
    """A small picture of the crop's middle, independent of brightness and contrast."""
    edge = len(picture) // 6
    middle = picture[edge:-edge, edge:-edge]
    small = cv2.resize(middle, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float64)
    centred = (small - small.mean()).ravel()
    return centred / max(float(np.linalg.norm(centred)), 1e-9)
