"""The triangles of some scenes in one heap on one device, and what they are like at any fragment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.raster import opencv, torch_scatter
from engine.raster.torch_scatter import Fragments
from engine.training.studio.scene import Material, Mesh, Scene

_NEAREST = 1.0  # cm: what comes closer to the camera is not drawn
_CLOSED = (Material.SKIN, Material.EYE, Material.TEETH, Material.GUMS)  # seen from the front only
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Heap:
    """What can be seen of the meshes of ``scenes``, less all that faces away or lies outside the pictures.

    Per vertex: ``place`` (N, 2) in widths of the image, ``depth`` (N,) cm, ``attributes`` (N, 10): position 3, normal 3,
    occlusion, tangent 3. Per triangle: ``triangles`` (T, 3), ``uv`` (T, 3, 2), ``texture`` (T,) counted over all scenes,
    ``material``, ``parsing``, ``scene``, ``slot`` (0 is opaque, then the layers from the first up), ``mesh`` (T,) counted
    within its scene. ``first_vertex`` holds, per scene and mesh, where its vertices start.
    """

    scenes: Sequence[Scene]
    slots: int
    place: Tensor
    depth: Tensor
    attributes: Tensor
    triangles: Tensor
    uv: Tensor
    texture: Tensor
    material: Tensor
    parsing: Tensor
    scene: Tensor
    slot: Tensor
    mesh: Tensor
    first_vertex: list[list[int]]

    @property
    def device(self) -> torch.device:
        return self.place.device

    def fragments(self, size: int, rasteriser: str) -> list[Fragments]:
        """What every slot shows, each alone, in pictures ``size`` wide stacked on top of one another."""
        if rasteriser == "torch":
            return self._by_torch(size)
        return self._by_opencv(size)

    def _by_torch(self, size: int) -> list[Fragments]:
        count, area = len(self.scenes), size * size
        image = self.slot * count + self.scene
        drawn = torch_scatter.rasterise(
            self.place * size, self.depth, self.triangles, (size, size), image, self.slots * count
        )
        edges = torch.arange(self.slots + 1, device=self.device) * (count * area)
        ends = torch.searchsorted(drawn.pixel, edges).tolist()
        slots = []
        for k in range(self.slots):
            pixel, *others = (field[ends[k] : ends[k + 1]] for field in drawn.fields())
            slots.append(Fragments((count * size, size), pixel - k * count * area, *others))
        return slots

    def _by_opencv(self, size: int) -> list[Fragments]:
        place, depth = self.place.numpy() * size, self.depth.numpy()
        triangles, scene, slot = self.triangles.numpy(), self.scene.numpy(), self.slot.numpy()
        slots = []
        for k in range(self.slots):
            parts = []
            for image in range(len(self.scenes)):
                chosen = np.flatnonzero((slot == k) & (scene == image))
                drawn = opencv.rasterise(place, depth, triangles[chosen], (size, size))
                fields = drawn.pixel + image * size * size, chosen[drawn.triangle], drawn.barycentric, drawn.depth
                parts.append([torch.from_numpy(np.ascontiguousarray(field)) for field in fields])
            fields = [torch.cat(field) if len(field) > 1 else field[0] for field in zip(*parts, strict=True)]
            slots.append(Fragments((len(self.scenes) * size, size), *fields))
        return slots

    def interpolate(self, fragments: Fragments) -> Tensor:
        """The attributes at fragments, channels first: (10, P)."""
        corners = self.triangles[fragments.triangle]
        weights = fragments.barycentric
        rows = [self.attributes[corners[:, k]] * weights[:, k : k + 1] for k in range(3)]
        return (rows[0] + rows[1] + rows[2]).t().contiguous()

    def texture_place(self, fragments: Fragments) -> Tensor:
        """Where fragments lie on their textures, (P, 2) in 0…1."""
        return torch.bmm(fragments.barycentric[:, None], self.uv[fragments.triangle])[:, 0]


def heap(scenes: Sequence[Scene], device: str | torch.device = "cpu") -> Heap:
    """Lay the scenes' visible triangles together."""
    layers = sorted({mesh.layer for scene in scenes for mesh in scene.meshes if mesh.layer > 0})
    slot_of = {0: 0, **{layer: k + 1 for k, layer in enumerate(layers)}}
    vertex_rows, triangle_rows = [], []
    first_vertex, start, first_texture = [], 0, 0
    for number, scene in enumerate(scenes):
        starts = []
        for index, mesh in enumerate(scene.meshes):
            place, depth = scene.project(mesh.vertices, 1)
            kept = _seen(mesh, place, depth)
            vertex_rows.append((place, depth, _attributes(mesh)))
            same = np.full(len(kept), 1, np.int64)
            triangle_rows.append(
                (
                    mesh.triangles[kept].astype(np.int64) + start,
                    mesh.uv[kept].astype(np.float32),
                    mesh.texture[kept].astype(np.int64) + first_texture,
                    mesh.material[kept].astype(np.int64),
                    mesh.parsing[kept].astype(np.int64),
                    same * number,
                    same * slot_of[mesh.layer],
                    same * index,
                )
            )
            starts.append(start)
            start += len(mesh.vertices)
        first_vertex.append(starts)
        first_texture += len(scene.textures)
    vertices = [torch.from_numpy(np.concatenate(rows)).to(device) for rows in zip(*vertex_rows, strict=True)]
    triangles = [torch.from_numpy(np.concatenate(rows)).to(device) for rows in zip(*triangle_rows, strict=True)]
    return Heap(scenes, len(slot_of), *vertices, *triangles, first_vertex)


def _seen(mesh: Mesh, place: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Triangles that face the camera or have two sides, and touch the picture."""
    if not len(mesh.triangles):
        return _NONE
    x, y, z = (values[mesh.triangles] for values in (place[:, 0], place[:, 1], depth))
    turned = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    facing = (turned < 0) | (mesh.material > max(_CLOSED))
    inside = (x.max(1) > 0) & (x.min(1) < 1) & (y.max(1) > 0) & (y.min(1) < 1) & (z.min(1) > _NEAREST)
    return np.flatnonzero(facing & inside)


def _attributes(mesh: Mesh) -> np.ndarray:
    table = np.zeros((len(mesh.vertices), 10), np.float32)
    table[:, :3], table[:, 3:6], table[:, 6] = mesh.vertices, mesh.normals, mesh.occlusion
    if mesh.tangents is not None:
        table[:, 7:] = mesh.tangents
    return table
