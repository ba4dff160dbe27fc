"""Eyes: the portrait's own iris on a plate with synthetic sclera, turned with the gaze, shaded by the lids."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.inset import Inset, blend, rim_light
from engine.face.fitting import LIDS_LEFT, LIDS_RIGHT
from engine.face.maths import smoothstep
from engine.geometry.flow import GeometryFlow
from engine.geometry.source_geometry import SourceGeometry
from engine.tracking.detector import Observation

_LIDS_REST, _GAZE_RESTS = 0.1, 0.12  # nominal cm and radians over which the plate replaces the portrait's own eye
_SHADOW = 0.35  # how much the upper lid darkens the eyeball right below it
_SHADOW_REACH = 0.022  # of the face's diagonal


class Eyes:
    """Paints eyeball and socket fragments over a warped frame.

    The lids' shadow is removed from the plate and added where the lids are now. Near rest the portrait's own pixels
    show, with their lashes; the plate replaces them as lids or gaze move.
    """

    def __init__(self, rgb: np.ndarray, source: SourceGeometry) -> None:
        self._rgb, self._source = rgb, source
        self._lids_at_rest = self._lid_gaps(source.vertices)
        parts = source.face.model.parts
        self._parts = [parts[n] for n in ("eye_left", "eye_right", "socket") if n in parts]
        self._sockets = parts.get("socket", -1)
        self._reach = _SHADOW_REACH * source.diagonal
        self.plate = _eye_plate(rgb, source.face.observation, source.diagonal, self._reach)

    def paint(self, frame: np.ndarray, flow: GeometryFlow, vertices: np.ndarray, gaze_turn: np.ndarray) -> None:
        """Draw both eyes into ``frame`` (H, W, 3) float32, in place.

        ``vertices`` (N, 3) in the head's frame, ``gaze_turn`` (2, 2) radians away from the portrait's gaze.
        """
        moved = (self._lid_gaps(vertices) - self._lids_at_rest) / _LIDS_REST
        turned = np.linalg.norm(gaze_turn, axis=1) / _GAZE_RESTS
        rest = np.exp(-(moved**2) - turned**2)
        centre = flow.vertices[self._source.anatomy.skin, 0].mean()
        eyes = np.isin(flow.fragment_part, self._parts)
        for side, own in ((flow.fragments.columns >= centre, rest[0]), (flow.fragments.columns < centre, rest[1])):
            inset = Inset.around(flow, eyes & side)
            if inset is not None:
                self._paint_one(frame, flow, inset, float(own))

    def _lid_gaps(self, vertices: np.ndarray) -> np.ndarray:
        """Opening of the left and right eye, nominal cm."""
        marks = self._source.face.model.landmarks68.at(vertices)
        gaps = [np.linalg.norm(marks[a] - marks[b]) for a, b in ((43, 47), (38, 40))]
        return np.array(gaps) / self._source.anatomy.unit

    def _paint_one(self, frame: np.ndarray, flow: GeometryFlow, inset: Inset, own: float) -> None:
        size = frame.shape[:2]
        mask = inset.mask()
        where, coordinates = inset.full(inset.image(flow.fragment_source[inset.chosen]), size)
        x, y = coordinates[..., 0] - 0.5, coordinates[..., 1] - 0.5
        plate = cv2.remap(self.plate, x, y, cv2.INTER_CUBIC)
        portrait = cv2.remap(self._rgb, x, y, cv2.INTER_CUBIC).astype(np.float32)
        _, light = inset.full(rim_light(mask, self._reach * flow.scale, _SHADOW), size)
        _, soft = inset.full(cv2.GaussianBlur(mask, (0, 0), 0.7), size)
        blend(frame, where, own * portrait + (1 - own) * plate * light[..., None], soft)


def _eye_plate(rgb: np.ndarray, seen: Observation, diagonal: float, reach: float) -> np.ndarray:
    """The portrait, float32, with each eye extended beyond its lids by a synthetic eyeball, without lid shadow."""
    plate = rgb.astype(np.float32)
    if seen.dense is None or seen.iris is None:
        return plate
    for lids, iris in ((LIDS_LEFT, seen.iris[0]), (LIDS_RIGHT, seen.iris[1])):
        outline = seen.dense[list(lids), :2]
        low = np.maximum((outline.min(axis=0) - 0.12 * diagonal).astype(int), 0)
        high = np.minimum((outline.max(axis=0) + 0.12 * diagonal).astype(int), rgb.shape[1::-1])
        if (high - low).min() > 2:
            box = np.s_[low[1] : high[1], low[0] : high[0]]
            plate[box] = _complete_eye(plate[box], outline - low, iris - low, diagonal, reach)
    return plate


def _complete_eye(crop: np.ndarray, outline: np.ndarray, iris: np.ndarray, diagonal: float, reach: float) -> np.ndarray:
    opening = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(opening, [np.round(outline * 16 - 8).astype(np.int32)], 1, shift=4)
    margin = max(1, int(0.012 * diagonal))
    inside = cv2.erode(opening, np.ones((2 * (margin // 2) + 1,) * 2, np.uint8))
    light = rim_light(opening.astype(np.float32), reach, _SHADOW)[..., None]
    crop = np.clip(crop / light, 0, 255)
    radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
    rows, columns = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]]
    away = np.hypot(columns + 0.5 - iris[0, 0], rows + 0.5 - iris[0, 1])
    open_pixels = inside > 0
    sclera = _bright_median(crop[open_pixels & (away > 1.15 * radius)], default=(168, 164, 160))
    ring = crop[open_pixels & (away < 0.9 * radius) & (away > 0.45 * radius)]
    colour = np.median(ring, axis=0) if len(ring) > 8 else np.array([60.0, 50.0, 40.0])
    pupil = crop[open_pixels & (away < 0.4 * radius)]
    dark = np.percentile(pupil, 20, axis=0) if len(pupil) > 3 else 0.4 * colour
    is_iris = smoothstep((radius - away) / (0.12 * radius) + 0.5)[..., None]
    is_pupil = smoothstep((0.42 * radius - away) / (0.1 * radius) + 0.5)[..., None]
    synthetic = 0.92 * sclera * (1 - is_iris) + (colour * (1 - is_pupil) + dark * is_pupil) * is_iris
    trust = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), max(0.7, 0.5 * margin))[..., None]
    return crop * trust + synthetic * (1 - trust)


def _bright_median(pixels: np.ndarray, default: tuple[int, int, int]) -> np.ndarray:
    """Median of the brighter half (N, 3): sclera rather than lashes."""
    if len(pixels) <= 12:
        return np.array(default, np.float32)
    brightness = pixels.sum(axis=1)
    return np.median(pixels[brightness >= np.median(brightness)], axis=0)
