"""Shading of surfaces, the same code for every rasteriser and device. Vectors are channels first, (3, P).

Incoming light changes slowly over a surface, so it is computed at vertices and interpolated (Gouraud, "Continuous
shading of curved surfaces", 1971), but for what is wet or polished; what is done with it depends on the pixel's colour.

Light of the surroundings is nine spherical harmonics of irradiance (Ramamoorthi and Hanrahan, "An efficient
representation for irradiance environment maps", 2001) and a blurred mirror map; a key light comes on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.training.studio.renderer.vectors import dot, indices, of_scene, transformed, unit
from engine.training.studio.stage.scene import Light, Material

# Of each material, in the order of Material: reflectance straight on and what it gains at grazing angles; share of the
# mirror map, the rest is broad; sharpness of the key's highlight (Blinn-Phong exponent); how far light wraps round the
# edge, in red, green and blue.
_MATERIALS = (
    (0.028, 0.12, 0.0, 20.0, 0.30, 0.14, 0.08),  # SKIN
    (0.030, 0.80, 1.0, 900.0, 0.25, 0.20, 0.20),  # EYE
    (0.045, 0.30, 0.5, 90.0, 0.25, 0.20, 0.15),  # TEETH
    (0.040, 0.30, 0.5, 120.0, 0.40, 0.15, 0.10),  # GUMS
    (0.000, 0.00, 0.0, 10.0, 0.50, 0.50, 0.50),  # LASH
    (0.030, 0.10, 0.0, 60.0, 0.20, 0.20, 0.20),  # HAIR
    (0.020, 0.10, 0.0, 6.0, 0.15, 0.15, 0.15),  # CLOTH
    (0.600, 0.30, 1.0, 200.0, 0.00, 0.00, 0.00),  # METAL
    (0.045, 0.60, 1.0, 900.0, 0.00, 0.00, 0.00),  # GLASS
)
# Light that scatters in skin blurs irradiance: what each band of harmonics keeps, in red, green and blue.
_SCATTER = np.array([[1.0] * 3, *[[0.93, 0.98, 1.0]] * 3, *[[0.75, 0.92, 0.97]] * 5], np.float32)
_SHINE, _TINTED_SHINE = 90.0, 14.0  # exponents of hair's two highlights
_FROM_BEHIND = -0.3  # least cosine to the view: interpolated normals at outlines may point away


@dataclass(frozen=True)
class Lights:
    """The lights of a batch as tensors: ``harmonics`` (B, 3, 9), ``mirror`` (B, h, w, 3), ``turn`` (B, 3, 3), ``key``
    and ``key_colour`` (B, 3)."""

    harmonics: Tensor
    mirror: Tensor
    turn: Tensor
    key: Tensor
    key_colour: Tensor

    def irradiance(self, basis: Tensor, scene: Tensor, keep: Tensor | None = None) -> Tensor:
        """What a white matt surface shows, (3, P), that faces where ``basis`` (9, P) was taken (see
        :func:`harmonic_basis`); ``keep`` (3, 9) damps the bands."""
        harmonics = self.harmonics if keep is None else self.harmonics * keep
        return transformed(harmonics, basis, scene).clamp_(min=0)

    def reflection(self, direction: Tensor, scene: Tensor) -> Tensor:
        """Bilinear radiance of the mirror map, (3, P)."""
        x, y, z = transformed(self.turn, direction, scene)
        height, width = self.mirror.shape[1:3]
        across = (torch.atan2(x, -z) / (2 * np.pi) + 0.5) * width - 0.5
        down = torch.acos(y.clamp(-1, 1)) / np.pi * height - 0.5
        left, top = across.floor(), down.floor()
        across, down = across - left, down - top
        columns = [(left.long() + k).remainder(width) for k in (0, 1)]
        rows = [(top.long() + k).clamp(0, height - 1) for k in (0, 1)]
        (a, b), (c, d) = [[self.mirror[scene, row, column].t() for column in columns] for row in rows]
        upper = a + (b - a) * across
        return upper + (c + (d - c) * across - upper) * down


def lights(of: Sequence[Light], device: torch.device) -> Lights:
    def tensor(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays).astype(np.float32)).to(device)

    shape = of[0].mirror.shape
    if any(light.mirror.shape != shape for light in of):
        raise ValueError("scenes drawn together have mirror maps of one size")
    return Lights(
        harmonics=tensor([light.harmonics.T for light in of]),
        mirror=tensor([light.mirror for light in of]),
        turn=tensor([light.mirror_turn for light in of]),
        key=tensor([light.key_direction for light in of]),
        key_colour=tensor([light.key_colour for light in of]),
    )


@dataclass(frozen=True)
class Points:
    """Where light arrives, P points: ``position``, ``normal`` and ``tangent`` (3, P) in camera space, of which tangents
    matter for hair alone; ``occlusion``, ``material`` and ``scene`` (P,)."""

    position: Tensor
    normal: Tensor
    tangent: Tensor
    occlusion: Tensor
    material: Tensor
    scene: Tensor

    def and_then(self, others: Points) -> Points:
        """Both, concatenated."""
        return Points(*(torch.cat([a, b], -1) for a, b in zip(vars(self).values(), vars(others).values(), strict=True)))


@dataclass(frozen=True)
class Arriving:
    """Light at P points: ``around`` what a white matt surface shows of the surroundings before occlusion and ``key`` of
    the key light, both (3, P); ``shine`` (3, P) what is mirrored of the surroundings, ``highlight`` (P,) the share of
    the key light that is; ``occlusion`` (P,)."""

    rows: Tensor

    @property
    def around(self) -> Tensor:
        return self.rows[0:3]

    @property
    def key(self) -> Tensor:
        return self.rows[3:6]

    @property
    def shine(self) -> Tensor:
        return self.rows[6:9]

    @property
    def highlight(self) -> Tensor:
        return self.rows[9]

    @property
    def occlusion(self) -> Tensor:
        return self.rows[10]


def arriving(points: Points, light: Lights) -> Arriving:
    """The light reflected at points towards the camera, without the surface's colour."""
    material, scene = points.material, points.scene
    table = torch.tensor(_MATERIALS, device=material.device).t().contiguous()
    straight, grazing, mirrors, sharpness, *wrap = table.index_select(1, material)
    view, normal = -unit(points.position), unit(points.normal)
    facing = dot(normal, view)
    side = 1 - 2.0 * ((material > Material.GUMS) & (facing < _FROM_BEHIND))  # cards and cloth have two sides
    normal, facing = normal * side, (facing * side).clamp_(0, 1)
    mirrored = normal * (2 * facing) - view
    key, key_colour = of_scene(light.key, scene), of_scene(light.key_colour, scene)

    scatter = torch.from_numpy(_SCATTER.T.copy()).to(material.device)
    basis, skin = harmonic_basis(normal), (material == Material.SKIN).float()
    around = torch.lerp(light.irradiance(basis, scene), light.irradiance(basis, scene, scatter), skin)
    towards_key, edge = dot(normal, key), torch.stack(wrap)
    from_key = ((towards_key + edge) / (1 + edge) ** 2).clamp(min=0) * (key_colour * points.occlusion.sqrt())

    metal = (material == Material.METAL).float()
    fresnel = torch.lerp(straight + grazing * _fifth(1 - facing), torch.ones_like(facing), metal)
    unhidden = points.occlusion * points.occlusion
    half = unit(view + key)
    highlight = (sharpness + 8) / 8 * dot(normal, half).clamp(0, 1) ** sharpness * towards_key.clamp(0, 1)
    shine = light.irradiance(harmonic_basis(mirrored), scene)
    polished = indices(mirrors > 0)
    if len(polished):
        broad = shine.index_select(1, polished)
        sharp = light.reflection(mirrored.index_select(1, polished), scene.index_select(0, polished))
        shine[:, polished] = torch.lerp(broad, sharp, mirrors.index_select(0, polished))
    matt = 1 - 0.8 * metal
    rows = torch.cat([around * matt, from_key * matt, shine * (unhidden * fresnel), (highlight * fresnel)[None]])
    hair = indices(material == Material.HAIR)
    if len(hair):
        vectors = points.tangent, normal, view, mirrored
        part = _Strands(
            *(vector.index_select(1, hair) for vector in vectors),
            *(vector.index_select(1, hair) if vector.shape[1] > 1 else vector for vector in (key, key_colour)),
            *(scalar.index_select(0, hair) for scalar in (unhidden, scene)),
        )
        rows[3:, hair] = _hair(part, light)
    return Arriving(torch.cat([rows, points.occlusion[None]]))


