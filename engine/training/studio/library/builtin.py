"""The library without assets: the shipped face model's heads, and procedural skins, brows, irises and environments."""

from __future__ import annotations

import cv2
import numpy as np

from engine.face.model import FaceModel
from engine.training.studio.body import anatomy, layout, regions
from engine.training.studio.body.colour import display, linear, noise, tone
from engine.training.studio.body.regions import Regions
from engine.training.studio.library.items import (
    Brow,
    HeadSource,
    Iris,
    Library,
    Skin,
    digest_of,
)
from engine.training.studio.library.surroundings import surroundings
from engine.training.studio.randomness import draws
from engine.training.studio.stage.environment import Environment, balanced

VERSION = b"builtin-2"  # raise it when the same seed gives other pictures
SIZE = 512
_SKINS = 10  # every fifth is held out
_BROWS = 6
_BLOOD = np.array([0.15, 1.0, 0.75])
_PIGMENT = np.array([0.55, 0.95, 1.3])
_IRISES = {  # sRGB near the pupil and near the rim
    "brown-dark": ((70, 42, 24), (44, 26, 16)),
    "brown": ((112, 70, 36), (72, 44, 24)),
    "hazel": ((132, 92, 48), (92, 88, 58)),
    "green": ((128, 112, 66), (98, 116, 88)),
    "grey": ((140, 136, 124), (118, 128, 134)),
    "blue": ((128, 142, 150), (84, 112, 142)),
}


def library(model: FaceModel) -> Library:
    """The built-in library; takes a second or two."""
    chart = layout.of(model)
    region = regions.of(chart, model, SIZE)
    return Library(
        model=model,
        anatomy=anatomy.of(model),
        layout=chart,
        occlusion=anatomy.occlusion(model.vertices, model.triangles),
        heads=(HeadSource("face-model", False, model.vertices, model.identity),),
        skins=tuple(_skin(region, k) for k in range(_SKINS)),
        brows=tuple(_brow(region, k) for k in range(_BROWS)),
        irises=tuple(_iris(name, *colours) for name, colours in _IRISES.items()),
        environments=tuple(
            Environment(f"env-{name}", held, *balanced(*maps))
            for name, held, *maps in surroundings()  # type: ignore[arg-type]
        ),
        hair=(),
        digest=digest_of(model, VERSION),
    )


def _skin(region: Regions, number: int) -> Skin:
    """More blood where skin is thin, more pigment where the sun falls, dark pores and creases."""
    draw = draws(0, "builtin skin", number)
    size, melanin = SIZE, (number + 0.5) / _SKINS
    blood = 0.10 * region.cheeks + 0.06 * region.nose + 0.15 * region.ears + 0.05 * noise(draw, size, 10)
    blood += 0.03 * noise(draw, size, 40) + 0.12 * region.lids + 0.02 * noise(draw, size, 160)
    pigment = 0.03 * noise(draw, size, 8) + 0.02 * noise(draw, size, 60) + 0.10 * region.under_eyes
    pigment += 0.10 * region.beard * draw.random() - 0.05 * region.cheeks
    pores = np.clip(noise(draw, size, size // 3), 0, 3) * (0.35 + region.nose + 0.6 * region.cheeks)
    pigment += 0.014 * pores * region.face
    fair = 1 - 0.6 * melanin
    density = blood[..., None] * _BLOOD * fair + pigment[..., None] * _PIGMENT
    albedo = tone(melanin) * np.exp(-density)
    lips = np.array([0.44, 0.16, 0.145]) * (1 - melanin) + np.array([0.12, 0.052, 0.048]) * melanin
    creases = 1 + 0.10 * cv2.GaussianBlur(noise(draw, size, size // 3), (1, 7), 0, sigmaY=1.5)
    albedo += (lips * creases[..., None] - albedo) * (0.8 * region.lips)[..., None]
    return Skin(f"skin-{number}", number % 5 == 2, display(albedo), melanin, None, None)


def _brow(region: Regions, number: int) -> Brow:
    """Hairs that rise from the brow's line at its inner end and lie along it further out."""
    draw = draws(0, "builtin brow", number)
    canvas = np.zeros((2 * SIZE, 2 * SIZE), np.float32)
    thick, arch, count = draw.uniform(0.32, 0.75), draw.uniform(-0.1, 0.25), int(draw.integers(900, 1500))
    for marks, out in ((region.marks[17:22][::-1], -1.0), (region.marks[22:27], 1.0)):
        line = marks * 2 + [0, 0.3 * region.scale * 2]
        unit = region.scale * 2
        for _ in range(count):
            t = draw.beta(1.0, 1.15)
            at = np.array([np.interp(t, np.linspace(0, 1, 5), line[:, k]) for k in (0, 1)])
            at[1] -= arch * unit * np.sin(np.pi * t)
            taper = thick * np.interp(t, [0, 0.12, 0.6, 1], [0.65, 1, 0.8, 0.15])
            root = at + [0, draw.uniform(-0.5, 0.5) * taper * unit]
            angle = np.interp(t, [0, 0.25, 1], [1.25, 0.55, 0.1]) + draw.normal(0, 0.18)
            tip = root + unit * draw.uniform(0.28, 0.5) * np.array([out * np.cos(angle), -np.sin(angle)])
            ends = [tuple(int(v) for v in np.round(p * 16)) for p in (root, tip)]
            cv2.line(canvas, ends[0], ends[1], float(draw.uniform(0.35, 0.8)), 2, cv2.LINE_AA, 4)
    small = cv2.resize(cv2.GaussianBlur(canvas, (0, 0), 1.1), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return Brow(f"brow-{number}", False, (small.clip(0, 1) * 255).astype(np.uint8))


def _iris(name: str, inner: tuple[int, int, int], outer: tuple[int, int, int]) -> Iris:
    """Fibres from the pupil to the rim, a ruff around the pupil, a dark rim."""
    draw, size = draws(0, "builtin iris", name), 128
    step = ((np.arange(size) + 0.5) / size - 0.5) * 2
    x, y = np.meshgrid(step, step)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    grid = draw.standard_normal((4, 90)).astype(np.float32)
    u = ((angle / (2 * np.pi) + 0.5) * 90).astype(np.float32)
    v = (radius * 3).clip(0, 3).astype(np.float32)
    fibres = cv2.remap(grid, u - 0.5, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    share = np.clip((radius - 0.3) / 0.7, 0, 1)[..., None]
    colour = linear(np.array(inner) / 255) * (1 - share) + linear(np.array(outer) / 255) * share
    ruff = np.exp(-(((radius - 0.42) / 0.06) ** 2))
    colour = colour * (np.exp(0.28 * fibres) * (1 + 0.25 * ruff))[..., None]
    darkness = float(np.clip(1 - np.mean(inner + outer) / 140, 0, 1))
    return Iris(f"iris-{name}", False, display(colour), 0.3, darkness)
