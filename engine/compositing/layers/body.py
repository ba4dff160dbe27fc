"""What lies under the head: the neck continued under the jaw, the collar, hair that hangs behind, the background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.compositing.layers.fill import ellipse, push_pull, reflect_detail
from engine.compositing.layers.head_mask import FRINGE
from engine.compositing.layers.relief import Relief
from engine.face.maths import smoothstep
from engine.geometry.flow import FlowBuilder
from engine.raster.opencv import rasterise

_SKIN = 22.0  # distance in Lab's a and b within which a colour is this person's skin
_SHADE = 0.3  # how much the jaw darkens the neck under it
_INPAINT_SIDE = 256  # px of the longer side


@dataclass(frozen=True)
class Body:
    """The person without the head, at flow resolution.

    ``colour`` (h, w, 3) float32 and ``alpha`` (h, w) 0…1 hold inside the ``hole`` (h, w) bool that the head leaves;
    ``feather`` (h, w) is 1 on the head and falls to 0 across the hole's margin; ``stretch`` (h, w) 0…1 where neck skin
    follows a jaw that rises; ``skin_distance`` (h, w) how far each colour is from the cheeks'.
    """

    colour: np.ndarray
    alpha: np.ndarray
    hole: np.ndarray
    feather: np.ndarray
    stretch: np.ndarray
    skin_distance: np.ndarray


def body(build: FlowBuilder, rgb: np.ndarray, matte: np.ndarray, head: np.ndarray, relief: Relief) -> Body:
    """The body of a portrait ``rgb`` (h, w, 3) uint8 with its ``matte`` and ``head`` mask (h, w)."""
    return _BodyBuilder(build, rgb, matte, head, relief).build()


class _BodyBuilder:
    def __init__(
        self, build: FlowBuilder, rgb: np.ndarray, matte: np.ndarray, head: np.ndarray, relief: Relief
    ) -> None:
        self._flow, self._rgb, self._matte, self._head, self._relief = build, rgb, matte, head, relief
        self._diagonal = relief.diagonal
        self._columns = np.indices(head.shape)[1]
        lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
        inner = cv2.erode(relief.core.astype(np.uint8), ellipse(0.05 * self._diagonal)) > 0
        cheeks = (relief.height > 2) & (relief.height < 10) & inner
        self._lab, self._skin = lab, np.median(lab[cheeks], axis=0) if cheeks.any() else lab.mean(axis=(0, 1))
        self._skin_distance = np.hypot(lab[..., 1] - self._skin[1], lab[..., 2] - self._skin[2])

    def build(self) -> Body:
        hole, feather, margin = self._hole()
        is_skin = self._skin_distance < _SKIN
        seen_skin = self._relief.neck & ~hole & (self._matte > 0.9) & is_skin
        neck = self._neck(hole, seen_skin)
        near_neck = np.maximum(neck, (self._relief.neck & is_skin).astype(np.float32))
        near_neck = np.minimum(1, 1.5 * cv2.GaussianBlur(near_neck, (0, 0), 0.02 * self._diagonal))
        alpha = self._alpha(hole, neck)
        colour = self._surroundings(hole)
        bright = self._lab[..., 0] > 0.3 * self._skin[0]
        known_neck = seen_skin & bright
        neck_soft = cv2.GaussianBlur(neck, (0, 0), 2)
        if known_neck.sum() > 60:
            shade = 1 - _SHADE * smoothstep(_depth(hole) / (0.15 * self._diagonal))  # the jaw's
            skin = push_pull(self._rgb, known_neck.astype(np.float32)) * shade[..., None]
            colour = _mixed(colour, skin, neck_soft * hole)
        hair, hair_alpha = self._hair_behind()
        if hair is not None:
            skin_near = cv2.dilate(seen_skin.astype(np.uint8), ellipse(0.02 * self._diagonal)).astype(np.float32)
            in_front = np.clip(2 * np.maximum(neck_soft, cv2.GaussianBlur(skin_near, (0, 0), 1.5)), 0, 1)
            colour = _mixed(colour, hair, hair_alpha * (1 - in_front))
            alpha = np.maximum(alpha, hair_alpha * hole)
        detailed = known_neck if known_neck.sum() > 60 else ~hole & (self._matte > 0.95)
        colour = np.clip(reflect_detail(colour, self._rgb.astype(np.float32), detailed, hole), 0, 255)
        alpha = np.clip(alpha, 0, 1).astype(np.float32)
        outside = (self._matte < 0.05) & ~margin
        alpha = np.where(outside, np.minimum(alpha, self._matte), alpha).astype(np.float32)
        air = (self._matte < 0.05) & (_depth(~self._head) < 0.05 * self._diagonal)
        stretch = smoothstep((self._relief.height + 6.5) / 6.0) * near_neck
        return Body(colour, alpha, hole | air, feather, stretch.astype(np.float32), self._skin_distance)

    def _hole(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The head with its margin, the head's feathered weight, and the head with its margin over cloth too."""
        height, outside = self._relief.height, _depth(~self._head)
        low = smoothstep((2 - height) / 2) * (np.abs(height) < 6)
        band = 0.006 * self._diagonal + 1 + FRINGE * self._diagonal * low
        feather = 1 - smoothstep(outside / band)
        margin = outside < band + 1
        cloth = (outside > 1.5) & (self._skin_distance > 20) & (height < 4) & (self._matte > 0.5)
        feather = np.where(cloth, np.minimum(feather, 1 - smoothstep(outside / 2.5)), feather)
        return margin & (~cloth | (outside < 2.5)), feather.astype(np.float32), margin

    def _neck(self, hole: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """(h, w) float32: the mesh's neck as wide as its skin is seen, continued upward under the jaw."""
        source, shape = self._flow.source, self._head.shape
        anatomy = source.anatomy
        low = anatomy.skin & (anatomy.height < -0.5) & (anatomy.height > -9)
        triangles = anatomy.skin_triangles[low[anatomy.skin_triangles].all(axis=1)]
        drawn = rasterise((source.pixels * self._flow.scale).astype(np.float32), source.depth, triangles, shape)
        neck = drawn.image(np.ones(len(drawn.pixel), np.float32)) > 0
        neck = cv2.morphologyEx(neck.astype(np.uint8), cv2.MORPH_CLOSE, ellipse(6)) > 0
        rows = np.flatnonzero(neck.any(axis=1))
        if not len(rows):
            return neck.astype(np.float32)
        extent = self._neck_extent(seen)
        if extent is None:
            row = int(rows[len(rows) // 3])
            columns = np.flatnonzero(neck[row])
            left, right = float(columns[0]), float(columns[-1])
        else:
            row, left, right = extent
            neck &= (self._columns >= left) & (self._columns <= right)
        top = max(0, row - int(0.35 * self._diagonal))
        neck[top : row + 1, max(0, int(left)) : int(right) + 1] = True
        return neck.astype(np.float32)

    def _neck_extent(self, seen: np.ndarray) -> tuple[int, float, float] | None:
        """A row below the jaw and how far the neck reaches there to the left and right; None where too little shows."""
        rows = np.flatnonzero(seen.sum(axis=1) > 0.12 * self._diagonal)
        if len(rows) <= 4:
            return None
        band = seen[rows[0] : rows[0] + max(4, int(0.3 * self._diagonal))]
        ends = [
            (columns[0], columns[-1], k)
            for k, columns in enumerate(map(np.flatnonzero, band))
            if len(columns) > 0.1 * self._diagonal
        ]
        widths = np.argsort([right - left for left, right, _ in ends])
        left, right, k = ends[int(widths[len(widths) // 5])]
        row = min(int(rows[0] + max(k, int(0.05 * self._diagonal))), len(seen) - 1)
        step = int(0.04 * self._diagonal)
        hair = self._hair_colour()
        return row, left - self._goes_on(row, left - step, hair), right + self._goes_on(row, right + step, hair)

    def _goes_on(self, row: int, column: int, hair: np.ndarray | None) -> float:
        """How much wider than it shows the neck is: behind cloth, a little behind hair, not before the background."""
        column = int(np.clip(column, 0, self._head.shape[1] - 1))
        around = self._lab[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].mean(axis=(0, 1))
        is_hair = hair is not None and np.linalg.norm(around - hair) < 28
        if self._matte[row, column] < 0.5 or is_hair:
            return 0.0
        return (0.03 if self._head[row, column] else 0.06) * self._diagonal

    def _hair_colour(self) -> np.ndarray | None:
        crown = self._head & (self._relief.height > 13) & ~self._relief.core & (self._matte > 0.9)
        return np.median(self._lab[crown], axis=0) if crown.sum() > 50 else None

    def _alpha(self, hole: np.ndarray, neck: np.ndarray) -> np.ndarray:
        """(h, w): how surely there is body under the head."""
        height, matte = self._relief.height, self._matte
        alpha = push_pull(matte, (~hole).astype(np.float32))
        near_body = _depth(hole | (matte < 0.5)) / self._diagonal
        low = np.maximum(smoothstep((4.5 - height) / 1.0), np.exp(-((near_body / 0.1) ** 2)))
        alpha = smoothstep((alpha - 0.45) / 0.2) * low
        alpha = np.maximum(alpha, cv2.GaussianBlur(neck, (0, 0), 1.5) * hole)
        solid = np.maximum(np.where(hole, alpha, matte), 0).astype(np.float32)
        closed = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, ellipse(0.05 * self._diagonal))
        return np.where(hole & (height < 3), np.maximum(alpha, closed), alpha)

    def _surroundings(self, hole: np.ndarray) -> np.ndarray:
        """(h, w, 3) float32: the body's colours continued into the hole (Telea 2004, then push–pull)."""
        shape = self._head.shape
        scale = min(1.0, _INPAINT_SIDE / max(shape))
        small = cv2.resize(self._rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        known = (~hole & (self._matte > 0.95)).astype(np.float32)
        known = cv2.resize(known, small.shape[1::-1], interpolation=cv2.INTER_AREA)
        known = cv2.erode(known, np.ones((3, 3), np.uint8)) > 0.95
        filled = push_pull(small, known.astype(np.float32))
        if known.any():
            wide = cv2.dilate(known.astype(np.uint8), ellipse(60)) > 0
            picture = np.where(known[..., None], small, np.clip(filled, 0, 255).astype(np.uint8))
            inpainted = cv2.inpaint(picture, (~known & wide).astype(np.uint8), 4, cv2.INPAINT_TELEA)
            filled = np.where(wide[..., None], inpainted, filled)
        return cv2.resize(filled.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)

    def _hair_behind(self) -> tuple[np.ndarray | None, np.ndarray]:
        """Hair that hangs beside jaw and neck goes on behind them: its colour, and where (h, w) 0…1."""
        core, height, matte = self._relief.core.astype(np.uint8), self._relief.height, self._matte
        unlike = np.maximum(self._skin_distance / 14, np.abs(self._lab[..., 0] - self._skin[0]) / 45)
        beside = cv2.dilate(core, ellipse(0.02 * self._diagonal)) == 0
        hair = self._head & beside & (matte > 0.9) & (unlike > 1) & (height > -7) & (height < 6)
        hair = cv2.morphologyEx(hair.astype(np.uint8), cv2.MORPH_OPEN, ellipse(0.012 * self._diagonal)) > 0
        behind = np.zeros(matte.shape, np.float32)
        if hair.sum() < 150:
            return None, behind
        columns = np.flatnonzero(core.any(axis=0))
        middle = int((columns[0] + columns[-1]) / 2)
        for side in (self._columns < middle, self._columns >= middle):
            here = hair & side
            for row in np.flatnonzero(here.sum(axis=1) > 0.05 * self._diagonal):
                at = np.flatnonzero(here[row])
                left, right = (at[0], middle) if at[0] < middle else (middle, at[-1])
                behind[row, left : right + 1] = 1
        behind *= cv2.dilate(core, ellipse(0.2 * self._diagonal))
        near = hair & (_depth(core == 0) < 0.3 * self._diagonal)
        colour = push_pull(self._rgb, (near if near.sum() > 100 else hair).astype(np.float32))
        return 0.85 * colour, np.clip(cv2.GaussianBlur(behind, (0, 0), 2), 0, 1)


def _depth(mask: np.ndarray) -> np.ndarray:
    """Of each pixel in the mask the distance to the nearest outside it."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)


def _mixed(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    return below + share[..., None] * (above - below)
