"""Scene → picture and the surface at every pixel: a deferred renderer, to be read from top to bottom.

Triangles are laid in one heap, drawn slot by slot (the opaque ones, then each layer with alpha), looked up in their
textures, resolved by depth, shaded once where they are seen, tone-mapped, and only then averaged down, so that
highlights have smooth edges too. Labels come from a drawing at the picture's own size (see :mod:`.labels`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.face import model as face_model
from engine.geometry import pncc
from engine.raster.torch_scatter import Fragments
from engine.training.studio.renderer import layers, lens, shading, shadow, surfaces, texels
from engine.training.studio.renderer.surfaces import Heap
from engine.training.studio.renderer.texels import Texels
from engine.training.studio.renderer.vectors import channels_first, indices, of_scene, piecewise, weighted
from engine.training.studio.stage.scene import Parsing, Scene


@dataclass(frozen=True)
class Profile:
    """``samples`` a side of a pixel; whether the key light casts ``shadows``."""

    samples: int
    shadows: bool


_SHADOW_TEXELS = 1.0  # a pixel
_MISSED = 4.0  # pixels: triangles of this area may lie between pixel centres
TRAINING = Profile(1, False)
FULL = Profile(2, True)


@dataclass(frozen=True)
class Picture:
    """A rendered scene, ``size`` pixels wide.

    ``image`` (S, S, 3) uint8, ``matte`` (S, S) uint8, ``parsing`` (S, S) uint8, ``depth`` (S, S) float32 cm, infinity
    in the background, ``pncc`` (S, S, 3) float16 of the head alone. The surface that each covered pixel is labelled
    by: ``pixel`` (P,) row · S + column, ``mesh`` (P,) of the scene, ``corners`` (P, 3) vertices of that mesh,
    ``barycentric`` (P, 3).
    """

    scene: Scene
    size: int
    image: np.ndarray
    matte: np.ndarray
    parsing: np.ndarray
    depth: np.ndarray
    pncc: np.ndarray
    pixel: np.ndarray
    mesh: np.ndarray
    corners: np.ndarray
    barycentric: np.ndarray


def render(scene: Scene, size: int, profile: Profile = TRAINING, rasteriser: str = "opencv") -> Picture:
    """Draw one scene on the CPU; ``rasteriser`` is ``opencv`` or ``torch``."""
    return _render([scene], size, profile, rasteriser, "cpu")[0]


def render_many(scenes: Sequence[Scene], size: int, profile: Profile = TRAINING, device: str = "cuda") -> list[Picture]:
    """Draw scenes together on a device with the torch rasteriser; the caller keeps the number within its memory."""
    return _render(scenes, size, profile, "torch", device)


@torch.no_grad()
def _render(scenes: Sequence[Scene], size: int, profile: Profile, rasteriser: str, device: str) -> list[Picture]:
    heap = surfaces.heap(scenes, device)
    head, rest = heap.head_and_rest(size, rasteriser)
    plain = fine = _drawing(heap, layers.nearer(head, rest), size, rasteriser)
    if profile.samples > 1:
        width = size * profile.samples
        fine = _drawing(heap, heap.opaque(width, rasteriser), width, rasteriser, plain)
    colour, matte = _shade(heap, fine, size, profile, rasteriser)
    return _pictures(heap, plain, head, colour, matte, size)


@dataclass(frozen=True)
class _Drawing:
    """Pictures of one width before they are shaded: ``slots`` of fragments, what is opaque first, then each layer where
    it lies in front of that, then the hair that is seen through gaps of the layers, since a layer holds one fragment a
    pixel; the layers' colours ``rgba``; the light that passes ``through`` to each slot; and the ``octaves`` by which
    each texture is finer than the picture."""

    width: int
    slots: list[Fragments]
    rgba: list[Tensor]
    through: list[Tensor]
    texels: Texels
    octaves: Tensor


def _potentially_visible(heap: Heap, drawing: _Drawing) -> Tensor:
    """Triangles of the layers that a finer drawing may show, (T,) bool: those visible in this one, and small
    ones, which it may have missed. The others are hidden; hair cards hide many."""
    worth = torch.zeros(len(heap.triangles), dtype=torch.bool, device=heap.device)
    layered = indices(heap.slot >= 2)
    corners = heap.place[heap.triangles.index_select(0, layered)] * drawing.width
    worth[layered] = _area(*corners.unbind(1)) < _MISSED
    for layer in drawing.slots[1:]:
        worth[layer.triangle] = True
    return worth


def _drawing(heap: Heap, opaque: Fragments, width: int, rasteriser: str, coarser: _Drawing | None = None) -> _Drawing:
    """What is ``opaque`` with the layers; a ``coarser`` drawing of the same tells what of them may be seen, and how
    large textures are."""
    wall = layers.wall(opaque)
    worth = heap.slot >= 2 if coarser is None else _potentially_visible(heap, coarser)
    slots = [opaque, *(layers.before(wall, layer) for layer in heap.layers(worth, wall, width, rasteriser))]
    textures = [texture for scene in heap.scenes for texture in scene.textures]
    if coarser is None:
        octaves = _octaves(heap, slots, width)
    else:
        octaves = coarser.octaves - float(np.log2(width / coarser.width))
    found = texels.texels(textures, octaves.round().clamp(0, 8).int().tolist(), heap.device)
    rgba = _colours(heap, found, slots[1:])
    if heap.hair:
        hair = [slots[1 + k] for k in heap.hair]
        gaps = layers.through_gaps(wall, hair, [rgba[k][3] for k in heap.hair])
        slots.append(layers.before(gaps, heap.behind(worth, hair, gaps, width, rasteriser)))
        rgba += _colours(heap, found, slots[-1:])
    through = layers.transmittance(slots, [colour[3] for colour in rgba])
    return _Drawing(width, slots, rgba, through, found, octaves)


def _colours(heap: Heap, texels: Texels, slots: Sequence[Fragments]) -> list[Tensor]:
    """Of the fragments of each slot, (4, P)."""
    if not slots:
        return []
    fragments = layers.joined(slots)
    rgba = texels.colours(heap.texture.index_select(0, fragments.triangle), heap.texture_place(fragments))
    return list(rgba.split([len(slot.pixel) for slot in slots], 1))


def _octaves(heap: Heap, slots: Sequence[Fragments], width: int) -> Tensor:
    """Per texture, how often to halve it so that on average a texel is a pixel."""
    textures = [texture for scene in heap.scenes for texture in scene.textures]
    triangle = torch.cat([fragments.triangle for fragments in slots])
    drawn = torch.bincount(triangle, minlength=len(heap.triangles))  # pixels of each triangle
    index = indices(drawn > 0)
    texture = heap.texture[index]
    corners = heap.triangles.index_select(0, index).view(-1)
    in_pixels = _area(*(heap.place.index_select(0, corners).view(-1, 3, 2) * width).unbind(1))
    texels = torch.tensor([t.rgba.shape[0] * t.rgba.shape[1] for t in textures], device=heap.device)[texture]
    in_texels = _area(*heap.uv[index].split(2, 1)) * texels
    octaves = 0.5 * torch.log2(in_texels.clamp(min=1e-6) / in_pixels.clamp(min=1e-6))
    weight = drawn[index].float()
    total = torch.zeros(len(textures), device=heap.device).index_add_(0, texture, weight)
    return torch.zeros(len(textures), device=heap.device).index_add_(0, texture, weight * octaves) / total.clamp(min=1)


def _area(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Of triangles with these corners (T, 2)."""
    along, across = b - a, c - a
    return 0.5 * (along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]).abs()


