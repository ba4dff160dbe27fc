"""Eyes: painted eyeballs, lashes along the lids, and the shadow of the lids on the eyeballs."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from engine.face.maths import look, smoothstep
from engine.training.studio.body.anatomy import Eye
from engine.training.studio.body.colour import display, linear_planes, noise, opaque
from engine.training.studio.body.layout import EYE_SHARE
from engine.training.studio.library.items import Iris
from engine.training.studio.people.traits import Traits
from engine.training.studio.stage.scene import Texture

SIZE = 256
_RIM = 1.03  # radii between which the iris fades into the sclera, relative to the iris
_LASH_ROWS = np.array([0.0, 0.35, 0.7, 1.0])  # along a lash, from its root
_DRAWN_IN = 0.09  # of the eyeball's radius
_UPPER, _LOWER = 1.0, 0.45  # lengths of upper and lower lashes, relative to the sitter's


def paint(iris: Iris, eye: Eye, traits: Traits, draws: np.random.Generator) -> Texture:
    """An eyeball seen from the front as ``layout.eye_chart`` has it: sclera with veins, limbus, iris, pupil."""
    x, y, radius = _grid(eye.radius / eye.limbus)
    white = np.array([0.56, 0.51, 0.475]) * np.array([1, 1 - 0.08 * traits.sclera, 1 - 0.22 * traits.sclera])
    pink = np.clip((radius - 1.3) / 1.2, 0, 1)
    even = 1 - 0.03 * noise(draws, SIZE, 12)
    veins = _veins(draws, radius)
    ball = np.empty((3, SIZE, SIZE), np.float32)
    for plane, colour, rosy, red in zip(ball, white, (0.10, 0.32, 0.30), (0.25, 0.9, 0.9), strict=True):
        plane[:] = np.float32(colour) * even * np.exp(-np.float32(rosy) * pink - np.float32(red) * veins)
    # The iris is stretched so that its pupil has the sitter's size. Outside its rim it is invisible.
    within = np.flatnonzero(np.abs(x[0]) < _RIM)
    box = slice(within[0], within[-1] + 1)
    x, y, radius = (values[box, box] for values in (x, y, radius))
    inner = np.where(
        radius < traits.pupil,
        radius / traits.pupil * iris.pupil,
        iris.pupil + (radius - traits.pupil) / (1 - traits.pupil) * (1 - iris.pupil),
    )
    half = len(iris.rgb) / 2
    scale = (inner / np.maximum(radius, 1e-6)).astype(np.float32) * half * 0.97
    at = (x * scale + (half - 0.5), y * scale + (half - 0.5))
    colour = linear_planes(cv2.remap(iris.rgb, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    ring = np.exp(-(((radius - 0.97) / 0.10) ** 2))
    colour *= (1 - 0.6 * ring) * np.clip(1.15 - 0.25 * radius, 0.6, 1.2)
    colour *= 1 - smoothstep((traits.pupil - radius) / 0.06 + 0.5) * 0.985
    inside = smoothstep((_RIM - radius) / 0.14)
    ball[:, box, box] += (colour - ball[:, box, box]) * inside
    return Texture(opaque(ball))


@functools.lru_cache(maxsize=4)
def _grid(across: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and distance from the axis of every texel, in radii of the iris, of an eyeball ``across`` times as large."""
    step = (((np.arange(SIZE) + 0.5) / SIZE - 0.5) / EYE_SHARE * across).astype(np.float32)
    x, y = np.meshgrid(step, step)
    return x, y, np.hypot(x, y)


def _veins(draws: np.random.Generator, radius: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE): thin wandering lines from the corners towards the iris."""
    canvas = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(int(draws.integers(6, 22))):
        side = draws.choice([-1, 1])
        point = np.array([0.5 + side * 0.44, 0.5 + draws.normal(0, 0.12)]) * SIZE
        heading = np.pi * (side > 0) + draws.normal(0, 0.35)
        path = [point]
        for _ in range(int(draws.integers(4, 12))):
            heading += draws.normal(0, 0.35)
            path.append(path[-1] + 0.022 * SIZE * np.array([np.cos(heading), np.sin(heading)]))
        bends = np.round(np.array(path) * 16).astype(np.int32)
        cv2.polylines(canvas, [bends], False, draws.uniform(0.15, 0.6), 1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), 0.6) * smoothstep((radius - 1.15) / 0.5)


def turned(vertices: np.ndarray, centre: np.ndarray, gaze: np.ndarray) -> np.ndarray:
    """An eyeball (n, 3) turned about its centre by (pitch, yaw)."""
    return (vertices - centre) @ look(gaze[0], gaze[1]).T.astype(np.float32) + centre


def behind_lids(ball: np.ndarray, centre: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The ball (n, 3) with covered vertices moved inwards: unlike real lids, ours do not bulge over the cornea."""
    above, below = _inside(ball, upper, lower)
    covered = smoothstep(-np.minimum(above, below) / 0.2)[:, None].astype(np.float32)
    return centre + (ball - centre) * (1 - _DRAWN_IN * covered)


