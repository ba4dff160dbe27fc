"""A sitter's skin: an albedo adjusted to their tone, with marks, age, stubble and make-up."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from engine.face.model import FaceModel
from engine.training.studio.body.colour import linear_planes, noise, opaque, tone
from engine.training.studio.body.regions import Regions
from engine.training.studio.library.items import Brow, Skin
from engine.training.studio.people.dressing import Outfit
from engine.training.studio.people.traits import Traits
from engine.training.studio.stage.scene import Parsing, Texture

_LARGEST_GAIN = 1.7  # of an albedo, so that its own marks do not become too strong
_BLOOD = np.array([0.15, 1.0, 0.75], np.float32)  # optical density of haemoglobin and of melanin in red, green and blue
_PIGMENT = np.array([0.55, 0.95, 1.3], np.float32)
_LINES = np.array([0.45, 0.6, 0.65], np.float32)  # and of the shading of folds


def paint(
    model: FaceModel,
    region: Regions,
    skin: Skin,
    brow: Brow,
    traits: Traits,
    outfit: Outfit,
    draws: np.random.Generator,
) -> Texture:
    """The skin's texture in the studio's layout, at the size of the ``region`` maps."""
    size = region.size
    albedo = linear_planes(_sized(skin.albedo, size))
    albedo *= _gain(albedo, region, traits)[:, None, None]
    lines, spots = _age(region, traits, draws)
    blood, pigment = _marks(region, traits, draws)
    absorbed = np.stack([_LINES, _BLOOD, _PIGMENT], axis=1)
    albedo *= np.exp(np.tensordot(-absorbed, np.stack([lines, blood, pigment + spots]), 1))
    _stubble(albedo, region, traits, draws)
    _make_up(albedo, region, traits)
    grain = 0.8 + 0.2 * noise(draws, size, size // 2)
    roots = grain.clip(0.4, 1.2)
    scalp = (outfit.scalp_cover(region) * roots).clip(0, 0.95)
    _mix(albedo, traits.hair_colour * 0.75, scalp)
    beard = (outfit.beard_cover(model, region) * roots).clip(0, 0.95)
    _mix(albedo, traits.beard_colour * 0.75, beard)
    coverage = _sized(brow.coverage, size) * np.float32(traits.brow_strength / 255)
    coverage = np.clip(coverage * (0.55 + 0.45 * grain), 0, 0.9)
    _mix(albedo, traits.brow_colour * 0.75, coverage)
    _darken(albedo, region.lid_line * 0.5, (0.38, 0.55, 0.58))
    parsing = np.zeros((size, size), np.uint8)
    parsing[scalp > 0.45] = Parsing.HAIR
    parsing[beard > 0.45] = Parsing.BEARD
    parsing[region.lips > 0.5] = Parsing.LIP
    parsing[cv2.GaussianBlur(coverage, (0, 0), 0.06 * region.scale) > 0.22] = Parsing.BROW
    return Texture(opaque(albedo), parsing)


def _mix(albedo: np.ndarray, colour: np.ndarray, amount: np.ndarray) -> None:
    """Blend planes with a colour (3,) by ``amount`` (S, S)."""
    for plane, value in zip(albedo, colour.astype(np.float32), strict=True):
        plane += (value - plane) * amount


def _darken(albedo: np.ndarray, where: np.ndarray, share: Sequence[float] | np.ndarray) -> None:
    """Reduce the planes' light by ``share`` (3,), weighted by ``where`` (S, S)."""
    for plane, part in zip(albedo, share, strict=True):
        plane *= 1 - where * np.float32(part)


def _sized(image: np.ndarray, size: int) -> np.ndarray:
    if len(image) == size:
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if len(image) > size else cv2.INTER_LINEAR)


