"""What the networks are told beside pixels: two codes of the bare mesh and what the geometry knows, on a square crop.

Training and inference read the same buffers from here. The second code is the paper's (doi 10.1145/3571857, abstract):
PNCC of the source's own identity, posed and expressed as the driver is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.face.camera import Pose
from engine.face.model import FaceModel
from engine.geometry.flow import FlowBuilder, GeometryFlow, stretch
from engine.geometry.framing import Square
from engine.geometry.pncc import normalised_coordinates
from engine.raster.opencv import Fragments

NO_MESH, SKIN, EYE, MOUTH = range(4)  # values of Conditions.part
MAX_STRETCH = 4.0
_EYES = ("eye_left", "eye_right", "socket")
_LIDS = 0.8  # of an eye's width from its middle: lids, lashes and the crease above
_COVERED = 0.5  # share of a pixel that must show mesh for it to have a code


@dataclass(frozen=True)
class Conditions:
    """Pictures S wide of one frame. ``pncc`` (S, S, 3) float32 in 0…1, 0 where no mesh is drawn; ``flow`` (S, S, 2)
    float32 GeometryFlow.source as an offset (x, y) in pixels of this picture to the place looked up; ``hidden`` (S, S)
    float32 0…1 how much of what the mesh looks up the portrait does not show; ``stretch`` (S, S) float32
    of ``geometry_flow.stretch`` within ±MAX_STRETCH; ``part`` (S, S) uint8 of NO_MESH, SKIN, EYE and MOUTH; ``lids``
    (S, S) bool what is around both eyes, open or shut.
    """

    pncc: np.ndarray
    flow: np.ndarray
    hidden: np.ndarray
    stretch: np.ndarray
    part: np.ndarray
    lids: np.ndarray

    @property
    def motion(self) -> float:
        """How far the face is from how it lies in the portrait: what all but the hundredth part of the mesh that moves
        most stays below, as a share of the square's side. A lid that closes counts."""
        far = np.linalg.norm(self.flow[self.part != NO_MESH], axis=1)
        return float(np.quantile(far, 0.99)) / len(self.flow) if len(far) else 0.0


def eyes_in_code(model: FaceModel) -> np.ndarray:
    """(2, 2, 3) float32: of each eye the middle, and how far its lids reach, as PNCC has it."""
    marks, span = model.landmarks68.at(normalised_coordinates(model)), np.ptp(model.vertices, axis=0)
    eyes = [marks[36:42], marks[42:48]]
    middles = np.array([(eye.min(axis=0) + eye.max(axis=0)) / 2 for eye in eyes])
    reach = np.array([_LIDS * np.ptp(eye, axis=0)[0] * span[0] / span for eye in eyes])  # as far on every axis
    return np.stack([middles, reach]).astype(np.float32)


class Conditioner:
    """Makes the conditions of one portrait's frames on one ``square`` of it, ``size`` pixels wide."""

    def __init__(self, build: FlowBuilder, square: Square, size: int) -> None:
        self.square, self.size = square, size
        self._build = build
        camera, (height, width) = build.source.camera, build.shape
        self._scale = width / camera.width, height / camera.height
        rows, columns = np.indices(build.shape, np.float32)
        self._centres = np.stack([(columns + 0.5) / self._scale[0], (rows + 0.5) / self._scale[1]], axis=-1)
        self._grid = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 2), axis=-1)
        model = build.source.face.model
        self._code, self._eyes = normalised_coordinates(model), eyes_in_code(model)
        self._kind = np.full(max(model.parts.values()) + 1, MOUTH, np.uint8)
        self._kind[model.parts["skin"]] = SKIN
        self._kind[[model.parts[name] for name in _EYES if name in model.parts]] = EYE

    def source_pncc(self) -> np.ndarray:
        """The code as the head lies in the portrait itself, (S, S, 3) float32."""
        source = self._build.source
        return self.pncc(source.vertices, source.face.pose)

    def pncc(self, head: np.ndarray, pose: Pose) -> np.ndarray:
        """The code of any ``head`` (N, 3) so posed, (S, S, 3) float32."""
        pixels, depth = self._build.source.camera.project(pose.apply(head))
        fragments, _, triangles = self._build.rasterised(pixels, depth)
        return self._coded(fragments, triangles)

    def __call__(self, flow: GeometryFlow) -> Conditions:
        """Of a frame drawn by ``flow``."""
        hidden = flow.fragments.image(flow.fragment_hidden)
        known = np.dstack([flow.source - self._centres, hidden])
        cut = self.square.cut(known.astype(np.float32, copy=False), self.size, self._scale)
        offset = cut[..., :2] * np.float32(self.size / self.square.side)
        kind = flow.fragments.image(self._kind[flow.fragment_part], NO_MESH)
        code = self._coded(flow.fragments, flow.triangles)
        away = [np.square((code - middle) / reach) @ np.ones(3, np.float32) for middle, reach in zip(*self._eyes)]
        return Conditions(
            pncc=code,
            flow=offset,
            hidden=cut[..., 2],
            stretch=np.clip(stretch(offset + self._grid), -MAX_STRETCH, MAX_STRETCH),
            part=self.square.cut_classes(kind, self.size, self._scale),
            lids=np.minimum(*away) < 1,
        )

    def _coded(self, fragments: Fragments, triangles: np.ndarray) -> np.ndarray:
        """Averages of the code where the mesh covers enough of a pixel, not of the code and nothing."""
        code = np.column_stack([fragments.gather(self._code, triangles), np.ones(len(fragments.pixel), np.float32)])
        image = fragments.image(code.astype(np.float32, copy=False))
        cut = self.square.cut(image, self.size, self._scale)
        share = cut[..., 3:]
        return np.where(share >= _COVERED, cut[..., :3] / np.maximum(share, _COVERED), np.float32(0))
