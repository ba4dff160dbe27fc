"""Hair as cards and shells: our own styles, grown on the mean head and bound to the skin of the face model's
topology, so that they follow a sitter's identity."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from engine.face.maths import smoothstep
from engine.face.mesh import Normals
from engine.face.model import FaceModel
from engine.raster import opencv
from engine.training.studio.body import pattern as hair_pattern
from engine.training.studio.body.pattern import CARDS, Pattern
from engine.training.studio.body.piece import Geometry, Layer, Piece, binding, head_share, unit
from engine.training.studio.hair import scalp
from engine.training.studio.hair.scalp import KNOT, Growth
from engine.training.studio.stage.scene import Material, Parsing

VARIANTS = 6  # of each style; more would need more memory


@dataclass(frozen=True)
class Style:
    """``growth`` of the guides; a ``shell``, cm thick, of hair whose strands ``flow`` as in ``hair_pattern.mass``;
    ``body`` closed cards where hair hangs free; ``loose`` cards over all, ``width`` cm wide with a ``pattern``;
    ``scalp`` 0…1 is how dark roots tint the skin."""

    growth: Growth
    shell: float = 0.0
    flow: str = "radial"
    body: int = 0
    loose: int = 0
    width: float = 1.8
    pattern: str = "straight"
    scalp: float = 0.9


_NONE = Growth((0, 0))
STYLES: dict[str, Style] = {
    "bald": Style(_NONE, scalp=0.0),
    "shaved": Style(_NONE, scalp=0.4),
    "buzz": Style(_NONE, 0.16, "coils", scalp=0.8),
    "balding": Style(
        Growth((1.5, 2.6), lift=0.12, weight=0.4, gap=0.3, steps=4, crown=7.5),
        0.2,
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "thinning": Style(
        Growth((2.0, 3.5), lift=0.2, weight=0.3, gap=0.4, steps=4, recede=2.6),
        0.25,
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "crop": Style(
        Growth((1.2, 2.2), lift=0.3, weight=0.1, sides=0.7, gap=0.5, steps=4),
        0.4,
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "short": Style(
        Growth((2.6, 4.4), lift=0.3, weight=0.25, sides=0.5, gap=0.9), 0.7, loose=480, width=0.75, pattern="tufts"
    ),
    "side part": Style(
        Growth((4.0, 6.5), "part", 0.3, 2.6, 0.35, 0.25, messy=0.15, gap=1.2),
        0.8,
        "across",
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "slick": Style(
        Growth((5.0, 8.0), "back", 0.5, 0.0, 0.12, 0.1, messy=0.08, gap=0.6),
        0.45,
        "along",
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "quiff": Style(
        Growth((3.2, 5.2), "up", 0.35, 0.0, 0.6, 0.12, messy=0.25, gap=2.0),
        0.8,
        "along",
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "messy": Style(
        Growth((3.5, 6.0), lift=0.5, weight=0.35, sides=0.6, messy=0.5, gap=1.6),
        0.9,
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "mop": Style(
        Growth((4.5, 6.0), "forward", 0.9, 0.8, 0.3, 0.4, messy=0.2, gap=1.2, steps=7),
        0.7,
        "along",
        loose=620,
        width=0.6,
        pattern="tufts",
    ),
    "bob": Style(
        Growth((24, 24), "part", 1.0, 1.5, 0.15, 0.5, messy=0.1, gap=1.3, steps=9, cut=-10.5),
        0.5,
        "across",
        150,
        110,
        2.6,
    ),
    "fringed bob": Style(
        Growth((24, 24), "part", 1.0, 0.3, 0.15, 0.5, messy=0.1, gap=1.3, steps=9, cut=-9.5, fringe=0.9),
        0.5,
        "across",
        160,
        120,
        2.6,
    ),
    "long": Style(
        Growth((42, 42), "part", 1.0, 1.2, 0.12, 0.6, messy=0.1, gap=1.2, steps=11, cut=-26.0),
        0.4,
        "across",
        160,
        100,
        2.8,
    ),
    "long fringe": Style(
        Growth((42, 42), "part", 1.0, 0.3, 0.12, 0.6, messy=0.1, gap=1.2, steps=11, cut=-24.0, fringe=0.9),
        0.4,
        "across",
        160,
        110,
        2.8,
    ),
    "long wavy": Style(
        Growth((42, 42), "part", 1.0, 2.0, 0.2, 0.5, curl=0.16, messy=0.2, gap=1.8, steps=12, cut=-25.0),
        *(0.6, "across", 160, 110, 2.8, "wavy"),
    ),
    "swept back": Style(
        Growth((36, 36), "back", 0.9, 0.0, 0.25, 0.5, messy=0.15, gap=1.3, steps=11, cut=-20.0),
        *(0.6, "along", 150, 100, 2.8, "wavy"),
    ),
    "curly": Style(
        Growth((3.0, 4.6), lift=0.5, weight=0.2, curl=0.35, messy=0.45, gap=1.6, steps=6),
        *(1.5, "coils", 0, 320, 2.2, "curly"),
    ),
    "long curly": Style(
        Growth((34, 34), "part", 1.0, 0.8, 0.35, 0.35, 0.3, 0.3, 2.2, 12, cut=-16.0),
        *(1.2, "coils", 160, 120, 3.0, "curly"),
    ),
    "afro": Style(
        Growth((2.4, 3.2), lift=0.8, weight=0.0, curl=0.6, messy=0.8, gap=1.6, steps=4),
        *(4.4, "coils", 0, 420, 2.8, "coily"),
    ),
    "short afro": Style(
        Growth((1.4, 1.9), lift=0.6, weight=0.0, curl=0.4, messy=0.8, gap=0.8, steps=4, sides=0.7),
        *(1.1, "coils", 0, 420, 1.7, "coily"),
    ),
    "bun": Style(Growth((8, 8), "bun", lift=0.2, messy=0.08, gap=0.6, steps=8), 0.35, "along", 130, 110, 2.4),
    "ponytail": Style(Growth((8, 8), "bun", lift=0.2, messy=0.08, gap=0.6, steps=8), 0.35, "along", 130, 110, 2.4),
}


@functools.lru_cache(maxsize=160)
def grown(model: FaceModel, name: str, variant: int, brim: tuple[float, float] | None) -> tuple[Geometry, ...]:
    """The pieces of a style of our own; ``brim`` (height, slope) of a hat flattens the hair above it."""
    style = STYLES[name]
    draws = np.random.Generator(np.random.Philox(key=hair_pattern.number_of(name, variant)))
    growth = varied(style.growth, draws)
    made: list[tuple[Piece, Pattern]] = []
    if style.shell:
        made.append(_shell(model, style, growth))
    for count, layer, spread in ((style.body, Layer.HAIR, 1.0), (style.loose, Layer.WISPS, 1.2)):
        if count:
            airy = replace(growth, messy=growth.messy * spread)
            if style.shell and not style.body:  # just over the shell
                airy = replace(airy, base=0.85 * style.shell, gap=max(0.4 * growth.gap, 0.15))
            guides = scalp.grow(model, airy, count, draws)
            pattern = hair_pattern.cards(style.pattern, layer == Layer.HAIR)
            width = style.width * (1.25 if layer == Layer.HAIR else 1.0)
            made.append((ribbons(f"hair {name}", guides.points, width, layer, draws), pattern))
    if name in ("bun", "ponytail"):
        made.append(_gathered(name, draws))
    if brim is not None:
        made = [(replace(piece, vertices=_pressed(model, piece.vertices, brim)), p) for piece, p in made]
    skin = scalp.surface(model)
    out = []
    for piece, pattern in made:
        each = 1 if piece.name == "hair shell" else 2
        middle = piece.vertices.reshape(-1, each, 3).mean(axis=1)
        out.append(Geometry(piece, binding(skin, middle, len(model.vertices)), pattern, each))
    return tuple(out)


def varied(growth: Growth, draws: np.random.Generator) -> Growth:
    scale = draws.uniform(0.8, 1.2)
    return replace(
        growth,
        length=(growth.length[0] * scale, growth.length[1] * scale),
        part=growth.part * draws.choice([-1, 1]) * draws.uniform(0.3, 1.2),
        cut=None if growth.cut is None else growth.cut * draws.uniform(0.75, 1.25),
        recede=growth.recede + draws.normal(0, 0.25),
        messy=growth.messy * draws.uniform(0.7, 1.4),
        lift=growth.lift * draws.uniform(0.8, 1.2),
    )


def ribbons(name: str, points: np.ndarray, width: float, layer: Layer, draws: np.random.Generator) -> Piece:
    """Cards along guides (G, K, 3), lying flat on the head."""
    count, steps = points.shape[:2]
    along = unit(np.gradient(points, axis=1))
    outward = volume_normals(points.reshape(-1, 3)).reshape(points.shape)
    across = unit(np.cross(along, outward))
    profile = np.interp(np.linspace(0, 1, steps), [0, 0.12, 0.35, 1], [0.35, 0.7, 1.0, 0.85])
    half = 0.5 * width * draws.uniform(0.75, 1.3, count)[:, None, None] * profile[None, :, None]
    vertices = np.stack([points - half * across, points + half * across], axis=2)
    face = unit(np.cross(across, along))
    face *= np.sign((face * outward).sum(-1, keepdims=True))
    normals = unit(outward + 0.5 * face + draws.normal(0, 0.08, (count, 1, 3)))
    t = np.broadcast_to(np.linspace(0, 1, steps)[None, :], (count, steps))
    depth = draws.uniform(0.85, 1.0, count)[:, None]
    occlusion = (0.65 + 0.3 * smoothstep(t * 1.5)) * depth
    strip = grid_strip(steps)
    triangles = (strip[None] + (np.arange(count) * steps * 2)[:, None, None]).reshape(-1, 3)
    cell = draws.integers(CARDS, size=count)
    flip = draws.random(count) < 0.5
    left = (cell + np.where(flip, 0.97, 0.03)) / CARDS
    right = (cell + np.where(flip, 0.03, 0.97)) / CARDS
    uv = np.stack([np.stack([left, right], -1)[:, None].repeat(steps, 1), t[..., None].repeat(2, -1)], axis=-1)
    flat = vertices.reshape(-1, 3)
    return Piece(
        name=name,
        vertices=flat,
        triangles=triangles,
        normals=normals.repeat(2, axis=1).reshape(-1, 3),
        uv=uv.reshape(-1, 2)[triangles].astype(np.float32),
        texture=0,
        material=Material.HAIR,
        parsing=Parsing.HAIR,
        layer=layer,
        share=hanging_share(flat),
        occlusion=occlusion.repeat(2, axis=1).reshape(-1).astype(np.float32),
        tangents=along.repeat(2, axis=1).reshape(-1, 3),
    )


def grid_strip(steps: int) -> np.ndarray:
    """(2 (steps − 1), 3) triangles of a strip of ``steps`` pairs of vertices."""
    k = np.arange(steps - 1)[:, None] * 2
    return np.concatenate([k + [[0, 1, 2]], k + [[1, 3, 2]]])


def volume_normals(points: np.ndarray) -> np.ndarray:
    """(n, 3) unit vectors out of the body of hair: away from the middle of the skull, below it away from the neck."""
    middle = np.stack([0 * points[:, 0], np.clip(points[:, 1], -40, 4.5), np.full(len(points), -1.5)], axis=1)
    return unit((points - middle) * [1, 1, 0.85])


def hanging_share(points: np.ndarray) -> np.ndarray:
    """(n,) share of the head's motion: hair that reaches the shoulders stays on them."""
    return smoothstep((points[:, 1] + 17) / 13).astype(np.float32)


