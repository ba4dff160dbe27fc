"""The inside of the mouth: colours of teeth, gums, tongue and cavity, and their shading."""

from __future__ import annotations

import numpy as np

from engine.face.maths import smoothstep
from engine.face.model import FaceModel
from engine.training.studio.body.colour import display, noise
from engine.training.studio.people.traits import Traits
from engine.training.studio.stage.scene import Material, Parsing, Texture

SIZE = 128
PARTS = ("mouth", "socket", "gums", "tongue", "teeth_upper", "teeth_lower")
_COLOURS = {  # linear; one strip of the texture each, in the order of PARTS
    "mouth": (0.17, 0.040, 0.036),
    "socket": (0.34, 0.13, 0.11),
    "gums": (0.40, 0.125, 0.115),
    "tongue": (0.36, 0.110, 0.105),
}
_TOOTH = np.array([0.66, 0.615, 0.53])
MATERIALS = {
    "mouth": (Material.GUMS, Parsing.MOUTH),
    "socket": (Material.GUMS, Parsing.EYE),
    "gums": (Material.GUMS, Parsing.MOUTH),
    "tongue": (Material.GUMS, Parsing.TONGUE),
    "teeth_upper": (Material.TEETH, Parsing.TEETH),
    "teeth_lower": (Material.TEETH, Parsing.TEETH),
}


def texture(traits: Traits, draws: np.random.Generator) -> Texture:
    """Six strips from left to right, one per part: noise for the soft ones, edge to root for the teeth."""
    strip = SIZE // len(PARTS)
    rgb = np.empty((SIZE, strip * len(PARTS), 3))
    tint = np.exp(draws.normal(0, 0.12, 3)) * (1 - 0.3 * traits.melanin)
    for k, part in enumerate(PARTS):
        where = rgb[:, k * strip : (k + 1) * strip]
        if part in _COLOURS:
            grain = 1 + 0.12 * noise(draws, SIZE, 30)[:, :strip, None]
            where[:] = np.array(_COLOURS[part]) * tint * grain
        else:
            yellow = np.exp(-traits.teeth * np.array([0.12, 0.22, 0.60]))
            height = np.linspace(0, 1, SIZE)[:, None, None]
            edge = smoothstep(1 - height / 0.14) * np.array([0.24, 0.20, 0.13])
            root = smoothstep((height - 0.35) / 0.65) * np.array([0.16, 0.30, 0.42])
            where[:] = _TOOTH * yellow * np.exp(-edge - root)
    rgba = np.full((SIZE, strip * len(PARTS), 4), 255, np.uint8)
    rgba[..., :3] = display(rgb)
    return Texture(rgba)


def corners(model: FaceModel, part: str) -> np.ndarray:
    """(t, 3, 2) texture coordinates of a part's triangles on its strip."""
    triangles = model.triangles[model.triangles_of(part)]
    points = model.vertices[triangles]
    low, high = points.reshape(-1, 3).min(axis=0), points.reshape(-1, 3).max(axis=0)
    share = (points - low) / (high - low)
    down = share[..., 2]
    if part.startswith("teeth"):  # from the biting edge, which is higher at the back teeth
        sign = 1 if part == "teeth_upper" else -1
        height = sign * points[..., 1]
        edge = np.poly1d(np.polyfit(*_edge(model, part, sign), 2))(points[..., 2])
        down = np.clip((height - edge) / 1.1, 0, 1)
    across = (PARTS.index(part) + 0.1 + 0.8 * share[..., 0]) / len(PARTS)
    return np.stack([across, 0.01 + 0.98 * down], axis=-1).astype(np.float32)


def _edge(model: FaceModel, part: str, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth and height of the lowest point of each slice of the arch."""
    points = model.vertices[model.vertices_of(part)]
    slices = np.array_split(np.argsort(points[:, 2]), 12)
    lowest = [s[np.argmin(sign * points[s, 1])] for s in slices]
    return points[lowest, 2], sign * points[lowest, 1]


_FALL = {"tongue": 0.45, "teeth_upper": 0.9, "teeth_lower": 0.9}  # of light, by depth; teeth at the back stand aside


def falls(model: FaceModel) -> np.ndarray:
    """(N,) rate of the falloff of light towards each vertex of the mouth."""
    out = np.full(len(model.vertices), 0.7, np.float32)
    for part, fall in _FALL.items():
        out[model.vertices_of(part)] = fall
    return out


def light_inside(
    points: np.ndarray, fall: np.ndarray, lip_upper: np.ndarray, lip_lower: np.ndarray, front: float
) -> np.ndarray:
    """How much light reaches points (n, 3) in the mouth, head space, (n,): it falls off with depth behind the lips,
    faster if the mouth is less open; ``lip_…`` (3,) the inner lips' middles, ``front`` their z, cm."""
    gap = float(np.clip(lip_upper[1] - lip_lower[1], 0, 5))
    depth = np.clip(front - points[:, 2], 0, None)
    middle = (lip_upper[1] + lip_lower[1]) / 2
    beside = np.clip(np.abs(points[:, 1] - middle) - gap / 2 + 0.15, 0, None)
    reach = 0.5 + 0.5 * gap
    entry = 0.25 + 0.5 * min(gap / 0.9, 1)
    return (entry * np.exp(-depth * fall / reach - beside * 0.55)).clip(0.012, 1).astype(np.float32)
