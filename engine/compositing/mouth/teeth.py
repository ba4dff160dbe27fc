"""Both rows of teeth with their gums: the face model's, seated where the driver shows them, shaded, drawn."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.compositing.mouth.colours import Colours
from engine.compositing.mouth.opening import Opening
from engine.face.camera import Pose
from engine.face.maths import smoothstep
from engine.face.mesh import Normals
from engine.geometry.source_geometry import SourceGeometry
from engine.raster.opencv import rasterise

SHOWN = 0.02  # share of the gap from which a row is drawn

_ARCH = 0.96, 0.86  # of the model's rows: its six front teeth are 42 and 38 mm wide, people's 40 and 33
_FRONT, _EDGE = 0.8, 0.06  # nominal cm: beside the middle, and from the edge, where a row's edge is measured
_AWAY = 0.12  # nominal cm behind the lip, of a row that is not in view
_BACK, _FADES = 0.6, 0.3  # nominal cm behind the front teeth from which light fades, and how much a cm
_ENDS = {"upper": (1.3, 2.1), "lower": (1.0, 1.8)}  # likewise, where cheeks and tongue begin and end to hide a row …
_APART = 0.3  # … whose distance from the other is this share of the gap or more
_LIFT = 0.12  # cm a cm from there: molars stand back from the opening
_SIDE, _SIDE_SHADE = 0.62, 0.22  # of a tooth's half width from which it is shaded towards its neighbour, and how much
_GAP = 0.14  # nominal cm: narrower gaps between teeth are shaded enamel, not holes
_GAP_LIGHT = 0.78
_CAST, _CAST_REACH = 0.35, 0.1  # a row's shade on what is behind it, and its reach, nominal cm


class Teeth:
    """The rows of one portrait's head."""

    def __init__(self, source: SourceGeometry, colours: Colours) -> None:
        self._source, self._colours = source, colours
        model, anatomy = source.face.model, source.anatomy
        self._jaws = {"upper": anatomy.upper_jaw, "lower": anatomy.lower_jaw}
        gums = model.triangles[model.triangles_of("gums")]
        lower = np.isin(gums, anatomy.lower_jaw).all(axis=1)
        self._triangles = {
            "gums_upper": gums[~lower],
            "teeth_upper": model.triangles[model.triangles_of("teeth_upper")],
            "gums_lower": gums[lower],
            "teeth_lower": model.triangles[model.triangles_of("teeth_lower")],
        }
        self._normals = Normals(np.concatenate(list(self._triangles.values())), len(model.vertices))
        self._edges = {row: self._edge(row) for row in self._jaws}
        self._to_side = self._sideways()

    def seated(
        self, vertices: np.ndarray, pose: Pose, opening: Opening, shares: dict[str, float | None]
    ) -> tuple[np.ndarray, dict[str, float]]:
        """The head (N, 3) with each row moved up or down until it covers its share of the gap, and these shares; a row
        whose share is None stays where the mesh has it."""
        placed, unit = vertices.copy(), self._source.anatomy.unit
        upper, lower = opening.lips.upper[5], opening.lips.lower[5]
        gap = max(float(np.linalg.norm(lower - upper)), 1e-3)
        down, scale = self._down(vertices, pose)
        shown = {}
        for (row, jaw), arch, lip, sign in zip(self._jaws.items(), _ARCH, (upper, lower), (1, -1), strict=True):
            if not len(self._edges[row]):
                shown[row] = 0.0
                continue
            placed[jaw, 0] *= arch
            placed[jaw, 1] += sign * _LIFT * unit * np.maximum(self._behind(placed, row) - _BACK, 0)
            edge = self._project(placed[self._edges[row]], pose).mean(axis=0)
            covers, wanted = float(sign * (edge - lip) @ down) / gap, shares[row]
            if wanted is None:
                shown[row] = float(np.clip(covers, 0, 1))
                continue
            beyond = _AWAY * unit * scale / gap * (1 - float(smoothstep(np.asarray(wanted / SHOWN))))
            placed[jaw, 1] += sign * (covers - wanted + beyond) * gap / scale
            shown[row] = wanted
        return placed, shown

    def draw(
        self, picture: np.ndarray, placed: np.ndarray, pose: Pose, opening: Opening, shares: dict[str, float]
    ) -> None:
        """Paint the rows of the head ``placed`` that cover their ``shares`` of the gap into ``picture`` (h, w, 3), the
        samples of ``opening``, in place."""
        rows = [row for row, share in shares.items() if share > SHOWN]
        names = [f"{kind}_{row}" for row in rows for kind in ("gums", "teeth")]
        if not names:
            return
        triangles = np.concatenate([self._triangles[name] for name in names])
        part = np.repeat(np.arange(len(names)), [len(self._triangles[name]) for name in names])
        pixels, depth = self._source.camera.project(pose.apply(placed))
        fragments = rasterise(opening.sampled(pixels).astype(np.float32), depth, triangles, opening.shape)
        if not len(fragments.pixel):
            return
        light = fragments.gather(self._attributes(placed, pose), triangles)
        which = part[fragments.triangle]
        gum = np.array([name.startswith("gums") for name in names])[which]
        colour = np.stack([self._colours.parts[name] for name in names])[which]
        lit = fragments.image(self._lit(colour, light, gum).astype(np.float32))
        ends = np.array([_ENDS[name.removeprefix("gums_").removeprefix("teeth_")] for name in names])[which]
        apart = smoothstep(np.asarray((1 - sum(shares.values())) / _APART))
        mask = fragments.image((1 - apart * _ramp(light[:, 1], *ends.T)).astype(np.float32))
        unit = self._source.anatomy.unit * self._down(placed, pose)[1] * opening.fine
        _close_gaps(lit, mask, max(3, int(_GAP * unit)) | 1)
        shade = cv2.GaussianBlur(mask, (0, 0), max(1.0, _CAST_REACH * unit))
        picture *= (1 - _CAST * shade * (1 - mask))[..., None]
        soft = 0.45 * opening.fine
        share = cv2.GaussianBlur(mask, (0, 0), soft)[..., None]
        smooth = cv2.GaussianBlur(lit * mask[..., None], (0, 0), soft) / np.maximum(share, 1e-3)
        picture += share * (smooth - picture)

    def _attributes(self, placed: np.ndarray, pose: Pose) -> np.ndarray:
        """(N, 3) float32: how squarely light from the viewer's brow falls, nominal cm behind the front, to a side."""
        points = pose.apply(placed)
        toward = -points / np.linalg.norm(points, axis=1, keepdims=True)
        light = toward + [0.0, 0.35, 0.0]
        light /= np.linalg.norm(light, axis=1, keepdims=True)
        facing = np.abs((self._normals(points) * light).sum(axis=1))
        behind = np.zeros(len(placed), np.float32)
        for row, jaw in self._jaws.items():
            if len(self._edges[row]):
                behind[jaw] = self._behind(placed, row)
        return np.column_stack([facing, behind, self._to_side]).astype(np.float32)

    def _behind(self, placed: np.ndarray, row: str) -> np.ndarray:
        """Nominal cm from the front of a row back to each vertex of its jaw."""
        depth = placed[self._edges[row], 2].max() - placed[self._jaws[row], 2]
        return np.maximum(depth, 0) / self._source.anatomy.unit

    def _lit(self, colour: np.ndarray, light: np.ndarray, gum: np.ndarray) -> np.ndarray:
        facing, behind, side = light.T
        share = np.where(gum, 0.75 + 0.3 * facing, 0.76 + 0.27 * np.maximum(facing, 0) ** 1.5)
        share = share * np.exp(-_FADES * np.maximum(behind - _BACK, 0))
        share = np.where(gum, share, share * (1 - _SIDE_SHADE * _ramp(side, _SIDE, 1.0)))
        return self._colours.shaded(colour, share, (1.25, 1.3))

    def _down(self, vertices: np.ndarray, pose: Pose) -> tuple[np.ndarray, float]:
        """The head's downward direction (2,) at the lips as it is seen, and pixels a cm along it."""
        lip = self._source.face.model.dense.at(vertices)[13]
        at, below = self._project(np.stack([lip, lip - [0.0, 1.0, 0.0]]), pose)
        length = max(float(np.linalg.norm(below - at)), 1e-3)
        return (below - at) / length, length

    def _project(self, points: np.ndarray, pose: Pose) -> np.ndarray:
        return self._source.camera.project(pose.apply(points))[0]

    def _edge(self, row: str) -> np.ndarray:
        """Vertices of a row's biting edge at its front."""
        model, unit = self._source.face.model, self._source.anatomy.unit
        ids = model.vertices_of(f"teeth_{row}")
        ids = ids[np.abs(model.vertices[ids, 0]) < _FRONT * unit]
        if not len(ids):
            return ids
        height = model.vertices[ids, 1]
        edge = height.min() if row == "upper" else height.max()
        return ids[np.abs(height - edge) < _EDGE * unit]

    def _sideways(self) -> np.ndarray:
        """(N,) float32: 0 in a tooth's middle, 1 where it meets its neighbours."""
        vertices = self._source.face.model.vertices
        out = np.zeros(len(vertices), np.float32)
        for row in self._jaws:
            triangles = self._triangles[f"teeth_{row}"]
            ids = np.unique(triangles)
            pairs = np.ones(2 * len(triangles)), (triangles[:, [0, 1]].ravel(), triangles[:, [1, 2]].ravel())
            label = connected_components(coo_matrix(pairs, (len(vertices),) * 2), directed=False)[1]
            teeth = [ids[label[ids] == tooth] for tooth in np.unique(label[ids])]
            middles = [vertices[tooth].mean(axis=0)[[0, 2]] for tooth in teeth]
            throat = min((middle[1] for middle in middles), default=0.0) - 1
            order = sorted(range(len(teeth)), key=lambda k: np.arctan2(middles[k][0], middles[k][1] - throat))
            for place, k in enumerate(order):
                before, after = (middles[order[np.clip(place + step, 0, len(order) - 1)]] for step in (-1, 1))
                tangent = (after - before) / max(float(np.linalg.norm(after - before)), 1e-6)
                away = np.abs((vertices[teeth[k]][:, [0, 2]] - middles[k]) @ tangent)
                out[teeth[k]] = away / max(float(away.max()), 1e-6)
        return out


def _ramp(value: np.ndarray, begin: np.ndarray | float, end: np.ndarray | float) -> np.ndarray:
    return smoothstep((value - begin) / (end - begin))


def _close_gaps(lit: np.ndarray, mask: np.ndarray, width: int) -> None:
    """Fill narrow gaps of ``mask`` (h, w) and of its colours ``lit`` (h, w, 3), in place."""
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1, width), np.uint8))
    around = cv2.blur(lit, (width, width)) / np.maximum(cv2.blur(mask, (width, width)), 1e-4)[..., None]
    gap = (closed > 0.5) & (mask == 0)
    lit[gap] = _GAP_LIGHT * around[gap]
    mask[gap] = closed[gap]
