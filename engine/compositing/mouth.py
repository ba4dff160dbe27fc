"""The inside of the mouth: the model's teeth, gums and tongue, lit and occluded, or the portrait's own."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.inset import Inset, blend, rim_light
from engine.face.fitting import INNER_LIPS
from engine.face.maths import smoothstep
from engine.face.mesh import Normals
from engine.geometry.flow import GeometryFlow
from engine.geometry.source_geometry import SourceGeometry

_SKIN_SAMPLES = [50, 280, 4, 9, 205, 425]
_COLOURS = {  # sRGB under the light of a skin of mean brightness .68
    "mouth": (96, 42, 40),
    "gums": (168, 88, 84),
    "teeth_upper": (232, 218, 200),
    "teeth_lower": (216, 201, 182),
    "tongue": (176, 94, 92),
}
_GLOSS = {"teeth_upper": 22, "teeth_lower": 16, "tongue": 22, "gums": 14}
_FACING = 0.92  # brightness of the brighter half of a drawn row of teeth, as a share of the tooth's colour
_PALE = 0.85  # of the skin's saturation at most, and …
_BRIGHT = 0.75  # … of its brightness at least: teeth, and not lips or tongue
_FEWEST = 0.002  # of the face's diagonal squared: a smaller visible area of the mouth's inside is ignored
_COLOURLESS = 0.12  # saturation of the skin below which the photograph is taken to be desaturated
_SHADOW = (0.5, 0.6, 0.62)  # of the lips on what is behind them; warm, since light passes through them
_SHADOW_REACH = 0.035  # of the face's diagonal
_RESTS, _TEETH_STAY = 0.12, 0.5  # nominal cm of jaw motion over which the model replaces the portrait's own mouth
_OPEN = 0.012  # of the face's diagonal: a portrait whose lips part more shows its own teeth


class Mouth:
    """Paints mouth fragments inside the lips over a warped frame."""

    def __init__(self, rgb: np.ndarray, source: SourceGeometry) -> None:
        self._rgb, self._source = rgb, source
        model = source.face.model
        self._parts = [model.parts[n] for n in _COLOURS if n in model.parts]
        self._upper = model.parts.get("teeth_upper", -1)
        self._normals = Normals(model.triangles[model.triangles_of(*_COLOURS)], len(model.vertices))
        self._own = self._own_mouth()
        self._skin = self._skin_samples()
        self._vivid = min(_saturation(np.median(self._skin, axis=0)) / _COLOURLESS, 1)
        self._shadow = self._toned(_SHADOW)
        self._colour, self._gloss = self._materials()
        self._jaw_at_rest = self._gap(source.vertices)

    def paint(self, frame: np.ndarray, flow: GeometryFlow, vertices: np.ndarray) -> None:
        """Draw the open mouth into ``frame`` (H, W, 3) float32, in place; ``vertices`` (N, 3) in the head's frame."""
        lips = self._lips(flow)
        low, high = lips.min(axis=0) - 1, lips.max(axis=0) + 1
        fragments = flow.fragments
        near = (fragments.columns >= low[0]) & (fragments.columns <= high[0])
        near &= (fragments.rows >= low[1]) & (fragments.rows <= high[1])
        inset = Inset.around(flow, near & np.isin(flow.fragment_part, self._parts))
        if inset is None:
            return
        size = frame.shape[:2]
        mask = inset.mask() * inset.polygon(lips)
        light = rim_light(mask, _SHADOW_REACH * self._source.diagonal * flow.scale, 1)[..., None]
        light = 1 - (1 - light) * self._shadow
        where, colour = inset.full(inset.image(self._shade(flow, inset, vertices)) * light, size)
        colour = self._show_own(colour, flow, inset, vertices, size)
        _, soft = inset.full(cv2.GaussianBlur(mask, (0, 0), 0.7), size)
        blend(frame, where, colour, soft)

    def _shade(self, flow: GeometryFlow, inset: Inset, vertices: np.ndarray) -> np.ndarray:
        """Colours (n, 3) of the chosen fragments: a light at the viewer's brow, gloss, and darkness with depth."""
        camera_points = flow.camera_points
        normals = self._normals(camera_points)
        toward = -camera_points / np.linalg.norm(camera_points, axis=1, keepdims=True)
        light = toward + [0.0, 0.35, 0.0]
        light /= np.linalg.norm(light, axis=1, keepdims=True)
        half = light + toward
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        diffuse = 0.55 + 0.45 * np.abs((normals * light).sum(axis=1))
        gloss = self._gloss * np.clip((normals * half).sum(axis=1), 0, 1) ** 30
        dark = self._occlusion(vertices)
        lit = (self._colour * diffuse[:, None] + gloss[:, None]) * dark[:, None]
        chosen = flow.triangles[flow.fragments.triangle[inset.chosen]]
        return np.einsum("pkc,pk->pc", lit[chosen], flow.fragments.barycentric[inset.chosen]).astype(np.float32)

    def _occlusion(self, vertices: np.ndarray) -> np.ndarray:
        """Less light the deeper behind the lips, more the wider they open (N,)."""
        unit = self._source.anatomy.unit
        lips = self._source.face.model.landmarks68.at(vertices)[60:68]
        depth = np.clip((lips[:, 2].mean() - vertices[:, 2]) / unit, 0, None)
        opening = self._gap(vertices)
        return np.clip(np.exp(-np.clip(depth - 0.9, 0, None) * 0.32 / (0.6 + 0.45 * opening)), 0.12, 0.95)

    def _show_own(
        self, colour: np.ndarray, flow: GeometryFlow, inset: Inset, vertices: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray:
        """The portrait's own pixels: all near rest; its teeth until the jaw moves; a grin's upper teeth always."""
        moved = abs(self._gap(vertices) - self._jaw_at_rest)
        rest, stays = np.exp(-((moved / _RESTS) ** 2)), np.exp(-((moved / _TEETH_STAY) ** 2))
        grin = smoothstep(np.asarray(self._jaw_at_rest / 0.5 - 1))
        part = flow.fragment_part[inset.chosen]
        keep = np.where(part == self._upper, max(stays, grin), stays).astype(np.float32)
        values = np.column_stack([flow.fragment_source[inset.chosen], keep])
        _, looked_up = inset.full(inset.image(values), size)
        x, y = looked_up[..., 0] - 0.5, looked_up[..., 1] - 0.5
        own = cv2.remap(self._rgb, x, y, cv2.INTER_CUBIC).astype(np.float32)
        shown = cv2.remap(self._own, x, y, cv2.INTER_LINEAR) * looked_up[..., 2]
        return colour + np.maximum(shown, np.float32(rest))[..., None] * (own - colour)

    def _gap(self, vertices: np.ndarray) -> float:
        """Distance between the middle of the inner lips, nominal cm."""
        lips = self._source.face.model.landmarks68.at(vertices)[[62, 66]]
        return float(np.linalg.norm(lips[0] - lips[1])) / self._source.anatomy.unit

    def _lips(self, flow: GeometryFlow) -> np.ndarray:
        """Outer lip contour in flow pixels, (12, 2)."""
        return self._source.face.model.landmarks68.at(flow.vertices)[48:60]

    def _materials(self) -> tuple[np.ndarray, np.ndarray]:
        model, skin = self._source.face.model, np.median(self._skin, axis=0)
        brightness = float(np.median(self._skin.mean(axis=1)))
        tint = 0.85 + 0.15 * skin / max(brightness, 1)
        exposure = np.clip(brightness / 255 / 0.68, 0.25, 1)
        colours = {name: self._toned(value) for name, value in _COLOURS.items()}
        upper = colours["teeth_upper"] * tint * exposure
        own = self._own_teeth(skin)
        enamel = np.ones(3) if own is None else own / _FACING / upper
        # Teeth show how much light there is; dark skin alone would be taken for dim light.
        exposure = exposure * np.clip(enamel.mean(), 0.85, 1.6)
        enamel /= enamel.mean()
        colour = np.zeros((len(model.vertices), 3), np.float32)
        gloss = np.zeros(len(model.vertices), np.float32)
        for name, value in colours.items():
            ids = model.vertices_of(name)
            colour[ids] = value * tint * exposure * (enamel if name.startswith("teeth") else 1)
            gloss[ids] = _GLOSS.get(name, 0) * exposure
        return colour, gloss

    def _toned(self, colour: tuple[float, ...]) -> np.ndarray:
        """``colour`` (3,) desaturated as much as the portrait is; grey for a black-and-white photograph."""
        return (np.mean(colour) + (np.array(colour) - np.mean(colour)) * self._vivid).astype(np.float32)

    def _skin_samples(self) -> np.ndarray:
        """sRGB (n, 3) float32."""
        seen = self._source.face.observation
        points = seen.landmarks68 if seen.dense is None else seen.dense[_SKIN_SAMPLES, :2]
        at = np.clip(points.astype(int), 0, np.array(self._rgb.shape[1::-1]) - 1)
        return self._rgb[at[:, 1], at[:, 0]].astype(np.float32)

    def _own_teeth(self, skin: np.ndarray) -> np.ndarray | None:
        """sRGB (3,) of the teeth that the portrait shows beside its ``skin``, None where it shows none."""
        inside = self._rgb[self._own > 0.5].astype(np.float32)
        if len(inside) < _FEWEST * self._source.diagonal**2:
            return None
        brightness = inside.mean(axis=1)
        teeth = np.median(inside[brightness >= np.median(brightness)], axis=0)
        pale = _saturation(teeth) <= _PALE * _saturation(skin) + 0.02
        return teeth if pale and teeth.mean() > _BRIGHT * skin.mean() else None

    def _own_mouth(self) -> np.ndarray:
        """Where the portrait shows the inside of its mouth, (H, W) float32; 0 everywhere when its lips are closed."""
        seen, diagonal = self._source.face.observation, self._source.diagonal
        mask = np.zeros(self._rgb.shape[:2], np.uint8)
        if seen.dense is None or np.linalg.norm(seen.dense[13, :2] - seen.dense[14, :2]) / diagonal <= _OPEN:
            return mask.astype(np.float32)
        cv2.fillPoly(mask, [np.round(seen.dense[list(INNER_LIPS), :2] * 16 - 8).astype(np.int32)], 255, shift=4)
        mask = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=max(1, int(0.006 * diagonal)))
        soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(0.8, 0.006 * diagonal))
        return smoothstep(soft).astype(np.float32)


def _saturation(colour: np.ndarray) -> float:
    """0…1, of sRGB (3,)."""
    return float(np.ptp(colour) / max(float(colour.max()), 1))