def radiance(
    light: Arriving, key_colour: Tensor, albedo: Tensor, alpha: Tensor, material: Tensor, lit: Tensor | None = None
) -> Tensor:
    """Linear light towards the camera, (3, P), from surfaces of ``albedo`` (3, P) linear, ``alpha`` and ``material``
    (P,). ``lit`` (P,) 0…1 is how much of the key light, of ``key_colour`` (3, P or 1), arrives."""
    key, highlight = (light.key, light.highlight) if lit is None else (light.key * lit, light.highlight * lit)
    shine = torch.addcmul(light.shine, highlight, key_colour)
    polished = indices(material >= Material.METAL)
    if len(polished):  # metal reflects in its own colour; compositing dims glass, but not its reflections
        metal = material.index_select(0, polished) == Material.METAL
        undimmed = 1 / alpha.index_select(0, polished).clamp(min=0.02)
        shine[:, polished] *= torch.where(metal, albedo.index_select(1, polished), undimmed)
    return torch.addcmul(shine, albedo, torch.addcmul(key, light.around, bounced_occlusion(light.occlusion, albedo)))


def is_glossy(material: Tensor) -> Tensor:
    """Whether reflections of a surface (P,) are too sharp to interpolate."""
    wet = (material >= Material.EYE) & (material <= Material.GUMS)
    return wet | (material >= Material.METAL)


