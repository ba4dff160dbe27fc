"""A portrait in layers: body over the background plate, the shell of hair and ears over it, the head's mesh on top."""

from __future__ import annotations

import cv2
import numpy as np

from engine.compositing.layers.atlas import Atlas
from engine.compositing.layers.body import body
from engine.compositing.layers.composite import Composite, FrameMaps
from engine.compositing.layers.materials import materials
from engine.compositing.layers.outline import HeadOutline
from engine.compositing.layers.relief import relief
from engine.compositing.layers.shell import Shell
from engine.face.maths import smoothstep
from engine.geometry.flow import FlowBuilder, PosedHead
from engine.geometry.source_geometry import turn_weight
from engine.raster.opencv import Fragments

_TURNED = 0.12  # radians out of plane after which everything that the portrait does not show is filled
_POOR, _POOR_OVER = 0.5, 0.35  # the texture is completed where it is magnified to less than half
_AROUND = 3  # flow pixels that coordinates are continued beyond their edge


class Layers:
    """Draws the frames of one portrait, before eyes and mouth. Where nothing moves they are the portrait itself."""

    def __init__(self, rgb: np.ndarray, build: FlowBuilder, outline: HeadOutline) -> None:
        """``rgb`` (H, W, 3) uint8; ``build`` is of the geometry that :func:`fit_outline` has corrected."""
        source, shape = build.source, build.shape
        self._source, self._build, self._weights = source, build, outline.weights
        small_rgb, small_matte = (
            cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA) for image in (rgb, outline.matte)
        )
        surface = relief(build, outline.weights)
        under = body(build, small_rgb, small_matte, outline.mask, surface)
        given = materials(rgb, outline.matte, outline.background, outline.mask, surface, under)
        self._shell = Shell(source, outline.weights, surface, under.hole, surface.follows(small_matte))
        own = np.clip(given.own[..., :3], 0, 255).astype(np.uint8)
        own, certain = (cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA) for image in (own, given.certain))
        self._atlas = Atlas(source, outline.weights, outline.ear, own, certain, build.scale)
        self._outer = build.outer
        self._stretch = cv2.resize(under.stretch, self._outer.shape[::-1], interpolation=cv2.INTER_AREA)
        self._composite = Composite(rgb, outline.background, outline.matte, given, self._atlas.picture, under.hole)

    def draw(self, head: PosedHead) -> np.ndarray:
        """(H, W, 3) float32 of the portrait with its head moved."""
        return self._composite(self._maps(head))

    def _maps(self, head: PosedHead) -> FrameMaps:
        build, source = self._build, self._source
        mesh, part, triangles = head.drawn
        far = turn_weight(build.turn(head.pose), _TURNED)
        field = self._outer.forward(head.pose)
        soft = self._outer.moved(field, self._shell.pixels)
        shell = self._shell.draw(head.vertices, head.pose, source.camera, soft, build.scale, build.shape)
        covered = cv2.GaussianBlur(shell.image(np.ones(len(shell.pixel), np.float32)), (0, 0), 0.6)
        shell_offset = self._offset(shell, shell.gather(self._shell.pixels, self._shell.triangles))
        attributes = [source.pixels, self._poor(head.camera_points, far), self._weights, self._atlas.places]
        values = mesh.gather(np.column_stack(attributes).astype(np.float32), triangles)
        skin = part == build.skin
        opacity = np.where(skin, smoothstep((values[:, 3] - 0.35) / 0.3), 1).astype(np.float32)
        opacity = cv2.GaussianBlur(mesh.image(opacity), (0, 0), 0.6)
        poor = self._continued(mesh, values[:, 2:3])
        return FrameMaps(
            body=self._body_offset(field, head.pixels),
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
        return self._outer.backward(field, self._build.shape)

    def _offset(self, drawn: Fragments, places: np.ndarray) -> np.ndarray:
        """Places (P, 2) in the portrait that fragments look up, as an image of offsets (h, w, 2)."""
        centres = (np.stack([drawn.columns, drawn.rows], axis=1) + 0.5) / self._build.scale
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
    nothing = 1e6
    near = mesh.image(mesh.depth, nothing)
    drawn = (near < nothing).astype(np.float32)
    front = ((shell.image(shell.depth, nothing) < near) & (drawn > 0)).astype(np.float32)
    share = cv2.GaussianBlur(drawn, (0, 0), 1.2)
    return cv2.GaussianBlur(front, (0, 0), 1.2) / np.maximum(share, 1e-3) * (share > 1e-3)
