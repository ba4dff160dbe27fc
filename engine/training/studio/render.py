"""Scene → picture and what every pixel shows: a deferred renderer, read from top to bottom.

Triangles are laid in one heap, drawn slot by slot (the opaque ones, then each layer with alpha), looked up in their
textures, resolved by depth, shaded once where they are seen, tone-mapped, and only then averaged down, so that
highlights have smooth edges too. Labels come from a drawing at the picture's own size (see :mod:`.labels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.raster.torch_scatter import Fragments
from engine.training.studio import layers, lens, shading, surfaces, texels
from engine.training.studio.layers import Seen
from engine.training.studio.scene import Parsing, Scene
from engine.training.studio.surfaces import Heap
from engine.training.studio.texels import Texels


@dataclass(frozen=True)
class Profile:
    """``samples`` a side of a pixel; whether the key light casts ``shadows``."""

    samples: int
    shadows: bool


TRAINING = Profile(1, False)
FULL = Profile(2, True)


@dataclass(frozen=True)
class Picture:
    """One scene as it was drawn, ``size`` pixels wide.

    ``image`` (S, S, 3) uint8, ``matte`` (S, S) uint8, ``parsing`` (S, S) uint8, ``depth`` (S, S) float32 cm, infinity in
    the background. The surface that each covered pixel is labelled by: ``pixel`` (P,) row · S + column, ``mesh`` (P,) of
    the scene, ``corners`` (P, 3) vertices of that mesh, ``barycentric`` (P, 3).
    """

    scene: Scene
    size: int
    image: np.ndarray
    matte: np.ndarray
    parsing: np.ndarray
    depth: np.ndarray
    pixel: np.ndarray
    mesh: np.ndarray
    corners: np.ndarray
    barycentric: np.ndarray


def render(scene: Scene, size: int, profile: Profile = TRAINING, rasteriser: str = "opencv") -> Picture:
    """Draw one scene on the CPU; ``rasteriser`` is ``opencv`` or ``torch``."""
    return _render([scene], size, profile, rasteriser, "cpu")[0]


def render_many(scenes: Sequence[Scene], size: int, profile: Profile = TRAINING, device: str = "cuda") -> list[Picture]:
    """Draw scenes together on a device with the torch rasteriser; as many as its memory holds is the caller's affair."""
    return _render(scenes, size, profile, "torch", device)


@torch.no_grad()
def _render(scenes: Sequence[Scene], size: int, profile: Profile, rasteriser: str, device: str) -> list[Picture]:
    heap = surfaces.heap(scenes, device)
    fine = _visible(heap, size * profile.samples, rasteriser)
    plain = fine if profile.samples == 1 else _visible(heap, size, rasteriser)
    colour, matte = _shade(heap, fine, size, profile)
    parsing = _parsing(heap, plain)
    return _pictures(heap, plain.labelled, parsing, colour, matte, size)


@dataclass(frozen=True)
class _Visible:
    seen: Seen
    labelled: Fragments
    texels: Texels


def _visible(heap: Heap, width: int, rasteriser: str) -> _Visible:
    """Which fragments are seen in pictures of this width, and through how much of what lies before them."""
    slots = layers.nearer_than_opaque(heap.fragments(width, rasteriser))
    places = [heap.texture_place(fragments) for fragments in slots]
    found = texels.texels(
        [texture for scene in heap.scenes for texture in scene.textures], _shrink(heap, slots, width), heap.device
    )
    rgba = [found.colours(heap.texture[f.triangle], uv) for f, uv in zip(slots, places, strict=True)]
    seen, labelled = layers.resolve(slots, rgba)
    return _Visible(seen, labelled, found)