def lid_shade(ball: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """How much light reaches points ``ball`` (n, 3) of an eye between its margins (m, 3), all in head space: (n,)."""
    above, below = _inside(ball, upper, lower)
    span = np.sort(upper[:, 0])[[0, -1]]
    aside = np.minimum(ball[:, 0] - span[0], span[1] - ball[:, 0])
    open_wide = smoothstep((above + below) / 0.35)  # no light between closed lids
    shade = (0.30 + 0.62 * smoothstep((above + 0.05) / 0.45)) * (0.15 + 0.85 * open_wide)
    shade *= smoothstep((np.minimum(above, below) + 0.25) / 0.25)
    shade *= 0.72 + 0.28 * smoothstep((below + 0.05) / 0.25)
    return (shade * (0.65 + 0.35 * smoothstep((aside + 0.05) / 0.5))).astype(np.float32)


def _inside(ball: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of points below the upper margin and above the lower one, cm."""
    return _height(upper, ball[:, 0]) - ball[:, 1], ball[:, 1] - _height(lower, ball[:, 0])


def _height(margin: np.ndarray, x: np.ndarray) -> np.ndarray:
    order = np.argsort(margin[:, 0])
    return np.interp(x, margin[order, 0], margin[order, 1])


@dataclass(frozen=True)
class Lashes:
    """Strips of lashes, one per margin: ``triangles`` (T, 3), ``uv`` (T, 3, 2) on :func:`lash_texture`."""

    triangles: np.ndarray
    uv: np.ndarray


def lash_strips(eyes: tuple[Eye, Eye]) -> Lashes:
    """The strips' topology, in the order in which :func:`lash_points` gives their vertices."""
    triangles, uv, start = [], [], 0
    rows = len(_LASH_ROWS)
    for eye in eyes:
        for margin, row in ((eye.upper, 0), (eye.lower, 1)):
            n = len(margin)
            grid = start + np.arange(n * rows).reshape(n, rows)
            a, b, c, d = (g.ravel() for g in (grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]))
            faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
            across = np.repeat(np.linspace(0.002, 0.998, n), rows)
            down = (row + np.tile(0.04 + 0.92 * _LASH_ROWS, n)) / 2
            triangles.append(faces)
            uv.append(np.stack([across, down], 1)[faces - start])
            start += n * rows
    return Lashes(np.concatenate(triangles), np.concatenate(uv).astype(np.float32))


def lash_points(
    head: np.ndarray, eyes: tuple[Eye, Eye], centres: np.ndarray, length: float
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and unit tangents (L, 3) of the strips on a ``head`` (N, 3) at rest: they stand out from the ball and
    curl away from the other lid."""
    points, tangents = [], []
    for eye, centre in zip(eyes, centres):
        for margin, part, up in ((eye.upper, _UPPER, 1.0), (eye.lower, _LOWER, -1.0)):
            root = head[margin]
            out = root - centre
            out /= np.linalg.norm(out, axis=1, keepdims=True)
            lid = np.cross(out, np.array([1.0, 0, 0]))
            lid *= np.sign(lid[:, 1:2]) * up
            outward = np.array([0.55 * np.sign(root[-1, 0] - root[0, 0]), 0, 0])
            fan = np.linspace(-1, 1, len(margin))[:, None] ** 3 * outward
            long = length * part * (0.55 + 0.45 * np.sin(np.linspace(0.5, 2.6, len(margin))))[:, None]
            straight = out * 0.8 + fan + lid * 0.25
            grown = [root + long * (straight * s + lid * 0.55 * s**2) for s in _LASH_ROWS]
            grown[0] = root - out * 0.02
            along = [straight + lid * 1.1 * s for s in _LASH_ROWS]
            points.append(np.stack(grown, axis=1).reshape(-1, 3))
            tangents.append(np.stack(along, axis=1).reshape(-1, 3))
    tangent = np.concatenate(tangents)
    return np.concatenate(points), tangent / np.linalg.norm(tangent, axis=1, keepdims=True)


def lash_texture(traits: Traits, draws: np.random.Generator) -> Texture:
    """Upper lashes in the upper half, lower ones below; roots at the top of each."""
    width, height = 512, 64
    halves, bend = [], np.linspace(0, 1, 6)
    for count, strength in ((95, 0.9 + 0.1 * traits.make_up), (55, 0.5 + 0.2 * traits.make_up)):
        canvas = np.zeros((height, width), np.float32)
        paths = np.empty((count, len(bend), 2))
        for k, path in enumerate(paths):
            x = (k + draws.uniform(0, 1)) / count * width
            lean, reach = draws.normal(0, 9), draws.uniform(0.55, 1) * height
            path[:, 0], path[:, 1] = x + lean * bend**2, reach * bend
        drawn = np.round(paths * 16).astype(np.int32)
        cv2.polylines(canvas, list(drawn), False, 1.0, 1, cv2.LINE_AA, 4)
        cv2.polylines(canvas, list(drawn[:, :3]), False, 1.0, 2, cv2.LINE_AA, 4)
        canvas *= np.linspace(1.1, 0.35, height, dtype=np.float32)[:, None].clip(0, 1)
        canvas[: height // 10] = np.maximum(canvas[: height // 10], 0.55)
        halves.append(canvas * strength)
    alpha = cv2.GaussianBlur(np.concatenate(halves), (0, 0), 0.6).clip(0, 1)
    dark = 1 - 0.7 * traits.make_up
    colour = display(np.clip(traits.brow_colour * 0.35 * dark + 0.003, 0, 0.2))
    rgba = np.empty((2 * height, width, 4), np.uint8)
    rgba[..., :3], rgba[..., 3] = colour, alpha * 255
    return Texture(rgba)