def _shade(heap: Heap, drawing: _Drawing, size: int, profile: Profile, rasteriser: str) -> tuple[Tensor, Tensor]:
    """Display colours (3, B, S, S) before the effects of the lens, and coverage (B, S, S)."""
    index = indices(drawing.through[0] > layers.INVISIBLE)
    slots = [layers.select(drawing.slots[0], index), *drawing.slots[1:]]
    through = [drawing.through[0].index_select(0, index), *drawing.through[1:]]
    seen = layers.seen(slots, [*_colours(heap, drawing.texels, slots[:1]), *drawing.rgba], through)
    count, width = len(heap.scenes), drawing.width
    lights = shading.lights([s.light for s in heap.scenes], heap.device)
    cast = None
    if profile.shadows:
        cast = shadow.shadows(heap.scenes, round(_SHADOW_TEXELS * size), rasteriser, heap.device)
    arriving, lit = _arriving(heap, seen.fragments, width, lights, cast)
    colour = shading.radiance(
        arriving,
        of_scene(lights.key_colour, heap.scene.index_select(0, seen.fragments.triangle)),
        albedo=shading.linear(seen.rgba[:3]),
        alpha=seen.rgba[3],
        material=heap.material.index_select(0, seen.fragments.triangle),
        lit=lit,
    )
    picture = seen.composite(colour).view(4, count, width * width)
    behind = torch.stack([lens.backdrop(s.background, width) for s in heap.scenes], 1).to(heap.device)
    gains = torch.from_numpy(np.stack([lens.gain(s.lens) for s in heap.scenes], 1)).to(heap.device)[:, :, None]

    def shown(picture: Tensor, behind: Tensor) -> Tensor:
        return lens.tone(torch.addcmul(picture[:3], behind, 1 - picture[3]).mul_(gains))

    display = piecewise(shown, picture, behind.view(3, count, -1)).view(3, count, width, width)
    matte = picture[3].view(count, width, width)
    if profile.samples > 1:
        display, matte = (torch.nn.functional.avg_pool2d(x, profile.samples) for x in (display, matte))
    return display, matte


