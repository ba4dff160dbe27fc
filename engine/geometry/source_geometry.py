"""The portrait's head: the fit, corrected to the picture, and which of its surface the picture shows."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from engine.face.anatomy import anatomy
from engine.face.fitting import INNER_LIPS, LIDS_LEFT, LIDS_RIGHT
from engine.face.gaze import EYES, eyeball, lid_offsets
from engine.face.lids import Lids
from engine.face.maths import look, smoothstep
from engine.face.subject import FaceFit
from engine.raster.opencv import depth_image

_WORK_SIDE = 384  # px, enough for visibility and matte tests
_HIDDEN_FACING = 0.22  # cosine to the viewer below which texture is too oblique to use
_RIM = 0.004  # of the face's diagonal: how far outside an opening its skin begins
_HAIR = 0.1  # of the face's diagonal: from the skull's outline into the hair
_SPREAD = 200  # neighbour averages of the silhouette's pull over the back of the head
_GUM_SHOWS = 0.1  # nominal cm
_TEETH_FOLLOW = 0.7  # of the way to where no more gum shows
_SMILES = "mouthSmile_L", "mouthSmile_R"
_SMILE, _GRIN = 0.25, 0.5  # mean weights of a smile at which it begins to pull the chin down, and does so fully
_CLENCHED, _OPEN = 0.35, 0.75  # nominal cm: a grin lowers the chin by less without the jaw, by more only with it
_SETTLE = 60  # neighbour averages of the extrapolated coordinates


class SourceGeometry:
    """A portrait's head in its own frame, with the portrait's pixel for every vertex.

    ``vertices`` (N, 3) cm; ``pixels`` (N, 2) where each vertex truly lies in the portrait and ``filled`` (N, 2) where
    to look instead if the portrait hides it; ``hidden_hard`` and ``hidden_soft`` (N,) weights of hiding: once the
    head has turned a little, and only once it has turned far.
    """

    def __init__(self, face: FaceFit, matte: np.ndarray | None) -> None:
        self.face, self.camera = face, face.camera
        self.dense = face.observation.dense is not None
        self.anatomy = anatomy(face.model, self.dense)
        self.diagonal = face.observation.diagonal
        self._eye_shift = lid_offsets(face.offsets, self.dense)
        self._upper_teeth = face.model.vertices_of("teeth_upper")
        self._smiles = [face.model.expression_index(n) for n in _SMILES if n in face.model.expression_names]
        self._eye_vertices = [face.model.vertices_of(name) for name in EYES]
        self.correction = self.anatomy.spread(face.offsets)
        self._lids = Lids(face.model, face.model.deform(face.neutral, face.expression) + self.correction)
        self._scale = _WORK_SIDE / max(self.camera.width, self.camera.height)
        self._inside = None if matte is None else _Inside(matte, self._scale)
        if self._inside is not None:
            self._shrink_into_matte(self._inside)
        self.settle()

    def correct(self, offset: np.ndarray) -> None:
        """Add ``offset`` (N, 3) cm to every head that is placed from now on; :meth:`settle` when all is corrected."""
        self.correction = self.correction + offset

    def settle(self) -> None:
        """Find anew where the corrected head lies in the portrait, and what of it the portrait hides."""
        self.vertices = self.as_portrayed()
        camera_points = self.face.pose.apply(self.vertices)
        self.pixels, self.depth = self.camera.project(camera_points)
        self._keep_skin_off_openings()
        self._find_hidden(camera_points)

    def place(
        self, neutral: np.ndarray, expression: np.ndarray, gaze_turn: np.ndarray, offsets: np.ndarray | None = None
    ) -> np.ndarray:
        """(N, 3): a ``neutral`` head (N, 3) cm with an ``expression`` (E,), the portrait's corrections, landmark
        ``offsets``, turned eyes, and lids that meet.

        ``gaze_turn`` (2, 2) radians of pitch and yaw away from the portrait's own gaze.
        """
        head = self.face.model.deform(neutral, expression)
        placed = head + self.correction
        if offsets is not None:
            placed += self.anatomy.spread(offsets)
        for k, name in enumerate(EYES):
            ids = self._eye_vertices[k]
            centre, _ = eyeball(self.face.model, head, name)
            turned = (head[ids] - centre) @ look(*gaze_turn[k]).T + centre
            placed[ids] = turned + self._eye_shift[k]
        self._lids.meet(placed, expression)
        self._seat_teeth(placed, neutral, expression)
        return placed

    def as_portrayed(self) -> np.ndarray:
        """The head as it lies in the portrait, (N, 3) cm in its own frame."""
        return self.place(self.face.neutral, self.face.expression, np.zeros((2, 2)))

    def _seat_teeth(self, placed: np.ndarray, neutral: np.ndarray, expression: np.ndarray) -> None:
        """Move the teeth to fit this person's lips and chin: little gum in a smile, and the right gap between the rows.

        In a picture only the chin tells parted lips from a dropped jaw, and its landmark is noisy, so the lower row
        follows half the fitted jaw and half the chin. A grin pulls the chin down, which the fit takes for the jaw:
        until the chin has dropped further, the rows meet.
        """
        anatomy, marks = self.anatomy, self.face.model.landmarks68
        gum = float(marks.at(placed)[62, 1] - placed[self._upper_teeth, 1].max()) - _GUM_SHOWS * anatomy.unit
        placed[anatomy.upper_jaw, 1] += _TEETH_FOLLOW * max(0.0, gum)
        by_chin = min(0.0, float((marks.at(placed) - marks.at(neutral + self.correction))[8, 1]))
        by_jaw = float((placed - neutral)[anatomy.lower_jaw, 1].mean())
        grins = smoothstep((expression[self._smiles].mean() - _SMILE) / (_GRIN - _SMILE)) if self._smiles else 0.0
        drops = smoothstep(np.asarray((-by_chin / anatomy.unit - _CLENCHED) / (_OPEN - _CLENCHED)))
        opens = (by_chin + by_jaw) / 2 * (1 - grins * (1 - drops))
        placed[anatomy.lower_jaw, 1] += _TEETH_FOLLOW * max(0.0, gum) + opens - by_jaw

    def _shrink_into_matte(self, inside: _Inside) -> None:
        """Pull the silhouette into the person's matte; otherwise background shows between cheek and ear.

        The pull is extended harmonically over the back of the head, which comes into view when the head turns.
        """
        face, anatomy = self.face, self.anatomy
        region = anatomy.skin & (anatomy.height > -1.5)
        pinned = anatomy.face_weight > 0.5
        for _ in range(2):
            pixels, depth = self.camera.project(face.pose.apply(self.as_portrayed()))
            offset = inside.nearest_edge(pixels) - pixels
            offset[~region] = 0
            outside = np.abs(offset).sum(axis=1) > 0
            spread = np.clip(self.camera.lift(offset, depth) @ face.pose.rotation, -3, 3).astype(np.float32)
            anatomy.continue_harmonically(spread, outside, pinned, _SPREAD)
            self.correction = self.correction + spread

    def _keep_skin_off_openings(self) -> None:
        """Move the pixels of lid and lip rims that fall inside the observed eyes or mouth to the margin of these.

        Otherwise a closing lid drags a slice of eyeball along, and closed lips keep a row of teeth.
        """
        seen = self.face.observation.dense
        if seen is None:
            return
        rims = np.flatnonzero(self.anatomy.skin & self.anatomy.delicate)
        for outline in (LIDS_LEFT, LIDS_RIGHT, INNER_LIPS):
            polygon = seen[list(outline), :2]
            self.pixels[rims] = push_out(self.pixels[rims], polygon, _RIM * self.diagonal)

    def _find_hidden(self, camera_points: np.ndarray) -> None:
        anatomy, scale = self.anatomy, self._scale
        toward = -camera_points / np.linalg.norm(camera_points, axis=1, keepdims=True)
        facing = (anatomy.normals(camera_points) * toward).sum(axis=1)
        shape = (int(self.camera.height * scale) + 1, int(self.camera.width * scale) + 1)
        front = cv2.erode(
            depth_image(self.pixels * scale, self.depth, anatomy.skin_triangles, shape), np.ones((3, 3), np.uint8)
        )
        at = np.clip((self.pixels * scale).astype(int), 0, [shape[1] - 1, shape[0] - 1])
        occluded = self.depth > front[at[:, 1], at[:, 0]] + 0.6
        candidates = anatomy.skin & ~anatomy.delicate
        hidden = candidates & ((facing < _HIDDEN_FACING) | occluded)
        hard = hidden & ((facing < 0) | occluded)
        self.hidden_hard = hard.astype(np.float32)
        self.hidden_soft = (hidden & ~hard).astype(np.float32)
        self.filled = self.pixels.copy()
        visible = anatomy.skin & ~hidden & (anatomy.height > -11.5)
        if hidden.any() and visible.any():
            self._continue_pixels(hidden, np.flatnonzero(visible))

    def _continue_pixels(self, hidden: np.ndarray, visible: np.ndarray) -> None:
        """Extrapolate pixels for hidden vertices from visible neighbours, outward into hair, inside the person."""
        target = self._near(hidden, visible)
        crown = visible[self.anatomy.crown[visible]]
        scalp = self.anatomy.scalp[hidden]
        if len(crown) and scalp.any():
            # Look up hair and not the temple's skin: from the visible crown, outward, since hair adds to the skull.
            target[scalp] = self._near(np.flatnonzero(hidden)[scalp], crown)
            centre = self.face.observation.landmarks68.mean(axis=0)
            outward = target - centre
            outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9
            target += _HAIR * self.diagonal * scalp[:, None] * outward
        if self._inside is not None:
            target = self._inside.nearest_deep(target)
        self.filled[hidden] = target
        average = self.anatomy.neighbours[hidden]
        for _ in range(_SETTLE):
            self.filled[hidden] = 0.03 * target + 0.97 * (average @ self.filled)

    def _near(self, wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Mean portrait pixel of the ``known`` vertices nearest to each ``wanted`` one on the mean head."""
        mean = self.face.model.vertices
        distance, nearest = cKDTree(mean[known]).query(mean[wanted], k=min(6, len(known)))
        distance, nearest = distance.reshape(len(distance), -1), nearest.reshape(len(nearest), -1)
        weight = 1 / (distance + 0.3) ** 2
        weight /= weight.sum(axis=1, keepdims=True)
        return (self.pixels[known][nearest] * weight[..., None]).sum(axis=1)


