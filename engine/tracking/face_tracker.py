"""Faces followed through a clip, by place and likeness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.tracking.crop import Square, overlap
from engine.tracking.detector import Face, average
from engine.tracking.face_boxes import FaceBox, FaceFinder
from engine.tracking.face_mesh import Mesh, MeshNetwork

_SAME_PLACE = 0.5  # overlap of the boxes of two meshes that show one face
_APART = 0.1  # of a face's diagonal: two meshes of one face whose centres lie further apart are not averaged
_SMALL = 0.25  # of the picture's longer side: smaller crops are of faces that have no precise box in the whole picture
_RECOGNISED = 0.2  # fit from which a face that is found is one that was lost
_DISTANCE = 0.3  # what a fit loses by the distance of a lost face's crop, and at most
_DOUBT = 6  # frames in which a face that came while another is lost may prove to be that one; then it is a new one
_LEARNING = 0.05  # share of a frame in what a followed face looks like


@dataclass(eq=False)
class _Track:
    """One person; ``crop`` is where the next frame is searched, or the last place of a face that is lost."""

    index: int
    crop: Square
    appearance: np.ndarray
    lost: bool = False

    def fit(self, mesh: Mesh) -> float:
        """How well a face that is found answers to the one that is lost: likeness, less if it is elsewhere."""
        away = float(np.linalg.norm(mesh.centre - (self.crop.x, self.crop.y))) / self.crop.side
        return float(self.appearance @ mesh.appearance) - _DISTANCE * min(away, 1.0)

    def follow(self, mesh: Mesh) -> None:
        self.crop, self.lost = mesh.crop, False
        self.appearance = (1 - _LEARNING) * self.appearance + _LEARNING * mesh.appearance


class FaceTracker:
    """A still is the first frame of a clip.

    A face is looked at in the crop that its last landmarks propose and in the box found anew, and the two are averaged:
    their errors differ. The wider searches of :class:`FaceFinder` follow only where nothing is followed or found.

    ``several``: every face is followed, and a lost one keeps its index until it is seen again; as long as one is lost,
    a newcomer is in doubt for a few frames. Otherwise one face is followed, the most prominent at first; when it is
    lost, the face that is most like it in place and looks.
    """

    def __init__(self, finder: FaceFinder, mesh: MeshNetwork, several: bool) -> None:
        self._finder, self._mesh, self._several = finder, mesh, several
        self.restart()

    def restart(self) -> None:
        self._tracks: list[_Track] = []
        self._doubt = 0  # frames since a newcomer came that may be a lost face

    def look(self, rgb: np.ndarray) -> list[Face]:
        """The faces of the next frame, (H, W, 3) uint8, by index."""
        searches = self._finder.searches_for_all(rgb) if self._several else self._finder.searches(rgb)
        boxes = next(searches)
        followed = self._followed(rgb)
        faces = []
        for track, mesh in followed.items():
            box = _box_of(mesh.centre, mesh.box, self._precise(rgb, mesh.crop, boxes))
            again = self._mesh(rgb, box.crop) if box is not None else None
            faces.append(_face(track, mesh, again, box))
            track.follow(mesh)
        if self._several or not followed:
            found = self._found(rgb, boxes, list(followed.values()))
            while not followed and not found and (boxes := next(searches, None)) is not None:
                found = self._found(rgb, boxes, [])
            faces += [_face(track, mesh, None, box) for track, mesh, box in self._named(found)]
        return sorted(faces, key=lambda face: face.index)

    def _followed(self, rgb: np.ndarray) -> dict[_Track, Mesh]:
        """The faces that are still where their crops are; of two crops on one face the one that it is more like."""
        seen: dict[_Track, Mesh] = {}
        for track in self._tracks:
            mesh = None if track.lost else self._mesh(rgb, track.crop)
            track.lost = mesh is None
            if mesh is not None:
                seen[track] = mesh
        best_first = sorted(seen, key=lambda track: -float(track.appearance @ seen[track].appearance))
        kept: dict[_Track, Mesh] = {}
        for track in best_first:
            track.lost = any(overlap(seen[track].box, mesh.box) > _SAME_PLACE for mesh in kept.values())
            if not track.lost:
                kept[track] = seen[track]
        return kept

    def _found(self, rgb: np.ndarray, boxes: list[FaceBox], known: list[Mesh]) -> list[tuple[Mesh, FaceBox]]:
        """Faces in the boxes, most prominent first, without those that are known."""
        found: list[tuple[Mesh, FaceBox]] = []
        for box in sorted(boxes, key=lambda box: -box.prominence):
            if any(_inside(mesh.centre, box.box) for mesh in known):
                continue
            precise = self._precise(rgb, box.crop, [box])
            box = _box_of((box.box[:2] + box.box[2:]) / 2, box.box, precise) or box
            mesh = self._mesh(rgb, box.crop)
            if mesh is not None and all(overlap(mesh.box, other.box) <= _SAME_PLACE for other in known):
                found.append((mesh, box))
                known = [*known, mesh]
        return found

    def _precise(self, rgb: np.ndarray, crop: Square, boxes: list[FaceBox]) -> list[FaceBox]:
        """``boxes``, or those around a face that is small in the picture."""
        small = crop.side < _SMALL * max(rgb.shape[:2])
        return (self._finder.near(rgb, crop) if small else []) or boxes

    def _named(self, found: list[tuple[Mesh, FaceBox]]) -> Iterator[tuple[_Track, Mesh, FaceBox]]:
        """Faces with the track that was lost, best fit first, or a new one; without those in doubt."""
        lost = [track for track in self._tracks if track.lost]
        pairs = [(track.fit(mesh), i, track) for i, (mesh, _) in enumerate(found) for track in lost]
        names: dict[int, _Track] = {}
        for fit, i, track in sorted(pairs, key=lambda pair: -pair[0]):
            if i not in names and track.lost and (fit > _RECOGNISED or not self._several):
                names[i] = track
                track.follow(found[i][0])
        still_lost = any(track.lost for track in self._tracks)
        self._doubt = self._doubt + 1 if still_lost and len(names) < len(found) else 0
        certain = not still_lost or self._doubt > _DOUBT
        for i, (mesh, box) in enumerate(found):
            if i not in names and (self._several and certain or not self._tracks):
                names[i] = _Track(len(self._tracks), mesh.crop, mesh.appearance)
                self._tracks.append(names[i])
            if i in names:
                yield names[i], mesh, box


def _face(track: _Track, mesh: Mesh, again: Mesh | None, box: FaceBox | None) -> Face:
    """``again``: the same face in the crop of its box."""
    seen = mesh.observation(box.score if box is not None else 0.0)
    if again is not None and np.linalg.norm(mesh.centre - again.centre) < _APART * seen.diagonal:
        seen = average([seen, again.observation(seen.confidence)]) or seen
    return Face(track.index, mesh.box, seen)


def _box_of(centre: np.ndarray, extent: np.ndarray, boxes: list[FaceBox]) -> FaceBox | None:
    """Of the boxes that hold a face's centre the one that fits its ``extent`` (4,) best."""
    around = [box for box in boxes if _inside(centre, box.box)]
    return max(around, key=lambda box: overlap(box.box, extent), default=None)


def _inside(point: np.ndarray, box: np.ndarray) -> bool:
    return bool((box[:2] < point).all() and (point < box[2:]).all())
