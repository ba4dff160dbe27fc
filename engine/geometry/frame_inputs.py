"""What systems are told of a portrait and of each frame: named arrays, made when they are first read.

:data:`FIELDS` lists them all, with shapes and units; ``python -m engine systems`` prints it. A system declares what it
reads in :mod:`engine.catalog`. Drawing, training shards and batches read the same arrays from here, on a square of
the portrait that is S pixels wide: the head's square in use, the whole picture in training.

``pncc`` is the paper's code (doi 10.1145/3571857, abstract): the source's own identity in the driver's pose and
expression.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np

from engine.compositing.layers.outline import HeadOutline, fit_outline
from engine.compositing.mouth.paint import Mouth, PaintedMouth
from engine.compositing.shut_lids import ShutLids
from engine.compositing.warped_portrait import WarpedPortrait
from engine.face.camera import Pose
from engine.face.model import Anchors
from engine.face.portrait import Portrait
from engine.face.subject import FaceFit
from engine.geometry.fields import Classes, Code, Depth, Field, Flags, Flow, Kind, Map, Mask, Picture, Points, Share
from engine.geometry.flow import FlowBuilder, GeometryFlow, PosedHead, stretch
from engine.geometry.framing import Square, head_square
from engine.geometry.landmark_image import landmark_image
from engine.geometry.pncc import eyes_in_code, normalised_coordinates
from engine.geometry.source_geometry import SourceGeometry
from engine.motion.motion import MotionFrame
from engine.tracking.person_matte import person_matte

NO_MESH, SKIN, EYE, MOUTH = range(4)  # values of ``parts``
MAX_STRETCH = 4.0
_EYES = ("eye_left", "eye_right", "socket")
_COVERED = 0.5  # share of a pixel that must show mesh for it to have a code
_SLACK = 0.15  # cm by which a visible landmark may lie behind the drawn surface …
_SLACK_PIXELS = 2.0  # … and by this many pixels' width, where surfaces slant

_N, _R = "N", "2r+1"  # vertices; frames of the window

FIELDS: dict[str, Field] = {
    # Of the portrait itself.
    "source_image": Field(Picture(), ("S", "S", 3), "the portrait, uint8 sRGB"),
    "source_matte": Field(Share(), ("S", "S"), "how much of each pixel is person, 0…1"),
    "source_background": Field(Picture(), ("S", "S", 3), "the portrait with the person filled in, uint8 sRGB"),
    "source_pncc": Field(Code(), ("S", "S", 3), "PNCC of the head as the portrait shows it, 0…1, 0 without mesh"),
    "source_depth": Field(Depth(), ("S", "S"), "depth of that head, cm, infinity without mesh"),
    "source_landmarks68": Field(Points(), (68, 2), "its landmarks, pixels of the square"),
    "source_visible68": Field(Flags(), (68,), "whether the mesh leaves them in view"),
    "source_dense": Field(Points(), (468, 3), "its dense landmarks, pixels; z negative towards the camera"),
    "source_dense_visible": Field(Flags(), (468,), "whether the mesh leaves them in view"),
    "source_landmark_image": Field(Picture(), ("S", "S", 3), "its landmarks drawn as lines, uint8 sRGB"),
    # Of the frame: the portrait's own head in the driver's pose and expression.
    "mesh": Field(Kind(), (_N, 3), "the posed head in camera space, cm"),
    "landmarks68": Field(Points(), (68, 2), "landmarks, pixels of the square"),
    "visible68": Field(Flags(), (68,), "whether the mesh leaves them in view"),
    "dense": Field(Points(), (468, 3), "dense landmarks, pixels; z negative towards the camera"),
    "dense_visible": Field(Flags(), (468,), "whether the mesh leaves them in view"),
    "landmark_image": Field(Picture(), ("S", "S", 3), "landmarks drawn as lines, uint8 sRGB"),
    "pncc": Field(Code(), ("S", "S", 3), "PNCC, 0…1, 0 without mesh"),
    "depth": Field(Depth(), ("S", "S"), "depth of the mesh, cm, infinity without mesh"),
    "flow": Field(Flow(), ("S", "S", 2), "offset (x, y) in pixels to the place in the portrait that is looked up"),
    "hidden": Field(Share(), ("S", "S"), "how much of what is looked up the portrait does not show, 0…1"),
    "stretch": Field(Map(), ("S", "S"), "log2 of how much its area is magnified, −4…4"),
    "parts": Field(Classes(), ("S", "S"), "0 no mesh, 1 skin, 2 eyeball or socket, 3 inside of the mouth"),
    "lids": Field(Mask(), ("S", "S"), "what lies around both eyes, open or shut"),
    "matte": Field(Share(), ("S", "S"), "the portrait's matte moved with the flow, 0…1"),
    "frame": Field(Kind(), ("H", "W", 3), "mesh_warp's frame at the portrait's size, uint8 sRGB"),
    "warped": Field(Picture(), ("S", "S", 3), "the square of that frame, uint8 sRGB"),
    # Of the driver.
    "driver_pncc": Field(Code(), ("S", "S", 3), "PNCC of the driver's own head in the same pose, 0…1"),
    "driver_landmarks68": Field(Points(), (68, 2), "landmarks of the driver's own head in the same pose, pixels"),
    "driver_landmark_image": Field(Picture(), ("S", "S", 3), "these drawn as lines, uint8 sRGB"),
    "driver_image": Field(Kind(), ("h", "w", 3), "the whole frame of the footage, uint8 sRGB"),
    # Of the motion, r frames to both sides, clamped at the ends.
    "expression": Field(Kind(), (_R, "E"), "weights of the face model's expressions"),
    "rotation": Field(Kind(), (_R, 3, 3), "head to camera"),
    "translation": Field(Kind(), (_R, 3), "of the head before the camera, cm"),
    "gaze": Field(Kind(), (_R, 2, 2), "pitch and yaw of the left and right eye, radians"),
}

STORABLE = tuple(
    name for name, field in FIELDS.items() if {n for n in field.shape if isinstance(n, str)} <= {"S", "K", "E"}
)


class Undeclared(LookupError):
    """A system reads an array that :mod:`engine.catalog` does not list among its needs."""


class _Arrays:
    """Arrays by name, each made once; ``needs`` are the names that may be read."""

    def __init__(self, needs: Collection[str], side: int) -> None:
        self.needs, self.side = frozenset(needs), side
        self._made: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """Raises :class:`Undeclared`."""
        if name not in self.needs:
            raise Undeclared(f"{name!r} is read but not declared: add it to the system's needs in engine/catalog.py")
        return self._made_once(name)

    def tensor(self, name: str) -> np.ndarray:
        """The array as networks take it: (1, C, S, S) float32 of a picture, see :mod:`engine.geometry.fields`."""
        return FIELDS[name].kind.tensor(self[name], self.side)[None]

    def _made_once(self, name: str) -> np.ndarray:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> np.ndarray:
        raise NotImplementedError


class PortraitInputs(_Arrays):
    """The arrays ``source_…`` of one portrait, and what its frames share.

    ``side`` is S; ``size`` (width, height) is the portrait's. All but ``rgb`` and ``size`` needs a fitted face.
    """

    def __init__(
        self,
        portrait: Portrait,
        needs: Collection[str],
        side: int = 256,
        square: Square | None = None,
        matte: np.ndarray | None = None,
    ) -> None:
        """``square`` of the portrait, the head's by default; ``matte`` (H, W) float32 in 0…1 where it is known."""
        super().__init__(needs, side)
        self.rgb, self._portrait = portrait.rgb, portrait
        self.size = (portrait.rgb.shape[1], portrait.rgb.shape[0])
        if square is not None:
            self.square = square
        if matte is not None:
            self.matte = matte

    def prepare(self) -> None:
        """Make what every frame needs, so that the first frame takes no longer than others."""
        if self.needs & {"frame", "warped"}:
            _ = self.drawing

    @property
    def face(self) -> FaceFit:
        assert self._portrait.face is not None
        return self._portrait.face

    @cached_property
    def square(self) -> Square:
        return head_square(self.face.camera, self.face.pose)

    @cached_property
    def matte(self) -> np.ndarray:
        """(H, W) float32 in 0…1, 1 is person."""
        return person_matte(self.rgb)

    @cached_property
    def _outlined(self) -> tuple[SourceGeometry, HeadOutline]:
        source = SourceGeometry(self.face, self.matte)
        return source, fit_outline(source, self.rgb, self.matte)

    @property
    def geometry(self) -> SourceGeometry:
        """The fitted head, which follows the head's outline in the picture."""
        return self._outlined[0]

    @cached_property
    def build(self) -> FlowBuilder:
        return FlowBuilder(self.geometry)

    @cached_property
    def drawing(self) -> WarpedPortrait:
        return WarpedPortrait(self.rgb, self.build, self._outlined[1])

    @cached_property
    def mouth(self) -> Mouth:
        return Mouth(self.rgb, self.geometry)

    @cached_property
    def shut_lids(self) -> ShutLids:
        return ShutLids(self.rgb, self.geometry, self.square)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Flow pixels a portrait pixel, in x and y."""
        height, width = self.build.shape
        return width / self.face.camera.width, height / self.face.camera.height

    def picture(self, rgb: np.ndarray) -> np.ndarray:
        """The square of a frame (H, W, 3), (S, S, 3)."""
        return self.square.cut(rgb, self.side)

    def head(self, motion: MotionFrame) -> PosedHead:
        """The head that moves as ``motion`` says."""
        turn = motion.gaze - self.face.gaze
        placed = self.geometry.place(motion.neutral(self.face), motion.expression, turn, motion.offsets)
        return self.build.posed(placed, Pose(motion.rotation, motion.translation))

    def of_head(self, name: str, head: PosedHead) -> np.ndarray:
        """An array of a ``head`` that is posed before this portrait's camera, by its name without a prefix."""
        model = self.face.model
        match name:
            case "pncc":
                return self._averaged(head, self._codes, np.float32(0))
            case "depth":
                return self._averaged(head, head.depth[:, None], np.float32(np.inf))[..., 0]
            case "landmarks68":
                return self._points(head, model.landmarks68)[:, :2]
            case "dense":
                return self._points(head, model.dense)
            case "visible68":
                return self._visible(head, model.landmarks68)
            case "dense_visible":
                return self._visible(head, model.dense)
            case "landmark_image":
                return landmark_image(self._points(head, model.landmarks68)[:, :2], self.side)
        raise ValueError(f"no frame has an array {name!r}")

    def _points(self, head: PosedHead, anchors: Anchors) -> np.ndarray:
        """(P, 3) float32 in pixels of the square; z from the head's centre, negative towards the camera."""
        pixels, depth = self.face.camera.project(anchors.at(head.camera_points))
        centre = -float(head.pose.translation[2])
        z = (depth - centre) * (self.face.camera.focal / centre * self.side / self.square.side)
        return np.column_stack([self.square.place(pixels, self.side), z]).astype(np.float32)

    def _visible(self, head: PosedHead, anchors: Anchors) -> np.ndarray:
        """(P,) bool: a pixel next to the point shows the mesh at its depth."""
        camera, (height, width) = self.face.camera, self.build.shape
        pixels, depth = camera.project(anchors.at(head.camera_points))
        fragments = head.drawn[0]
        surface = fragments.image(fragments.depth, np.inf)
        column, row = np.floor(pixels * self.scale).astype(int).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        steps = np.arange(-1, 2)
        rows, columns = (
            np.clip(middle[:, None] + steps, 0, length - 1) for middle, length in ((row, height), (column, width))
        )
        around = surface[rows[:, :, None], columns[:, None, :]].reshape(len(depth), 9)
        slack = 2 * (_SLACK + _SLACK_PIXELS * depth / (camera.focal * self.build.scale))
        return inside & (np.abs(around - depth[:, None]).min(axis=1) < slack)

    @cached_property
    def centres(self) -> np.ndarray:
        """(h, w, 2) float64 portrait pixels of the flow's pixels."""
        rows, columns = np.indices(self.build.shape, np.float32)
        return np.stack([(columns + 0.5) / self.scale[0], (rows + 0.5) / self.scale[1]], axis=-1)

    @cached_property
    def kinds(self) -> np.ndarray:
        """The value of ``parts`` for each part of the face model."""
        parts = self.face.model.parts
        kinds = np.full(max(parts.values()) + 1, MOUTH, np.uint8)
        kinds[parts["skin"]] = SKIN
        kinds[[parts[name] for name in _EYES if name in parts]] = EYE
        return kinds

    @cached_property
    def eyes(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Middle and reach of each eye in the code."""
        return list(zip(*eyes_in_code(self.face.model)))

    @cached_property
    def _codes(self) -> np.ndarray:
        return normalised_coordinates(self.face.model)

    @cached_property
    def _own_head(self) -> PosedHead:
        return self.build.posed(self.geometry.vertices, self.face.pose)

    def _averaged(self, head: PosedHead, values: np.ndarray, empty: np.float32) -> np.ndarray:
        """Values (N, C) of the vertices on the square, ``empty`` where less than half of a pixel shows mesh."""
        fragments, _, triangles = head.drawn
        shown = np.column_stack([fragments.gather(values, triangles), np.ones(len(fragments.pixel), np.float32)])
        cut = self.square.cut(fragments.image(shown.astype(np.float32, copy=False)), self.side, self.scale)
        share = cut[..., -1:]
        return np.where(share >= _COVERED, cut[..., :-1] / np.maximum(share, _COVERED), empty)

    def _make(self, name: str) -> np.ndarray:
        match name.removeprefix("source_"):
            case "image":
                return self.picture(self.rgb)
            case "matte":
                return self.square.cut(self.matte, self.side)
            case "background":
                return self.picture(np.clip(np.rint(self._outlined[1].background), 0, 255).astype(np.uint8))
            case of_head:
                return self.of_head(of_head, self._own_head)


class FrameInputs(_Arrays):
    """The arrays of one frame of ``portrait``, whose own it has too.

    ``motion`` is the retargeted motion, None for systems that are not driven; ``window`` has it with r frames to both
    sides, (2r + 1) of them; ``driver_image`` is the footage's frame where the system asks for it.
    """

    def __init__(
        self,
        portrait: PortraitInputs,
        motion: MotionFrame | None = None,
        window: Sequence[MotionFrame] = (),
        driver_image: np.ndarray | None = None,
    ) -> None:
        super().__init__(portrait.needs, portrait.side)
        self.portrait, self._motion, self._footage = portrait, motion, driver_image
        self._window = list(window) or ([motion] if motion else [])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.portrait[name] if name.startswith("source_") else super().__getitem__(name)

    @property
    def motion(self) -> MotionFrame:
        assert self._motion is not None
        return self._motion

    @property
    def status(self) -> str:
        """``ok``, or how the motion stands in for a frame without a face."""
        return self._motion.status if self._motion else "ok"

    @property
    def pose(self) -> Pose:
        return Pose(self.motion.rotation, self.motion.translation)

    @cached_property
    def geometry(self) -> GeometryFlow:
        """How the portrait's pixels move, at flow resolution."""
        return self.portrait.build.flow(self._head)

    def finish(self, frame: np.ndarray) -> None:
        """Draw shut lids and the mouth's inside into ``frame`` (H, W, 3) uint8, in place.

        The array ``frame`` has them. A network that changes it draws them coarser, so they are drawn again after it.
        """
        head = self._head
        self.portrait.shut_lids.mend(frame, head.camera_points, self.pose, lambda: self._made_once("lids"))
        if self._mouth is not None:
            self._mouth.onto(frame)

    @cached_property
    def _mouth(self) -> PaintedMouth | None:
        return self.portrait.mouth.painted(self.geometry, self._head.vertices, self.pose, self.motion)

    @cached_property
    def _head(self) -> PosedHead:
        return self.portrait.head(self.motion)

    @cached_property
    def _driver_head(self) -> PosedHead:
        driver = self.motion.driver
        return self._head if driver is None else self.portrait.head(replace(self.motion, identity=driver))

    def _make(self, name: str) -> np.ndarray:
        portrait = self.portrait
        match name:
            case "mesh":
                return self._head.camera_points
            case "flow":
                return self._looked_up[..., :2] * np.float32(portrait.side / portrait.square.side)
            case "hidden":
                return self._looked_up[..., 2]
            case "stretch":
                pixels = np.stack(np.meshgrid(*[np.arange(portrait.side, dtype=np.float32)] * 2), axis=-1)
                return np.clip(stretch(self._made_once("flow") + pixels), -MAX_STRETCH, MAX_STRETCH)
            case "parts":
                kind = self.geometry.fragments.image(portrait.kinds[self.geometry.fragment_part], NO_MESH)
                return portrait.square.cut_classes(kind, portrait.side, portrait.scale)
            case "lids":
                code, weights = self._made_once("pncc"), np.ones(3, np.float32)
                away = [np.square((code - middle) / reach) @ weights for middle, reach in portrait.eyes]
                return np.minimum(*away) < 1
            case "matte":
                x, y = (self.geometry.source[..., k] - np.float32(0.5) for k in range(2))
                return self._cut(cv2.remap(portrait.matte, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
            case "frame":
                turn = self.motion.gaze - portrait.face.gaze
                frame = portrait.drawing.draw(self._head, self.geometry, turn)
                self.finish(frame)
                return frame
            case "warped":
                return portrait.picture(self._made_once("frame"))
            case "driver_image":
                assert self._footage is not None
                return self._footage
            case "expression" | "rotation" | "translation" | "gaze":
                return np.stack([getattr(motion, name) for motion in self._window]).astype(np.float32)
        head = self._driver_head if name.startswith("driver_") else self._head
        return portrait.of_head(name.removeprefix("driver_"), head)

    @cached_property
    def _looked_up(self) -> np.ndarray:
        """(S, S, 3) float32: the flow in portrait pixels, and what of it is hidden."""
        flow = self.geometry
        hidden = flow.fragments.image(flow.fragment_hidden)
        known = np.dstack([flow.source - self.portrait.centres, hidden])
        return self._cut(known.astype(np.float32, copy=False))

    def _cut(self, image: np.ndarray) -> np.ndarray:
        """The square of an image at flow resolution."""
        return self.portrait.square.cut(image, self.portrait.side, self.portrait.scale)