def _shell(model: FaceModel, style: Style, growth: Growth) -> tuple[Piece, Pattern]:
    """The scalp, offset by the style's thickness, which decreases towards a ragged hairline."""
    triangles = model.triangles[model.triangles_of("skin")]
    inside = scalp.hairline(model.vertices, growth.recede, growth.crown)
    chosen = triangles[(inside[triangles] > -1.2).all(axis=1)]
    index, renumbered = np.unique(chosen, return_inverse=True)
    faces = renumbered.reshape(-1, 3)
    normals = Normals(triangles, len(model.vertices))(model.vertices)[index]
    rest = model.vertices[index]
    thick = growth.off(rest, style.shell)
    out = unit(normals + 0.6 * volume_normals(rest))
    vertices = rest + out * (thick + 0.05)[:, None]
    arm = unit(rest - np.array([0, 4.0, -1.0]))
    pole, front = unit(np.array([0, 0.85, -0.5])), unit(np.array([0, 0.5, 0.85]))
    polar = np.arccos(np.clip(arm @ pole, -1, 1)) / (0.85 * np.pi)
    around = np.arctan2(arm[:, 0], arm @ front)
    chart = 0.5 + 0.5 * polar.clip(0, 0.99)[:, None] * np.stack([np.sin(around), np.cos(around)], 1)
    brightness, strand = hair_pattern.mass(style.flow)
    size = len(brightness)
    found = opencv.rasterise(chart * size, np.full(len(chart), 10.0), faces, (size, size))
    border = found.image(found.gather(inside[index].astype(np.float32), faces), -2.0)
    ragged = border + 1.2 * (brightness - 0.5) * 2 - 0.1
    piece = Piece(
        name="hair shell",
        vertices=vertices,
        triangles=faces,
        normals=unit(normals + 0.5 * volume_normals(rest)),
        uv=chart[faces].astype(np.float32),
        texture=0,
        material=Material.HAIR,
        parsing=Parsing.HAIR,
        layer=Layer.HAIR,
        share=head_share(rest),
        occlusion=np.full(len(rest), 0.85, np.float32),
        tangents=unit(np.cross(normals, np.cross([0, -1.0, 0.3], normals))),
    )
    return piece, Pattern(brightness, np.clip(ragged / 0.5, 0, 1), strand)


