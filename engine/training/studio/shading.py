"""How surfaces answer light: one code for every rasteriser and device. Vectors are channels first, (3, P).

Light of the surroundings is nine spherical harmonics of irradiance (Ramamoorthi and Hanrahan, "An efficient
representation for irradiance environment maps", 2001) and a blurred mirror map; a key light comes on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.training.studio.scene import Light, Material
from engine.training.studio.vectors import dot, indices, of_scene, transformed, unit

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
_GRAZING = 0.18  # of Fresnel's rise towards grazing angles; rough surfaces do not reach 1
_SHINE, _TINTED_SHINE = 90.0, 14.0  # exponents of hair's two highlights


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
class Surface:
    """What is shaded, P fragments: ``position`` and ``normal`` (3, P) in camera space, ``occlusion`` (P,), ``albedo``
    (3, P) linear, ``alpha``, ``material`` and ``scene`` (P,); ``hair`` (H,) which of them are hair, and their
    ``tangent`` (3, H)."""

    position: Tensor
    normal: Tensor
    occlusion: Tensor
    albedo: Tensor
    alpha: Tensor
    material: Tensor
    scene: Tensor
    hair: Tensor
    tangent: Tensor


def radiance(surface: Surface, light: Lights, lit: Tensor | None = None) -> Tensor:
    """Linear light towards the camera, (3, P). ``lit`` (P,) 0…1 is how much of the key light arrives."""
    material, scene = surface.material, surface.scene
    table = torch.tensor(_MATERIALS, device=material.device).t().contiguous()
    straight, grazing, _, sharpness, *wrap = table.index_select(1, material)
    skin = (material == Material.SKIN).float()
    view = -unit(surface.position)
    normal = unit(surface.normal)
    facing = dot(normal, view)
    side = 1 - 2.0 * ((material > Material.GUMS) & (facing < 0))  # cards and cloth have two
    normal, facing = normal * side, (facing * side).clamp_(0, 1)
    mirrored = normal * (2 * facing) - view
    key, key_colour = of_scene(light.key, scene), of_scene(light.key_colour, scene)
    key_colour = key_colour if lit is None else key_colour * lit

    scatter = torch.from_numpy(_SCATTER.T.copy()).to(material.device)
    basis = harmonic_basis(normal)
    around = torch.lerp(light.irradiance(basis, scene), light.irradiance(basis, scene, scatter), skin)
    around = around * bounced_occlusion(surface.occlusion, surface.albedo)
    towards_key = dot(normal, key)
    edge = torch.stack(wrap)
    from_key = ((towards_key + edge) / (1 + edge) ** 2).clamp(min=0) * key_colour
    matt = surface.albedo * (around + from_key * surface.occlusion.sqrt())

    fresnel = straight + grazing * _fifth(1 - facing)
    unhidden = surface.occlusion * surface.occlusion
    half = unit(view + key)
    highlight = (sharpness + 8) / 8 * dot(normal, half).clamp(0, 1) ** sharpness * towards_key.clamp(0, 1)
    shine = light.irradiance(harmonic_basis(mirrored), scene) * unhidden + highlight * key_colour
    colour = matt + fresnel * shine

    def part(index: Tensor) -> _Part:
        vectors = surface.albedo, normal, view, mirrored, matt, around
        scalars = surface.alpha, unhidden, fresnel, highlight, material, scene
        return _Part(
            *(vector.index_select(1, index) for vector in vectors),
            *(vector.index_select(1, index) if vector.shape[1] > 1 else vector for vector in (key, key_colour)),
            *(scalar.index_select(0, index) for scalar in scalars),
        )

    glossy = indices(_is_glossy(material))
    if len(glossy):
        colour[:, glossy] = _glossy(part(glossy), light, table[2])
    if len(surface.hair):
        colour[:, surface.hair] = _hair(part(surface.hair), light, surface.tangent)
    return colour


@dataclass(frozen=True)
class _Part:
    """Fragments of special materials, with what is already known of them."""

    albedo: Tensor
    normal: Tensor
    view: Tensor
    mirrored: Tensor
    matt: Tensor
    around: Tensor
    key: Tensor
    key_colour: Tensor
    alpha: Tensor
    unhidden: Tensor
    fresnel: Tensor
    highlight: Tensor
    material: Tensor
    scene: Tensor


def _is_glossy(material: Tensor) -> Tensor:
    wet = (material >= Material.EYE) & (material <= Material.GUMS)
    return wet | (material >= Material.METAL)


def _glossy(part: _Part, light: Lights, mirrors: Tensor) -> Tensor:
    """What is wet or polished reflects its surroundings; metal in its own colour, glass over what lies behind it."""
    share = mirrors[part.material]
    broad = light.irradiance(harmonic_basis(part.mirrored), part.scene)
    seen = broad + (light.reflection(part.mirrored, part.scene) - broad) * share
    shine = seen * part.unhidden + part.highlight * part.key_colour
    metal = part.material == Material.METAL
    shine = shine * torch.where(metal, part.albedo, part.fresnel)
    glass = part.material == Material.GLASS
    shine = torch.where(glass, shine / part.alpha.clamp(min=0.02), shine)  # compositing dims glass, not its shine
    return torch.where(metal, part.matt * 0.2, part.matt) + shine


def _hair(part: _Part, light: Lights, tangent: Tensor) -> Tensor:
    """Two highlights along the strands (Kajiya and Kay, "Rendering fur with three dimensional textures", 1989; the
    second, coloured and shifted, after Scheuermann, "Practical real-time hair rendering and shading", 2004)."""
    tangent = unit(tangent)
    half = unit(part.view + part.key)
    lit_side = (dot(part.normal, part.key) * 0.6 + 0.4).clamp(0, 1)
    across = (1 - dot(tangent, part.key) ** 2).clamp(0, 1).sqrt()
    first, second = (
        (1 - dot(unit(tangent + part.normal * shift), half) ** 2).clamp(0, 1).sqrt() for shift in (-0.08, 0.12)
    )
    shine = 0.10 * first**_SHINE + part.albedo * (0.6 * second**_TINTED_SHINE)
    from_key = (part.albedo * across + shine) * lit_side * part.key_colour
    glow = light.irradiance(harmonic_basis(unit(part.mirrored + part.normal)), part.scene) * (0.03 * part.unhidden)
    return part.albedo * part.around + from_key + glow


def bounced_occlusion(occlusion: Tensor, albedo: Tensor) -> Tensor:
    """Ambient occlusion (P,) brightened by light that bounces between surfaces of ``albedo`` (3, P), which tints folds
    (Jiménez et al., "Practical real-time strategies for accurate indirect occlusion", 2016, eq. 10)."""
    a, b, c = 2.0404 * albedo - 0.3324, -4.7951 * albedo + 0.6417, 2.7552 * albedo + 0.6903
    return torch.maximum(occlusion.expand_as(albedo), ((occlusion * a + b) * occlusion + c) * occlusion)


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