def _gain(albedo: np.ndarray, region: Regions, traits: Traits) -> np.ndarray:
    """(3,) gain that brings the middle of the face to the sitter's tone, within limits."""
    present = np.median(albedo[:, ::2, ::2][:, region.face[::2, ::2] > 0.5], axis=1)
    wanted = tone(traits.melanin) * np.exp(-_BLOOD * traits.blood - _PIGMENT * traits.sallow)
    return np.clip(wanted / present, 1 / _LARGEST_GAIN**2, _LARGEST_GAIN).astype(np.float32)


def _marks(region: Regions, traits: Traits, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Density (S, S) of blood and of pigment: blotches, flush, freckles, moles and tired eyes."""
    size = region.size
    fair = 1 - 0.65 * traits.melanin
    blood = 0.06 * noise(draws, size, 9) + 0.045 * noise(draws, size, 26) + 0.03 * noise(draws, size, 60)
    blood += traits.flush * (0.50 * region.cheeks + 0.26 * region.nose + 0.34 * region.ears)
    blood += 0.20 * region.under_eyes * traits.tired + 0.12 * region.lids
    pigment = 0.035 * noise(draws, size, 20) + 0.025 * noise(draws, size, 150) + 0.02 * noise(draws, size, 400)
    pigment += 0.14 * region.under_eyes * traits.tired + 0.06 * region.lids * traits.melanin
    if traits.freckles > 0:
        fine = noise(draws, size, int(4.2 * size / region.scale)) - 1.7 + 0.5 * noise(draws, size, 20)
        where = np.clip(region.cheeks * 1.3 + region.nose + 0.35 * region.face, 0, 1)
        pigment += traits.freckles * fair * where * np.clip(fine * 1.2, 0, 0.5)
    spots = np.zeros((size, size), np.float32)
    for _ in range(traits.moles):
        at = draws.uniform([0.2, 0.25], [0.8, 0.85]) * size
        cv2.circle(spots, (int(at[0] * 16), int(at[1] * 16)), int(draws.uniform(0.06, 0.14) * region.scale * 16),
                   float(draws.uniform(0.4, 1.0)), -1, cv2.LINE_AA, 4)  # fmt: skip
    pigment += cv2.GaussianBlur(spots, (0, 0), 0.035 * region.scale + 0.3)
    return blood * np.float32(fair), pigment


def _age(region: Regions, traits: Traits, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Density (S, S) of folds and lines, and of spots' pigment; beside each line there is a brighter
    one."""
    m, cm = region.marks, region.scale
    deep = np.zeros((region.size, region.size), np.float32)

    def fold(points: np.ndarray, width: float, amount: float) -> None:
        if amount <= 0.01:
            return
        wobble = draws.normal(0, 0.06 * cm, points.shape)
        where, line = region.curve(points + wobble, width)
        flank = np.roll(line, int(round(0.12 * cm)) or 1, axis=0)
        deep[where] += 1.4 * amount * (line - 0.35 * flank)

    old = traits.wrinkles
    for side in (0, 1):
        wing, corner = (m[31], m[48]) if side == 0 else (m[35], m[54])
        outer, inner = (m[36], m[39]) if side == 0 else (m[45], m[42])
        out = np.array([-1.0 if side == 0 else 1.0, 0.0])
        start = wing + out * 0.35 * cm + [0, -0.5 * cm]
        bend = (wing + corner) / 2 + out * 0.95 * cm
        fold(np.stack([start, bend, corner + out * 0.75 * cm + [0, 0.5 * cm]]), 0.16, 0.10 + 0.75 * old)
        sad = np.stack([corner + out * 0.3 * cm + [0, 0.3 * cm], corner + out * 0.6 * cm + [0, 1.8 * cm]])
        fold(sad, 0.12, 0.5 * old)
        for turn in (-0.55, -0.15, 0.25, 0.6):
            reach = draws.uniform(0.9, 1.7) * cm
            direction = np.array([out[0] * np.cos(turn), np.sin(turn)])
            begin = outer + direction * 0.45 * cm
            fold(np.stack([begin, begin + direction * reach * 0.5, begin + direction * reach]), 0.06, 0.55 * old - 0.04)
        bag = (outer + inner) / 2 + [0, 1.05 * cm]
        fold(np.stack([inner + [0, 0.45 * cm], bag, outer + [0, 0.75 * cm]]), 0.13, 0.10 + 0.45 * old)
        crease = np.stack([inner + [0, -0.35 * cm], (outer + inner) / 2 + [0, -0.72 * cm], outer + [0, -0.3 * cm]])
        fold(crease, 0.10, 0.35)
        fold(np.stack([m[21 + side] + [0, -0.5 * cm], m[21 + side] + [0, 0.5 * cm]]), 0.09, 0.45 * old - 0.05)
    for rank in range(4):
        height = m[19, 1] - (1.0 + 0.95 * rank + draws.normal(0, 0.1)) * cm
        x = np.linspace(m[17, 0] + 0.6 * cm, m[26, 0] - 0.6 * cm, 7)
        fold(np.stack([x, height + draws.normal(0, 0.12 * cm, 7)], 1), 0.09, 0.6 * old - 0.05)
    for k in range(9):
        x = m[48, 0] + (m[54, 0] - m[48, 0]) * (k + 0.5 + draws.normal(0, 0.2)) / 9
        top = np.interp(x, m[48:55, 0], m[48:55, 1])
        fold(np.array([[x, top - 0.55 * cm], [x, top - 0.1 * cm]]), 0.05, 0.35 * old - 0.08)
    for k in range(3):
        y = m[8, 1] + (2.2 + 1.6 * k) * cm
        ring = np.stack([np.linspace(m[5, 0], m[11, 0], 5), y + np.array([-0.5, 0, 0.2, 0, -0.5]) * cm], axis=1)
        fold(ring, 0.12, 0.5 * old)
    crepe = old * 0.10 * noise(draws, region.size, int(2.2 * region.size / cm)) * region.face
    spots = np.clip(noise(draws, region.size, int(0.9 * region.size / cm)) - 2.0, 0, 0.5) * old * (1 - region.lips)
    return deep + crepe, 0.7 * spots


def _stubble(albedo: np.ndarray, region: Regions, traits: Traits, draws: np.random.Generator) -> None:
    """The shadow of a shaved beard, and short hairs."""
    if traits.stubble <= 0:
        return
    hairs = np.clip(0.55 + 0.5 * noise(draws, region.size, region.size // 2), 0, 1.4)
    where = region.beard * (0.75 + 0.25 * region.moustache) * (0.7 + 0.3 * noise(draws, region.size, 30).clip(-1, 1))
    amount = np.clip(traits.stubble * where * hairs, 0, 0.85)
    _mix(albedo, traits.beard_colour * (0.7 / 0.88), 0.88 * amount)  # skin shows through


def _make_up(albedo: np.ndarray, region: Regions, traits: Traits) -> None:
    """Natural lips or lipstick, eyeliner, eye shadow, blush; lips are darkest where they meet."""
    lips = region.lips * np.float32(traits.lip_strength)
    own = albedo.mean(axis=0)
    own /= max(float(own[region.lips > 0.9].mean()), 1e-3)
    np.clip(own, 0.6, 1.5, out=own)
    for plane, value in zip(albedo, traits.lip_colour.astype(np.float32), strict=True):
        plane += (own * value - plane) * lips
    _darken(albedo, region.lip_line, (0.45, 0.6, 0.6))
    if traits.make_up > 0:
        _darken(albedo, (region.lids - region.lid_line).clip(0), 0.6 * traits.make_up * (1 - traits.eye_shadow))
        _darken(albedo, region.lid_line, np.full(3, 0.75 * traits.make_up))
        for plane, red in zip(albedo, _BLOOD, strict=True):
            plane *= np.exp(region.cheeks * np.float32(-0.25 * traits.make_up * red))
