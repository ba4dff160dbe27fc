"""The triangles of several scenes in one buffer on one device, and their attributes at fragments."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.raster import cull, opencv, torch_scatter
from engine.raster.torch_scatter import Fragments
from engine.training.studio.renderer.shading import Points
from engine.training.studio.renderer.vectors import channels_first, indices, of_scene, weighted
from engine.training.studio.stage.scene import Material, Mesh, Scene

HEAD = "head"  # the name of the face model's mesh
_NEAREST = 1.0  # cm: the near plane
_SMALL = 8  # pixels per triangle below which many triangles contain no pixel centre
_CLOSED = (Material.SKIN, Material.EYE, Material.TEETH, Material.GUMS)  # drawn from the front only


@dataclass(frozen=True)
class Heap:
    """The triangles of the meshes of ``scenes``, without those that face away or lie outside the pictures.

    Per vertex: ``place`` (N, 2) in widths of the image, ``depth`` (N,) cm, ``normal`` (N, 4) with the occlusion as its
    fourth, ``tangent`` (N, 3), ``vertex_scene`` (N,). Per triangle: ``triangles`` (T, 3),
    ``uv`` (T, 6), ``texture`` (T,) counted over all scenes, ``material``, ``parsing``, ``scene``, ``slot`` (T,): 0 the
    head, 1 all else that is opaque, then the layers from the first up; ``mesh`` (T,) counted within its scene.
    ``first_vertex`` holds, per scene and mesh, where its vertices start; ``hair`` which of the layers hold hair.
    """

    scenes: Sequence[Scene]
    slots: int
    hair: list[int]
    first_vertex: list[list[int]]
    place: Tensor
    depth: Tensor
    normal: Tensor
    tangent: Tensor
    vertex_scene: Tensor
    triangles: Tensor
    uv: Tensor
    texture: Tensor
    material: Tensor
    parsing: Tensor
    scene: Tensor
    slot: Tensor
    mesh: Tensor

    @property
    def device(self) -> torch.device:
        return self.place.device

    def opaque(self, width: int, rasteriser: str) -> Fragments:
        """Opaque fragments, in pictures of this width stacked vertically."""
        return self._drawn(indices(self.slot < 2), torch.zeros_like(self.slot), 1, width, rasteriser)[0]

    def head_and_rest(self, width: int, rasteriser: str) -> tuple[Fragments, Fragments]:
        """The head and other opaque meshes, drawn separately, likewise."""
        head, rest = self._drawn(indices(self.slot < 2), self.slot, 2, width, rasteriser)
        return head, rest

    def layers(self, worth: Tensor, wall: Tensor, width: int, rasteriser: str) -> list[Fragments]:
        """What each layer with alpha shows alone of the triangles that are ``worth`` drawing (T,); ``wall`` (pixels,)
        is the depth of what is opaque, behind which nothing need be drawn."""
        chosen = self._before(wall, indices(worth), width, rasteriser)
        return self._drawn(chosen, self.slot - 2, self.slots - 2, width, rasteriser)

    def behind(
        self, worth: Tensor, layers: Sequence[Fragments], wall: Tensor, width: int, rasteriser: str
    ) -> Fragments:
        """The nearest hair in front of a ``wall`` (0: none) that ``layers`` do not show yet."""
        unseen = worth & (self.material == Material.HAIR)
        for layer in layers:
            unseen[layer.triangle[indices(wall.index_select(0, layer.pixel) > 0)]] = False
        chosen = indices(unseen)
        if rasteriser != "torch" and len(chosen):
            wanted = wall.view(width, width).numpy() > 0
            chosen = chosen[torch.from_numpy(cull.over(self._places(chosen, width)[0], wanted))]
        chosen = self._before(wall, chosen, width, rasteriser)
        return self._drawn(chosen, torch.zeros_like(self.slot), 1, width, rasteriser)[0]

    def _before(self, wall: Tensor, chosen: Tensor, width: int, rasteriser: str) -> Tensor:
        """The ``chosen`` triangles without those entirely behind a wall; all of them for the torch rasteriser,
        which draws all scenes together."""
        if rasteriser == "torch" or not len(chosen):
            return chosen
        places, (a, b, c) = self._places(chosen, width)
        nearest = np.minimum(np.minimum(a, b), c)
        return chosen[torch.from_numpy(~cull.hidden(places, nearest, wall.view(width, width).numpy()))]

    def _places(self, chosen: Tensor, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The corners of ``chosen`` triangles in pixels, (2, 3, T), and their depths (3, T)."""
        corners = np.ascontiguousarray(self.triangles.index_select(0, chosen).numpy().T)
        places = np.ascontiguousarray(self.place.numpy().T) * width
        return places.take(corners, axis=1), self.depth.numpy().take(corners)

    def _drawn(self, chosen: Tensor, slot: Tensor, slots: int, width: int, rasteriser: str) -> list[Fragments]:
        """The ``chosen`` triangles, in pictures of their own for every ``slot`` (T,)."""
        if not slots:
            return []
        count, area = len(self.scenes), width * width
        image, triangles = slot.index_select(0, chosen), self.triangles.index_select(0, chosen)
        if rasteriser == "opencv" and count == 1:
            drawn = draw_each(self.place, self.depth, triangles, image, slots, width)
            return [replace(one, triangle=chosen.index_select(0, one.triangle)) for one in drawn]
        image = image * count + self.scene.index_select(0, chosen)
        drawn = draw(self.place, self.depth, triangles, image, slots * count, width, rasteriser)
        edges = torch.arange(slots + 1, device=self.device) * (count * area)
        ends = torch.searchsorted(drawn.pixel, edges).tolist()
        found = []
        for k in range(slots):
            pixel, triangle, *others = (field[ends[k] : ends[k + 1]] for field in drawn.fields())
            triangle = chosen.index_select(0, triangle)
            found.append(Fragments((count * width, width), pixel - k * count * area, triangle, *others))
        return found

    def gather(self, rows: Tensor, fragments: Fragments) -> Tensor:
        """Values of vertices (N, C) at fragments, (P, C)."""
        return weighted(rows, self.triangles.index_select(0, fragments.triangle), fragments.barycentric)

    def points(self, vertices: Tensor, material: Tensor) -> Points:
        """Vertices (P,) of surfaces of a ``material`` (P,) as points on which light falls."""
        place, depth = self.place.index_select(0, vertices).t(), self.depth.index_select(0, vertices)
        scene = self.vertex_scene.index_select(0, vertices)
        normal = channels_first(self.normal.index_select(0, vertices))
        scale = depth / of_scene(self.focal, scene)[0]
        return Points(
            position=torch.stack([(place[0] - 0.5) * scale, (0.5 - place[1]) * scale, -depth]),
            normal=normal[:3],
            tangent=channels_first(self.tangent.index_select(0, vertices)),
            occlusion=normal[3],
            material=material,
            scene=scene,
        )

    def points_at(self, fragments: Fragments, width: int) -> Points:
        """Fragments of pictures of this width as points on which light falls; their tangents are left out."""
        normal = channels_first(self.gather(self.normal, fragments))
        return Points(
            position=self.position(fragments, width),
            normal=normal[:3],
            tangent=normal[:3],
            occlusion=normal[3],
            material=self.material.index_select(0, fragments.triangle),
            scene=self.scene.index_select(0, fragments.triangle),
        )

    @functools.cached_property
    def focal(self) -> Tensor:
        """Of every scene, (B, 1), in widths."""
        return torch.tensor([[scene.focal] for scene in self.scenes], device=self.device)

    def texture_place(self, fragments: Fragments) -> Tensor:
        """Where fragments lie on their textures, (2, P) in 0…1."""
        a, b, c = channels_first(self.uv.index_select(0, fragments.triangle)).split(2)
        weights = channels_first(fragments.barycentric)
        return torch.addcmul(torch.addcmul(a * weights[0], b, weights[1]), c, weights[2])

    def position(self, fragments: Fragments, width: int) -> Tensor:
        """Where in camera space fragments of pictures of this width lie, (3, P) cm."""
        area = width * width
        focal = of_scene(self.focal, torch.div(fragments.pixel, area, rounding_mode="floor"))[0]
        row = torch.div(fragments.pixel, width, rounding_mode="floor")
        column = fragments.pixel - row * width
        scale = fragments.depth / (focal * width)
        x = (column + (0.5 - width / 2)) * scale
        y = ((width / 2 - 0.5) - row.remainder(width)) * scale
        return torch.stack([x, y, -fragments.depth])