def _arriving(
    heap: Heap, fragments: Fragments, width: int, lights: shading.Lights, cast: shadow.Shadows | None
) -> tuple[shading.Arriving, Tensor | None]:
    """The light at fragments: interpolated from the vertices around them, or found there where surfaces are glossy;
    and how much of the key light no shadow takes, (P,)."""
    own = heap.material.index_select(0, fragments.triangle)
    seen = torch.zeros(len(heap.triangles), dtype=torch.bool, device=heap.device)
    seen[fragments.triangle] = True
    triangles = indices(seen)
    material = torch.full((len(heap.depth),), -1, device=heap.device)  # of vertices, −1 of those that are not needed
    material[heap.triangles.index_select(0, triangles)] = heap.material.index_select(0, triangles)[:, None]
    vertices = indices(material >= 0)
    number = torch.zeros_like(material)
    number[vertices] = torch.arange(len(vertices), device=heap.device)
    corners = number.index_select(0, heap.triangles.view(-1)).view(-1, 3).index_select(0, fragments.triangle)
    points = heap.points(vertices, material.index_select(0, vertices))
    glossy = indices(shading.is_glossy(own))
    on_glossy = heap.points_at(layers.select(fragments, glossy), width)
    there, exact = shading.arriving(points.and_then(on_glossy), lights).rows.split([len(vertices), len(glossy)], 1)
    kinds = len(there)
    if cast is not None:
        there = torch.cat([there, cast.places(points)])
    rows = channels_first(weighted(there.t().contiguous(), corners, fragments.barycentric))
    rows[:kinds].index_copy_(1, glossy, exact)
    light = shading.Arriving(rows[:kinds])
    return light, None if cast is None else _lit(heap, fragments, light, rows[kinds:], cast)


def _lit(heap: Heap, fragments: Fragments, light: shading.Arriving, places: Tensor, cast: shadow.Shadows) -> Tensor:
    """Share of the key light that reaches fragments (P,), computed only where it matters."""
    lit = torch.ones_like(fragments.depth)
    index = indices(light.key[0] > 0)
    scene = heap.scene.index_select(0, fragments.triangle.index_select(0, index))
    lit[index] = cast.lit(places.index_select(1, index), scene)
    return lit


def _parsing(heap: Heap, labelled: Fragments, texels: Texels) -> Tensor:
    """The class of every labelled fragment: its texture's, else its triangle's."""
    painted = texels.classes(heap.texture.index_select(0, labelled.triangle), heap.texture_place(labelled)).long()
    return torch.where(painted > 0, painted, heap.parsing.index_select(0, labelled.triangle))


def _code(heap: Heap, head: Fragments) -> Tensor:
    """The projected normalised coordinate code of the heads alone, (B · S, S, 3) float16."""
    code = _coordinates()
    table = torch.zeros(len(heap.depth), 3, device=heap.device)
    for scene, first in zip(heap.scenes, heap.first_vertex, strict=True):
        for mesh, start in zip(scene.meshes, first, strict=True):
            if mesh.name == surfaces.HEAD:
                table[start : start + len(code)] = torch.from_numpy(code).to(heap.device)
    height, width = head.shape
    picture = torch.zeros(height * width, 3, dtype=torch.float16, device=heap.device)
    picture.index_copy_(0, head.pixel, heap.gather(table, head).half())
    return picture.view(height, width, 3)


@functools.lru_cache(maxsize=1)
def _coordinates() -> np.ndarray:
    return pncc.normalised_coordinates(face_model.load())


def _pictures(
    heap: Heap, drawing: _Drawing, head: Fragments, colour: Tensor, matte: Tensor, size: int
) -> list[Picture]:
    """Arrays, scene by scene."""
    labelled = layers.labelled(drawing.slots, [colour[3] for colour in drawing.rgba], drawing.through)
    pixel, triangle, barycentric, depth = (field.cpu().numpy() for field in labelled.fields())
    parsing = _parsing(heap, labelled, drawing.texels).to(torch.uint8).cpu().numpy()
    codes = _code(heap, head).cpu().numpy()
    colours = channels_first(colour.reshape(3, -1)).view(*colour.shape[1:], 3).cpu().numpy()
    mattes = (matte * 255 + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
    corners, mesh = (values.cpu().numpy().take(triangle, axis=0) for values in (heap.triangles, heap.mesh))
    image = pixel // (size * size)
    pictures = []
    for k, scene in enumerate(heap.scenes):
        part = np.flatnonzero(image == k) if len(heap.scenes) > 1 else slice(None)
        place = pixel[part] - k * size * size
        classes = np.full(size * size, Parsing.BACKGROUND, np.uint8)
        classes[place] = parsing[part]
        far = np.full(size * size, np.inf, np.float32)
        far[place] = depth[part]
        first = np.array(heap.first_vertex[k])
        pictures.append(
            Picture(
                scene=scene,
                size=size,
                image=lens.develop(colours[k], scene.lens),
                matte=mattes[k],
                parsing=classes.reshape(size, size),
                depth=far.reshape(size, size),
                pncc=codes[k * size : (k + 1) * size],
                pixel=place,
                mesh=mesh[part],
                corners=corners[part] - first[mesh[part], None],
                barycentric=barycentric[part],
            )
        )
    return pictures