def _gathered(name: str, draws: np.random.Generator) -> tuple[Piece, Pattern]:
    """The knot of a bun, cards wound round a ball, or a tail that falls from there."""
    middle = KNOT + [0, 0.3, -0.6]
    if name == "bun":
        ball = draws.uniform(2.3, 3.2)
        turn, lean = draws.uniform(0, 2 * np.pi, (60, 1)), draws.normal(0, 0.7, (60, 1))
        angle = turn + np.linspace(0, 2.4, 7)
        ring = np.stack([np.cos(angle) * np.cos(lean), np.sin(angle) * np.cos(lean), np.sin(lean) + 0 * angle], -1)
        points = middle + ball * ring * [1, 1, 0.75] * draws.uniform(0.85, 1.0, (60, 1, 1))
        piece = ribbons("hair bun", points, 2.2, Layer.HAIR, draws)
        out = unit(piece.vertices - middle)
        return replace(piece, normals=out), hair_pattern.cards("straight", True)
    count, steps, length = 70, 11, draws.uniform(15, 26)
    t = np.linspace(0, 1, steps)
    spread = draws.normal(0, 1, (count, 1, 3)) * [1.0, 0.6, 0.8]
    fall = np.stack([0 * t, 1.2 * np.sin(2.4 * t) - length * t**1.3, -3.2 * np.sin(np.pi * np.minimum(t * 1.3, 1))], -1)
    points = middle + fall + spread * (0.35 + 1.5 * np.sin(np.pi * (0.1 + 0.75 * t)))[None, :, None]
    points[..., 2] = np.minimum(points[..., 2], -9.6 - 0.1 * t)
    return ribbons("hair tail", points, 1.8, Layer.HAIR, draws), hair_pattern.cards("straight", True)


def _pressed(model: FaceModel, points: np.ndarray, brim: tuple[float, float]) -> np.ndarray:
    """Hair above a brim lies on the skin, so that a hat covers it."""
    skin = scalp.surface(model)
    _, near = skin.tree.query(points)
    flat = skin.vertices[near] + 0.1 * skin.normals[near]
    above = smoothstep((points[:, 1] - (brim[0] + brim[1] * points[:, 2]) + 2.4) / 2.2)[:, None]
    return points + above * (flat - points)