def heap(scenes: Sequence[Scene], device: str | torch.device = "cpu") -> Heap:
    """The buffer of the scenes' visible triangles."""
    layers = sorted({mesh.layer for scene in scenes for mesh in scene.meshes if mesh.layer > 0})
    slot_of = {0: 1, **{layer: k + 2 for k, layer in enumerate(layers)}}
    vertex_rows, triangle_rows = [], []
    first_vertex, start, first_texture = [], 0, 0
    for number, scene in enumerate(scenes):
        starts = []
        for index, mesh in enumerate(scene.meshes):
            place, depth = scene.project(mesh.vertices, 1)
            normal = np.column_stack([mesh.normals, mesh.occlusion]).astype(np.float32, copy=False)
            tangent = np.zeros((len(depth), 3), np.float32)
            if mesh.tangents is not None:
                tangent[:] = mesh.tangents
            vertex_rows.append((place, depth, normal, tangent, np.full(len(depth), number)))
            kept = seen(mesh, place, depth)
            same = np.full(len(kept), 1, np.int64)
            triangle_rows.append(
                (
                    mesh.triangles.take(kept, axis=0).astype(np.int64, copy=False) + start,
                    mesh.uv.reshape(-1, 6).take(kept, axis=0).astype(np.float32, copy=False),
                    mesh.texture.take(kept).astype(np.int64, copy=False) + first_texture,
                    mesh.material.take(kept).astype(np.int64, copy=False),
                    mesh.parsing.take(kept).astype(np.int64, copy=False),
                    same * number,
                    same * (0 if mesh.name == HEAD else slot_of[mesh.layer]),
                    same * index,
                )
            )
            starts.append(start)
            start += len(mesh.vertices)
        first_vertex.append(starts)
        first_texture += len(scene.textures)
    vertices = ("place", "depth", "normal", "tangent", "vertex_scene"), vertex_rows
    triangles = ("triangles", "uv", "texture", "material", "parsing", "scene", "slot", "mesh"), triangle_rows
    columns = {
        name: torch.from_numpy(np.concatenate(parts)).to(device)
        for names, rows in (vertices, triangles)
        for name, parts in zip(names, zip(*rows, strict=True), strict=True)
    }
    hair = {m.layer for scene in scenes for m in scene.meshes if m.layer > 0 and (m.material == Material.HAIR).any()}
    counted = [layers.index(layer) for layer in sorted(hair)]
    return Heap(scenes=scenes, slots=len(slot_of) + 1, hair=counted, first_vertex=first_vertex, **columns)


