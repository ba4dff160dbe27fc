"""Plainly shaded renders, for the detector and for contact sheets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.face.camera import Camera, Pose
from engine.raster import opencv
from engine.raster.opencv import Fragments

BACKGROUND = (96, 104, 112)
SUPERSAMPLING = 2


def rotation(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """Degrees → (3, 3): yaw turns the face to +x, pitch up."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in np.radians([yaw, -pitch, roll]))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def look_at(target: np.ndarray, turn: np.ndarray, width_cm: float, camera: Camera) -> Pose:
    """The pose that shows ``target`` at the centre, turned by ``turn``, with ``width_cm`` across the image."""
    distance = camera.focal * width_cm / camera.width
    return Pose(turn, np.array([0, 0, -distance]) - turn @ target)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3), weighted by area; zero for unused vertices."""
    corner = vertices[triangles]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(vertices)
    for axis in range(3):
        total[:, axis] = np.bincount(triangles.ravel(), np.repeat(normal[:, axis], 3), minlength=len(vertices))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class View:
    """A mesh seen by a camera: its fragments and their light (P,)."""

    camera: Camera
    fragments: Fragments
    light: np.ndarray

    def image(self, albedo: np.ndarray) -> np.ndarray:
        """Per-fragment ``albedo`` (P, 3) in 0…255, shaded: (H, W, 3) uint8 after averaging the supersamples."""
        buffer = np.empty((*self.fragments.shape, 3), np.float32)
        buffer[:] = BACKGROUND
        buffer[self.fragments.rows, self.fragments.columns] = albedo * self.light[:, None]
        height, width = (n // SUPERSAMPLING for n in self.fragments.shape)
        folded = buffer.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean(axis=(1, 3))
        return folded.clip(0, 255).astype(np.uint8)


def see(
    vertices: np.ndarray,
    triangles: np.ndarray,
    pose: Pose,
    camera: Camera,
    light: tuple[float, float, float] = (0.35, 0.45, 0.82),
) -> View:
    """Rasterise at SUPERSAMPLING times the camera's size and light with one lamp and a soft fill."""
    large = Camera(camera.width * SUPERSAMPLING, camera.height * SUPERSAMPLING)
    posed = pose.apply(vertices)
    pixels, depth = large.project(posed)
    fragments = opencv.rasterise(pixels, depth, triangles, (large.height, large.width))
    normal = fragments.gather(vertex_normals(posed, triangles), triangles)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    lamp = np.clip(normal @ np.asarray(light), 0, None)
    fill = 0.5 + 0.5 * normal[:, 1]
    facing = normal[:, 2] > -0.2
    return View(camera, fragments, np.where(facing, 0.30 + 0.16 * fill + 0.62 * lamp, 0.2))


def seen_triangles(vertices: np.ndarray, triangles: np.ndarray, size: int = 900) -> np.ndarray:
    """Which triangles (T,) bool are visible from around and above: nostrils, inner lips and lids do not."""
    camera = Camera(size, size)
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    width = float(np.ptp(vertices, axis=0).max()) * 1.1
    around = [(yaw, pitch) for yaw in range(-160, 200, 40) for pitch in (-20, 0)]
    seen = np.zeros(len(triangles), bool)
    for yaw, pitch in [*around, (0, -70), (180, 60)]:
        posed = look_at(middle, rotation(yaw, pitch), width, camera).apply(vertices)
        pixels, depth = camera.project(posed)
        corner = posed[triangles]
        outward = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        front = np.einsum("td,td->t", outward, corner[:, 0]) < 0
        shown = opencv.rasterise(pixels, depth, triangles, (size, size)).triangle
        seen |= (np.bincount(shown, minlength=len(triangles)) > 0) & front
    return seen
