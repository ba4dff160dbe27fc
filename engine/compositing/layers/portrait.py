"""A portrait in layers: body over the background plate, the shell of hair and ears over it, the head's mesh on top."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.layers.atlas import Atlas
from engine.compositing.layers.body import body
from engine.compositing.layers.composite import Composite, FrameMaps
from engine.compositing.layers.head_mask import head_mask
from engine.compositing.layers.materials import materials, tightened
from engine.compositing.layers.outline import follow_outline
from engine.compositing.layers.relief import head_weights, relief
from engine.compositing.layers.shell import Shell
from engine.compositing.plate import Plate
from engine.compositing.warped_portrait import WarpedPortrait
from engine.face.camera import Pose
from engine.face.maths import smoothstep
from engine.geometry.flow import FlowBuilder, GeometryFlow
from engine.geometry.source_geometry import SourceGeometry, turn_weight
from engine.raster.opencv import Fragments

_TURNED = 0.12  # radians out of plane after which everything that the portrait does not show is filled
_POOR, _POOR_OVER = 0.5, 0.35  # the texture is completed where it is magnified to less than half
_AROUND = 3  # flow pixels that coordinates are continued beyond their edge


class Layers:
    """Draws the frames of one portrait, before eyes and mouth. Where nothing moves they are the portrait itself."""

    def __init__(
        self, rgb: np.ndarray, matte: np.ndarray, source: SourceGeometry, plate: Plate, side: int = 512
    ) -> None:
        """``source`` is corrected so that its mesh follows the head's outline."""
        self._rgb, self._plate, self._source = rgb, plate, source
        build = FlowBuilder(source, side)
        shape = build.shape
        self._matte = tightened(rgb, matte, plate.background, shape, source.diagonal * build.scale)
        small_rgb = cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_AREA)
        small_matte = cv2.resize(self._matte, shape[::-1], interpolation=cv2.INTER_AREA)
        self._weights = head_weights(source)
        head = head_mask(small_rgb, small_matte, relief(build, self._weights))
        ear = follow_outline(source, self._weights, head, build.scale)
        self.build = build = FlowBuilder(source, side)
        surface = relief(build, self._weights)
        under = body(build, small_rgb, small_matte, head, surface)
        given = materials(rgb, self._matte, plate.background, head, surface, under)
        self._shell = Shell(source, self._weights, surface, under.hole, surface.follows(small_matte))
        own = np.clip(given.own[..., :3], 0, 255).astype(np.uint8)
        own, certain = (cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA) for image in (own, given.certain))
        self._atlas = Atlas(source, self._weights, ear, own, certain, build.scale)
        self._outer = build.outer
        self._stretch = cv2.resize(under.stretch, self._outer.shape[::-1], interpolation=cv2.INTER_AREA)
        self._composite = Composite(rgb, plate.background, self._matte, given, self._atlas.picture, under.hole)

    def draw(self, flow: GeometryFlow, vertices: np.ndarray, pose: Pose) -> np.ndarray:
        """(H, W, 3) float32 of the moved head ``vertices`` (N, 3) in its own frame, so posed; ``flow`` is its own."""
        return self._composite(self._maps(flow, vertices, pose))

    def _maps(self, flow: GeometryFlow, vertices: np.ndarray, pose: Pose) -> FrameMaps:
        build, source, mesh = self.build, self._source, flow.fragments
        far = turn_weight(build.turn(pose), _TURNED)
        field = self._outer.forward(pose)
        soft = self._outer.moved(field, self._shell.pixels)
        shell = self._shell.draw(vertices, pose, source.camera, soft, build.scale, build.shape)
        covered = cv2.GaussianBlur(shell.image(np.ones(len(shell.pixel), np.float32)), (0, 0), 0.6)
        shell_offset = self._offset(shell, shell.gather(self._shell.pixels, self._shell.triangles))
        attributes = [source.pixels, self._poor(flow.camera_points, far), self._weights, self._atlas.places]
        values = mesh.gather(np.column_stack(attributes).astype(np.float32), flow.triangles)
        skin = flow.fragment_part == build.skin
        opacity = np.where(skin, smoothstep((values[:, 3] - 0.35) / 0.3), 1).astype(np.float32)
        opacity = cv2.GaussianBlur(mesh.image(opacity), (0, 0), 0.6)
        poor = self._continued(mesh, values[:, 2:3])
        return FrameMaps(
            body=self._body_offset(field, flow.vertices / np.float32(build.scale)),
            shell=np.dstack([shell_offset, covered]),
            mesh=np.dstack([self._offset(mesh, values[:, :2]), opacity, poor]),
            atlas=self._continued(mesh, values[:, 4:6]),
            before=np.float32(far) * _in_front(shell, mesh),
            far=far,
        )

    def _poor(self, camera_points: np.ndarray, far: float) -> np.ndarray:
        """(N,) 0…1: where the portrait shows the skin not at all, or at a much flatter angle than the frame does."""
        source, anatomy = self._source, self._source.anatomy
        toward = -(anatomy.normals(camera_points) * camera_points).sum(axis=1)
        facing = np.clip(toward / np.linalg.norm(camera_points, axis=1), 0.05, 1)
        ratio = np.clip(self._atlas.facing, 0, 1) / facing
        flat = smoothstep((_POOR - ratio) / _POOR_OVER) * (anatomy.skin & ~anatomy.delicate)
        poor = np.maximum(flat, source.hidden_hard * far) * far
        return np.maximum(poor, 0.9 * (anatomy.neighbours @ poor))

    def _body_offset(self, field: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """(h, w, 2) where the body looks: the soft motion, and neck skin that stretches up to a rising jaw."""
        marks = self._source.face.model.landmarks68
        was, now = marks.at(self._source.pixels)[2:15], marks.at(pixels)[2:15]
        rise = np.maximum(0, (self._outer.moved(field, was.astype(np.float32)) - now)[:, 1])
        order = np.argsort(was[:, 0])
        lifted = np.interp(self._outer.columns, was[order, 0], rise[order]).astype(np.float32)
        lifted = cv2.GaussianBlur(lifted[None], (0, 0), 0.06 * self._source.diagonal * self._outer.scale)
        field = field.copy()
        field[..., 1] -= lifted * self._stretch
        return self._outer.backward(field, self.build.shape)

    def _offset(self, drawn: Fragments, places: np.ndarray) -> np.ndarray:
        """Places (P, 2) in the portrait that fragments look up, as an image of offsets (h, w, 2)."""
        centres = (np.stack([drawn.columns, drawn.rows], axis=1) + 0.5) / self.build.scale
        return self._continued(drawn, places - centres)

    def _continued(self, drawn: Fragments, values: np.ndarray) -> np.ndarray:
        """Values (P, C) of fragments as an image (h, w, C), continued a little beyond their edge so that enlarging
        finds some."""
        image = drawn.image(values.astype(np.float32)).reshape(*drawn.shape, -1)
        mask = drawn.image(np.ones(len(drawn.pixel), np.float32))
        size = (2 * _AROUND + 1, 2 * _AROUND + 1)
        around = cv2.blur(image, size).reshape(image.shape)
        around /= np.maximum(cv2.blur(mask, size), 1e-6)[..., None]
        return np.where(mask[..., None] > 0, image, around)


def _in_front(shell: Fragments, mesh: Fragments) -> np.ndarray:
    """(h, w) 0…1: where the shell lies before the mesh."""
    nothing = np.float32(1e6)
    near = mesh.image(mesh.depth, nothing)
    drawn = (near < nothing).astype(np.float32)
    front = ((shell.image(shell.depth, nothing) < near) & (drawn > 0)).astype(np.float32)
    share = cv2.GaussianBlur(drawn, (0, 0), 1.2)
    return cv2.GaussianBlur(front, (0, 0), 1.2) / np.maximum(share, 1e-3) * (share > 1e-3)


class LayeredPortrait(WarpedPortrait):
    def __init__(self, portrait, matte=None):
        from engine.compositing import warped_portrait as wp

        matte = wp._matte(portrait.rgb) if matte is None else matte
        super().__init__(portrait, matte)
        self._layers = Layers(portrait.rgb, matte, self._source, self._plate)
        self.build = self._layers.build

    def trace(self, motion):
        vertices = self.place(motion)
        pose = Pose(motion.rotation, motion.translation)
        flow = self.build(vertices, pose)
        frame = self._layers.draw(flow, vertices, pose)
        self._eyes.paint(frame, flow, vertices, motion.gaze - self._face.gaze)
        self._mouth.paint(frame, flow, vertices)
        return np.clip(np.rint(frame), 0, 255).astype(np.uint8), flow