def seen(mesh: Mesh, place: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Indices of triangles that face the camera or have two sides, and touch the picture; ``place`` in widths."""
    corners = np.ascontiguousarray(mesh.triangles.T)
    places = np.ascontiguousarray(place.T).take(corners, axis=1)
    seen = cull.facing(places) | (mesh.material > max(_CLOSED))
    for a, b, c in places:  # a triangle entirely on one side of the picture is invisible
        seen &= (np.maximum(np.maximum(a, b), c) > 0) & (np.minimum(np.minimum(a, b), c) < 1)
    if (depth < _NEAREST).any():
        a, b, c = (depth < _NEAREST)[corners]
        seen &= ~(a | b | c)
    return np.flatnonzero(seen)


def draw(
    place: Tensor, depth: Tensor, triangles: Tensor, image: Tensor, images: int, width: int, rasteriser: str
) -> Fragments:
    """Square pictures of triangles (T, 3) over ``place`` (N, 2) in widths, each triangle in its ``image`` (T,) of a
    stack of ``images``."""
    if rasteriser == "torch":
        return torch_scatter.rasterise(place * width, depth, triangles, (width, width), image, images)
    drawn = draw_each(place, depth, triangles, image, images, width)
    fields = [torch.cat(field) for field in zip(*(one.fields() for one in drawn), strict=True)]
    starts = torch.arange(images).repeat_interleave(torch.tensor([len(one.pixel) for one in drawn])) * (width * width)
    return Fragments((images * width, width), fields[0] + starts, *fields[1:])


def draw_each(
    place: Tensor, depth: Tensor, triangles: Tensor, image: Tensor, images: int, width: int
) -> list[Fragments]:
    """As :func:`draw` with OpenCV, one picture at a time."""
    x, y = (np.ascontiguousarray(axis) for axis in (place.numpy() * width).T)
    corners, own = triangles.numpy(), image.numpy()
    drawn = []
    for k in range(images):
        if images == 1:
            found = _draw_by_opencv(x, y, depth.numpy(), corners, width)
        else:
            chosen = np.flatnonzero(own == k)
            pixel, triangle, *others = _draw_by_opencv(x, y, depth.numpy(), corners.take(chosen, axis=0), width)
            found = pixel, chosen.take(triangle), *others
        drawn.append(Fragments((width, width), *(torch.from_numpy(field) for field in found)))
    return drawn


def _draw_by_opencv(
    x: np.ndarray, y: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixel, triangle, barycentrics and depth of what is drawn, within the bounding rectangle."""
    kept = None
    if len(triangles) * _SMALL > width * width:
        kept = cull.holding_centres(np.stack([x.take(triangles.T), y.take(triangles.T)]), (width, width))
        triangles = triangles[kept]
    if not len(triangles):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    corners = triangles.reshape(-1)
    x, y = x.take(corners), y.take(corners)
    (left, right), (top, bottom) = (
        (int(np.clip(np.floor(axis.min()), 0, width - 1)), int(np.clip(np.floor(axis.max()) + 1, 1, width)))
        for axis in (x, y)
    )
    x -= np.float32(left)
    y -= np.float32(top)
    drawn = opencv.rasterise_corners(x, y, depth.take(corners), (bottom - top, right - left))
    triangle = drawn.triangle if kept is None else kept[drawn.triangle]
    pixel = drawn.pixel + drawn.rows * (width - (right - left)) + (top * width + left)
    return pixel, triangle, drawn.barycentric, drawn.depth
