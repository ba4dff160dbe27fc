"""The mouth's inside as the driver's own mouth shows it, in the portrait's colours, painted between the posed lips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from engine.compositing.inset import rim_light
from engine.compositing.mouth.colours import Colours
from engine.compositing.mouth.opening import Lips, Opening, parted
from engine.compositing.mouth.own_teeth import OwnTeeth
from engine.compositing.mouth.teeth import SHOWN, Teeth
from engine.face.camera import Pose
from engine.face.maths import smoothstep
from engine.geometry.flow import GeometryFlow
from engine.geometry.source_geometry import SourceGeometry
from engine.motion.motion import MotionFrame
from engine.motion.mouth_sight import CURVES, DARK, TONGUE_LIGHT, SeenMouth

_ROWS = "teethUpper", "teethLower"
_TONGUE_UP, _FLESH = 0.45, 0.5  # where nothing is known of the driver's
_RESTS = 0.006  # of the face's diagonal: change of lips and rows over which the portrait's own mouth gives way
_RIM = 0.006  # of the diagonal: so much of the lips belongs to the portrait's own mouth
_SHADOW, _CORNERS = 0.42, 0.45  # how much the lips shade what is behind them, and their corners
_REACH, _REACH_GAP = 0.018, 0.22  # of that shade: share of the diagonal, and of the gap at most
_EDGE = 0.0035  # of the diagonal, sigma of the lips' edge


@dataclass(frozen=True)
class PaintedMouth:
    """A ``picture`` (h, w, 3) float32 for the ``box`` of a frame, and its ``share`` (h, w, 1) 0…1 there."""

    box: tuple[slice, slice]
    picture: np.ndarray
    share: np.ndarray

    def onto(self, frame: np.ndarray) -> None:
        """Blend into ``frame`` (H, W, 3) uint8, in place."""
        under = frame[self.box]
        blended = under + self.share * (self.picture - under)
        under[:] = np.clip(np.rint(blended), 0, 255)


class Mouth:
    """What one portrait's mouth can show."""

    def __init__(self, rgb: np.ndarray, source: SourceGeometry) -> None:
        """``rgb`` (H, W, 3) uint8."""
        self._source, seen = source, source.face.observation
        model = source.face.model
        self._skin = model.parts["skin"]
        self._rgb, self._at_rest = rgb, self._lips(source.vertices, source.face.pose)
        self._opening = Opening.between(self._at_rest, rgb.shape[:2], fine=1)
        dense = model.dense.at(source.camera.project(source.face.pose.apply(source.vertices))[0])
        mouth = SeenMouth(rgb, dense if seen.dense is None else seen.dense)
        self._own: Mapping[str, float] = dict(zip(CURVES, mouth.curves().tolist(), strict=True))
        self._colours = Colours(rgb, seen, mouth)
        self._teeth = Teeth(source, self._colours)
        self._own_teeth = OwnTeeth.shown(rgb, seen.dense, mouth, self._own["teethUpper"])

    def painted(self, flow: GeometryFlow, vertices: np.ndarray, pose: Pose, motion: MotionFrame) -> PaintedMouth | None:
        """The mouth of the head ``vertices`` (N, 3) in its ``pose``, whose ``flow`` this is; None where it is shut."""
        lips = self._lips(vertices, pose)
        mesh_gap, own_gap = lips.gap, self._own["lipGap"] if motion.lip_gap is not None else self._at_rest.gap
        gap = mesh_gap if motion.lip_gap is None else motion.lip_gap
        opens, opened = parted(gap), parted(own_gap)
        size = (self._source.camera.height, self._source.camera.width)
        opening = Opening.between(lips.closed(opens), size) if opens > 1 / 255 else None
        if opening is None:
            return None
        shows = self._shows(motion.mouth, opened)
        rests = min(1.0, opened / opens) * self._rests(gap, own_gap, shows, motion)
        opening.hide(flow, self._skin)
        inside = opening.averaged(opening.mask)
        picture = opening.averaged(self._painted(opening, vertices, pose, shows))
        area = inside
        if self._opening is not None and rests > 1 / 255:
            rim = 2 * round(_RIM * lips.diagonal) + 1
            area = np.maximum(area, np.float32(rests) * cv2.dilate(area, np.ones((rim, rim), np.uint8)))
            own = 1 - inside * np.float32(1 - rests)
            picture += own[..., None] * (self._own_pixels(self._opening, opening) - picture)
        share = cv2.GaussianBlur(area, (0, 0), max(0.6, _EDGE * lips.diagonal)) * np.float32(opens)
        return PaintedMouth(opening.box, picture, share[..., None])

    def _own_pixels(self, own: Opening, opening: Opening) -> np.ndarray:
        """The inside of the portrait's mouth, and the rims of its lips, drawn out to another ``opening``'s pixels."""
        places = own.at(*(opening.averaged(coordinate) for coordinate in (opening.along, opening.down)))
        x, y = np.moveaxis((places - 0.5).astype(np.float32), -1, 0)
        return cv2.remap(self._rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)

    def _painted(self, opening: Opening, vertices: np.ndarray, pose: Pose, shows: Mapping[str, float]) -> np.ndarray:
        """(h, w, 3) float32 of the opening's samples, from the throat outwards."""
        colours, flesh = self._colours, shows.get("mouthFlesh", _FLESH)
        # Where nearly all is lit flesh there is no dark.
        dark = shows.get("mouthDark", DARK) * colours.dark + 0.5 * np.clip(1.6 * flesh - 0.6, 0, 1) * colours.lip
        picture = np.empty((*opening.shape, 3), np.float32)
        picture[:] = dark
        self._draw_tongue(picture, opening, shows)
        wanted = {row: shows.get(name) for row, name in zip(("upper", "lower"), _ROWS, strict=True)}
        placed, shares = self._teeth.seated(vertices, pose, opening, wanted)
        self._teeth.draw(picture, placed, pose, opening, shares)
        lips = opening.lips
        reach = min(_REACH, _REACH_GAP * lips.gap) * lips.diagonal * opening.fine
        light = 1 - _SHADOW * (1 - rim_light(opening.mask, max(1.5, reach), 1))
        corners = 1 - _CORNERS * smoothstep((opening.aside - 0.8) / 0.2)
        picture = colours.shaded(picture, (light * corners).astype(np.float32), (1.15, 1.2))
        if self._own_teeth is not None and shares["upper"] > SHOWN:
            self._own_teeth.draw(picture, opening, shares["upper"], light)
        return picture

    def _draw_tongue(self, picture: np.ndarray, opening: Opening, shows: Mapping[str, float]) -> None:
        """A tongue, or other lit flesh behind the teeth, in place: high in its middle, with a furrow."""
        top = 1 - shows.get("tongueUp", _TONGUE_UP)
        if top >= 0.98:
            return
        aside = opening.aside
        below = opening.down - (top + 0.75 * (1 - top) * np.clip(aside / 0.95, 0, 1) ** 4)
        light = 0.78 + 0.3 * smoothstep(below / 0.6) - 0.14 * aside**2
        light -= 0.05 * np.exp(-0.5 * (aside / 0.06) ** 2) * smoothstep(below / 0.3)
        light += 0.05 * np.exp(-0.5 * ((below - 0.45) / 0.12) ** 2 - 0.5 * ((aside - 0.3) / 0.15) ** 2)
        tongue = self._colours.tongue * shows.get("tongueLight", TONGUE_LIGHT)
        share = smoothstep(below / 0.16 + 0.3)[..., None]
        picture += share * (tongue * light[..., None] - picture)

    def _shows(self, driver: Mapping[str, float], opened: float) -> Mapping[str, float]:
        """The driver's curves; while the driver's lips are shut they say nothing, and the portrait's own count as far
        as its lips are ``opened``."""
        known = max(parted(driver["lipGap"]) if "lipGap" in driver else 1.0, 1 - opened)
        return {name: self._own[name] + known * (value - self._own[name]) for name, value in driver.items()}

    def _rests(self, gap: float, own_gap: float, shows: Mapping[str, float], motion: MotionFrame) -> float:
        """1 where the mouth is the portrait's own, 0 where it is another: by lips and by the edges of both rows."""
        now, then, gaps = shows, self._own, (gap, own_gap)
        if motion.mouth_at_rest:
            now, then = motion.mouth, motion.mouth_at_rest
            gaps = now.get("lipGap", 0.0), then.get("lipGap", 0.0)
        moved = [gap - own_gap]
        moved += [now[row] * gaps[0] - then[row] * gaps[1] for row in _ROWS if row in now]
        return float(np.exp(-np.square(np.array(moved) / _RESTS).sum()))

    def _lips(self, vertices: np.ndarray, pose: Pose) -> Lips:
        pixels, depth = self._source.camera.project(pose.apply(self._source.face.model.dense.at(vertices)))
        return Lips.of(pixels, depth)
