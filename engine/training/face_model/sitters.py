"""Textured heads of the first source, with our eyes and teeth, for the detector to look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.training.face_model import anatomy, render
from engine.training.face_model.assets import SURFACE_PARTS, AnnotatedHead, Skins
from engine.training.face_model.correspondence import Albedo, Sitting
from engine.training.face_model.topology import PARTS, Topology

OPEN_MOUTH = {
    "jawOpen": 0.35,
    "mouthLowerDown_L": 0.3,
    "mouthLowerDown_R": 0.3,
    "mouthUpperUp_L": 0.3,
    "mouthUpperUp_R": 0.3,
}
_PART_COLOURS = {
    "gums": (190, 100, 100),
    "teeth_upper": (225, 215, 195),
    "teeth_lower": (215, 205, 185),
    "tongue": (170, 75, 75),
}
_CAVITY = (70, 25, 25)
IDENTITY_SPREAD = 0.7  # smaller than the population's: medians need plausible faces


class Sitters:
    """Renders the source's sheet, on which textures are known, and our own pieces together."""

    def __init__(self, head: AnnotatedHead, skins: Skins, topology: Topology) -> None:
        self._head, self._skins, self._topology = head, skins, topology
        chosen = np.isin(head.triangle_part, SURFACE_PARTS)
        self._uv = head.uv[head.uv_triangles[chosen]]
        self._part = head.triangle_part[chosen]
        self._source_count = len(head.vertices)
        sheet = topology.sheet.operator.shape[0]
        loose = (topology.triangles >= sheet).all(axis=1)
        self._loose_part = topology.triangle_part[loose]
        self.triangles = np.concatenate([head.triangles[chosen], topology.triangles[loose] + self._source_count])
        self.skin = np.concatenate([self._part == "skin", np.zeros(loose.sum(), bool)])
        self._identity = np.concatenate([head.identity, topology.carry(head, head.identity, True)], axis=1)
        moved = topology.carry(head, head.expression, False)
        self._expression = np.concatenate([head.expression, moved], axis=1)
        self.mean = np.concatenate([head.vertices, topology.vertices])

    def expression(self, weights: dict[str, float]) -> np.ndarray:
        """The sum of named expressions, (M, 3)."""
        names = self._head.expression_names
        return sum((w * self._expression[names.index(n)] for n, w in weights.items()), np.zeros_like(self.mean))

    def sittings(self, rng: np.random.Generator, count: int) -> Iterator[Sitting]:
        """``count`` people, each with the mouth closed and open."""
        opened = self.expression(OPEN_MOUTH)
        for _ in range(count):
            weights = rng.standard_normal(len(self._identity)).clip(-2.5, 2.5) * IDENTITY_SPREAD
            person = self.mean + np.einsum("k,knd->nd", weights.astype(np.float32), self._identity)
            albedo = self._albedo(rng)
            for mouth_open in (False, True):
                yield Sitting(person + opened * mouth_open, self.triangles, albedo, mouth_open)

    def _albedo(self, rng: np.random.Generator) -> Albedo:
        skin = int(rng.integers(len(self._skins.face)))
        brow = self._skins.brows[int(rng.integers(len(self._skins.brows)))]
        face = self._skins.face[skin] * (1 - 0.75 * brow[..., None] / 255.0)
        back = self._skins.back[skin].astype(np.float32)
        iris = np.array([(80, 50, 30), (60, 85, 110), (70, 80, 50)][int(rng.integers(3))])

        def albedo(view: render.View) -> np.ndarray:
            fragments = view.fragments
            out = np.empty((len(fragments.triangle), 3), np.float32)
            on_sheet = fragments.triangle < len(self._uv)
            index = fragments.triangle[on_sheet]
            uv = np.einsum("pk,pkd->pd", fragments.barycentric[on_sheet], self._uv[index])
            chart = uv[:, 0] >= 1
            sheet = np.where(chart[:, None], _texture(back, uv - [1, 0]), _texture(face, uv))
            sheet[self._part[index] != "skin"] = _CAVITY
            out[on_sheet] = sheet
            out[~on_sheet] = self._loose_colours(view, ~on_sheet, iris)
            return out

        return albedo

    def _loose_colours(self, view: render.View, which: np.ndarray, iris: np.ndarray) -> np.ndarray:
        fragments = view.fragments
        triangle = fragments.triangle[which] - len(self._uv)
        part = self._loose_part[triangle]
        colour = np.full((len(part), 3), 225.0, np.float32)
        for name, value in _PART_COLOURS.items():
            colour[part == PARTS.index(name)] = value
        corner = self.mean[self.triangles[fragments.triangle[which]]]
        rest = np.einsum("pk,pkd->pd", fragments.barycentric[which], corner)
        for side, name in enumerate(("eye_left", "eye_right")):
            offset = rest - self._topology.eye_centre[side]
            radius = np.linalg.norm(offset[:, :2], axis=1) / anatomy.IRIS_RADIUS
            ball = (part == PARTS.index(name)) & (offset[:, 2] > 0)
            colour[ball & (radius < 1)] = iris
            colour[ball & (radius > 0.88) & (radius < 1)] = iris * 0.5
            colour[ball & (radius < 0.38)] = 12
        return colour


def _texture(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Nearest texel; v runs up."""
    height, width = image.shape[:2]
    column = (uv[:, 0] * width).astype(int).clip(0, width - 1)
    row = ((1 - uv[:, 1]) * height).astype(int).clip(0, height - 1)
    return image[row, column]