def _shrink(heap: Heap, slots: Sequence[Fragments], width: int) -> list[int]:
    """Per texture, how often to halve it so that on average a texel is about a pixel."""
    textures = [texture for scene in heap.scenes for texture in scene.textures]
    triangle = torch.cat([fragments.triangle for fragments in slots])
    drawn = torch.bincount(triangle, minlength=len(heap.triangles))  # pixels of each triangle
    index = drawn.nonzero()[:, 0]
    corners, uv, texture = heap.place[heap.triangles[index]] * width, heap.uv[index], heap.texture[index]
    area = torch.tensor([t.rgba.shape[0] * t.rgba.shape[1] for t in textures], device=heap.device)[texture]
    octaves = 0.5 * torch.log2((_area(uv) * area).clamp(min=1e-6) / _area(corners).clamp(min=1e-6))
    weight = drawn[index].float()
    total = torch.zeros(len(textures), device=heap.device).index_add_(0, texture, weight)
    mean = torch.zeros(len(textures), device=heap.device).index_add_(0, texture, weight * octaves) / total.clamp(min=1)
    return mean.round().clamp(0, 8).int().tolist()


def _area(corners: Tensor) -> Tensor:
    """Of triangles (T, 3, 2)."""
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return 0.5 * (along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]).abs()


def _shade(heap: Heap, visible: _Visible, size: int, profile: Profile) -> tuple[Tensor, Tensor]:
    """Display colours (B, 3, S, S) before the lens' faults, and coverage (B, S, S)."""
    seen, count, width = visible.seen, len(heap.scenes), size * profile.samples
    attributes = heap.interpolate(seen.fragments)
    scene = heap.scene[seen.fragments.triangle]
    surface = shading.Surface(
        position=attributes[:3],
        normal=attributes[3:6],
        tangent=attributes[7:],
        occlusion=attributes[6],
        albedo=shading.linear(seen.rgba[:3]),
        alpha=seen.rgba[3],
        material=heap.material[seen.fragments.triangle],
        scene=scene,
    )
    lights = shading.lights([s.light for s in heap.scenes], heap.device)
    light = shading.radiance(surface, lights)
    picture = seen.composite(light).view(4, count, width, width)
    gains = torch.from_numpy(np.stack([lens.gain(s.lens) for s in heap.scenes]).T.copy()).to(heap.device)
    coverage = picture[3]
    front = lens.tone(picture[:3] / coverage.clamp(min=1e-4), gains[:, :, None, None]) * coverage
    layers_of_picture = torch.cat([front, coverage[None]]).permute(1, 0, 2, 3)
    if profile.samples > 1:
        layers_of_picture = torch.nn.functional.avg_pool2d(layers_of_picture, profile.samples)
    behind = torch.stack([lens.backdrop(s.background, size) for s in heap.scenes]).to(heap.device)
    behind = lens.tone(behind, gains.t()[:, :, None, None])
    matte = layers_of_picture[:, 3]
    return layers_of_picture[:, :3] + behind * (1 - matte[:, None]), matte


def _parsing(heap: Heap, visible: _Visible) -> Tensor:
    """The class of every labelled fragment: its texture's word, else its triangle's."""
    labelled = visible.labelled
    painted = visible.texels.classes(heap.texture[labelled.triangle], heap.texture_place(labelled)).long()
    return torch.where(painted > 0, painted, heap.parsing[labelled.triangle])


def _pictures(
    heap: Heap, labelled: Fragments, parsing: Tensor, colour: Tensor, matte: Tensor, size: int
) -> list[Picture]:
    """Back to arrays, scene by scene."""
    order = torch.argsort(labelled.pixel)
    pixel, triangle, barycentric, depth = (field[order].cpu().numpy() for field in labelled.fields())
    parsing_at = parsing[order].to(torch.uint8).cpu().numpy()
    colours = colour.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    mattes = (matte * 255 + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
    corners, mesh = heap.triangles.cpu().numpy()[triangle], heap.mesh.cpu().numpy()[triangle]
    bounds = np.searchsorted(pixel, np.arange(len(heap.scenes) + 1) * size * size)
    pictures = []
    for k, scene in enumerate(heap.scenes):
        part = slice(bounds[k], bounds[k + 1])
        place = pixel[part] - k * size * size
        classes = np.full(size * size, Parsing.BACKGROUND, np.uint8)
        classes[place] = parsing_at[part]
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
                pixel=place,
                mesh=mesh[part],
                corners=corners[part] - first[mesh[part], None],
                barycentric=barycentric[part],
            )
        )
    return pictures