@dataclass(frozen=True)
class _Strands:
    """Points on hair, with what is already known of them."""

    tangent: Tensor
    normal: Tensor
    view: Tensor
    mirrored: Tensor
    key: Tensor
    key_colour: Tensor
    unhidden: Tensor
    scene: Tensor


def _hair(part: _Strands, light: Lights) -> Tensor:
    """``key``, ``shine`` and ``highlight`` of hair: two highlights along the strands (Kajiya and Kay, "Rendering fur
    with three dimensional textures", 1989; the second, coloured and shifted, after Scheuermann, "Practical real-time
    hair rendering and shading", 2004)."""
    tangent = unit(part.tangent)
    half = unit(part.view + part.key)
    lit_side = (dot(part.normal, part.key) * 0.6 + 0.4).clamp(0, 1)
    across = (1 - dot(tangent, part.key) ** 2).clamp(0, 1).sqrt()
    first, second = (
        (1 - dot(unit(tangent + part.normal * shift), half) ** 2).clamp(0, 1).sqrt() for shift in (-0.08, 0.12)
    )
    key = (across + 0.6 * second**_TINTED_SHINE) * lit_side * part.key_colour
    glow = light.irradiance(harmonic_basis(unit(part.mirrored + part.normal)), part.scene) * (0.03 * part.unhidden)
    return torch.cat([key, glow, (0.10 * first**_SHINE * lit_side)[None]])


def bounced_occlusion(occlusion: Tensor, albedo: Tensor) -> Tensor:
    """Ambient occlusion (P,) brightened by light that bounces between surfaces of ``albedo`` (3, P), which tints folds
    (Jiménez et al., "Practical real-time strategies for accurate indirect occlusion", 2016, eq. 10)."""
    tinted = ((2.0404 * occlusion - 4.7951) * occlusion + 2.7552) * occlusion
    plain = ((-0.3324 * occlusion + 0.6417) * occlusion + 0.6903) * occlusion
    return torch.maximum(occlusion, torch.addcmul(plain, albedo, tinted))


def harmonic_basis(direction: Tensor) -> Tensor:
    """The nine real spherical harmonics up to band 2 at unit ``direction`` (3, P): (9, P), ordered by l then m."""
    x, y, z = direction
    return torch.stack(
        [
            torch.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ]
    )


def linear(display: Tensor) -> Tensor:
    """sRGB in 0…1 → linear light, by a cubic that stays within 0.002 of the standard's curve."""
    return display * (display * (display * 0.305306011 + 0.682171111) + 0.012522878)


def _fifth(x: Tensor) -> Tensor:
    return x * (x * x) ** 2