class _Inside:
    """Nearest-pixel lookups into the person's matte at working size."""

    def __init__(self, matte: np.ndarray, scale: float) -> None:
        self._scale = scale
        small = cv2.resize(matte, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._person = small > 0.6
        deep = cv2.erode(self._person.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
        if not deep.any():
            self._person = deep = np.ones_like(self._person)
        self._to_edge = distance_transform_edt(~self._person, return_distances=False, return_indices=True)
        self._to_deep = distance_transform_edt(~deep, return_distances=False, return_indices=True)

    def nearest_edge(self, pixels: np.ndarray) -> np.ndarray:
        """``pixels`` (N, 2), those outside the person moved to its nearest pixel."""
        return self._look_up(pixels, self._to_edge)

    def nearest_deep(self, pixels: np.ndarray) -> np.ndarray:
        """``pixels`` (N, 2), those not well inside the person moved to the nearest that is."""
        return self._look_up(pixels, self._to_deep)

    def _look_up(self, pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
        height, width = self._person.shape
        at = np.clip((pixels * self._scale).astype(int), 0, [width - 1, height - 1])
        row, column = table[:, at[:, 1], at[:, 0]]
        moved = np.stack([column + 0.5, row + 0.5], axis=1) / self._scale
        same = (row == at[:, 1]) & (column == at[:, 0])
        return np.where(same[:, None], pixels, moved)


def push_out(points: np.ndarray, polygon: np.ndarray, margin: float) -> np.ndarray:
    """``points`` (n, 2) inside ``polygon`` (m, 2) moved to its nearest edge and ``margin`` beyond; others unchanged."""
    start, edge = polygon, np.roll(polygon, -1, axis=0) - polygon
    along = ((points[:, None] - start) * edge).sum(axis=2) / np.maximum((edge**2).sum(axis=1), 1e-9)
    nearest = start + np.clip(along, 0, 1)[..., None] * edge
    away = nearest - points[:, None]
    distance = np.linalg.norm(away, axis=2)
    best = distance.argmin(axis=1)
    rows = np.arange(len(points))
    crosses = (polygon[:, 1] > points[:, 1:]) != (np.roll(polygon[:, 1], -1) > points[:, 1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = start[:, 0] + (points[:, 1:] - start[:, 1]) / edge[:, 1] * edge[:, 0]
    inside = (crosses & (points[:, :1] < at)).sum(axis=1) % 2 == 1
    outward = away[rows, best] / np.maximum(distance[rows, best], 1e-9)[:, None]
    return np.where(inside[:, None], nearest[rows, best] + margin * outward, points)


def turn_weight(angle: float, full: float = 0.5) -> float:
    """0…1: how far the head counts as turned at ``angle`` radians out of plane; 1 from ``full`` on."""
    return float(smoothstep(np.asarray(angle / full)))
