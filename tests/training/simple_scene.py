"""A head made of nothing but the face model: painted skin, a shell of hair cards in three layers, a plain wall."""

from __future__ import annotations

import numpy as np

from engine.face import model as face_model
from engine.face.mesh import Normals
from engine.training.face_model.render import rotation
from engine.training.studio.randomness import draws
from engine.training.studio.stage.scene import HeadState, Lens, Light, Material, Mesh, Parsing, Scene, Texture

_PART = {  # part of the face model: material, class, colour
    "skin": (Material.SKIN, Parsing.SKIN, (205, 160, 135)),
    "mouth": (Material.GUMS, Parsing.MOUTH, (90, 30, 30)),
    "socket": (Material.SKIN, Parsing.SKIN, (150, 100, 90)),
    "gums": (Material.GUMS, Parsing.MOUTH, (170, 90, 85)),
    "teeth_upper": (Material.TEETH, Parsing.TEETH, (230, 222, 205)),
    "teeth_lower": (Material.TEETH, Parsing.TEETH, (230, 222, 205)),
    "tongue": (Material.GUMS, Parsing.TONGUE, (190, 100, 95)),
    "eye_left": (Material.EYE, Parsing.EYE, (235, 232, 228)),
    "eye_right": (Material.EYE, Parsing.EYE, (235, 232, 228)),
}
_SKIN = 256  # texels a side of the painted skin


def textures() -> tuple[Texture, ...]:
    """Skin with smooth freckles, one plain colour per other part, and hair with gaps."""
    random = draws(3, "textures")
    plain = [Texture(np.full((2, 2, 4), (*colour, 255), np.uint8)) for _, _, colour in _PART.values()]
    mottle = np.kron(random.normal(0, 6, (_SKIN // 8, _SKIN // 8, 1)), np.ones((8, 8, 1)))
    skin = np.clip(np.array(_PART["skin"][2]) + mottle, 0, 255).astype(np.uint8)
    brows = np.zeros((_SKIN, _SKIN), np.uint8)
    brows[98:103, 88:168] = Parsing.BROW
    skin[brows > 0] = skin[brows > 0] // 3
    plain[0] = Texture(np.dstack([skin, np.full((_SKIN, _SKIN), 255, np.uint8)]), brows)
    strand = np.repeat(random.integers(0, 2, (1, 64)) * 255, 64, axis=0).astype(np.uint8)
    hair = np.dstack([np.full((64, 64, 3), (70, 45, 30), np.uint8), strand])
    return (*plain, Texture(hair))


TEXTURES = textures()


def scene(
    yaw: float = 0,
    pitch: float = 0,
    seed: int = 0,
    jaw: float = 0,
    hair: bool = True,
    lens: Lens | None = None,
    key: float = 1.2,
    distance: float = 62,
) -> Scene:
    """A head turned by degrees; ``seed`` 0 is the mean head."""
    model = face_model.load()
    random = draws(seed, "sitter")
    identity = random.normal(0, 0.7, len(model.identity)) * (seed > 0)
    expression = np.zeros(len(model.expression_names), np.float32)
    expression[model.expression_index("jawOpen")] = jaw
    turn = rotation(yaw, pitch)
    translation = np.array([0, -1.0, -distance])
    posed = (model.deform(model.neutral(identity), expression) @ turn.T + translation).astype(np.float32)
    normals = Normals(model.triangles, len(posed))(posed).astype(np.float32)
    meshes = [_head(posed, normals)]
    if hair:
        meshes += [_hair(posed, normals, layer, 0.25 + 0.25 * layer) for layer in (1, 2, 3)]
    harmonics = np.zeros((9, 3))
    harmonics[0], harmonics[1], harmonics[3] = 1.6, (0.35, 0.4, 0.5), (0.3, 0.2, 0.1)
    sky = np.linspace(1.4, 0.2, 16)[:, None, None] * np.ones((16, 32, 3))
    sky[2:5, 6:10] = 8
    direction = np.array([-0.6, 0.5, 0.7])
    light = Light(
        harmonics.astype(np.float32),
        sky.astype(np.float32),
        np.eye(3, dtype=np.float32),
        (direction / np.linalg.norm(direction)).astype(np.float32),
        np.full(3, key, np.float32) * (1, 0.95, 0.85),
    )
    wall = (np.linspace(0.6, 0.2, 32)[:, None, None] * np.ones((32, 32, 3)) * (0.6, 0.8, 1)).astype(np.float32)
    head = HeadState(posed, identity, expression, np.zeros((2, 2)), turn, translation)
    return Scene(tuple(meshes), TEXTURES, light, wall, 62 / 32, head, lens or Lens())


def _head(posed: np.ndarray, normals: np.ndarray) -> Mesh:
    model = face_model.load()
    count = len(model.triangles)
    material, parsing, texture = np.zeros(count, int), np.zeros(count, int), np.zeros(count, int)
    for number, (name, (kind, group, _)) in enumerate(_PART.items()):
        own = model.triangles_of(name)
        material[own], parsing[own], texture[own] = kind, group, number
    low, high = model.vertices.min(0), model.vertices.max(0)
    at = (model.vertices - low) / (high - low)
    uv = np.stack([at[:, 0], 1 - at[:, 1]], axis=1)[model.triangles]
    occlusion = np.where(np.isin(np.arange(len(posed)), model.vertices_of("mouth", "tongue", "gums")), 0.25, 0.9)
    return Mesh("head", posed, model.triangles, normals, uv, texture, material, parsing, occlusion)


def _hair(posed: np.ndarray, normals: np.ndarray, layer: int, off: float) -> Mesh:
    """The scalp once more, moved off the head, with gaps."""
    model = face_model.load()
    x, y, z = model.vertices.T
    scalp = (y > 4) & (y - 0.9 * z > 1.5) & np.isin(np.arange(len(y)), model.vertices_of("skin"))
    triangles = model.triangles[scalp[model.triangles].all(1)]
    used, triangles = np.unique(triangles, return_inverse=True)
    triangles = triangles.reshape(-1, 3)
    count = len(triangles)
    around = np.arctan2(x, z) / (2 * np.pi) * 40 + 0.3 * layer
    uv = np.stack([around % 1, (14 - y) / 20], axis=1)[used][triangles]
    uv[np.ptp(uv[..., 0], axis=1) > 0.5] = 0.5
    tangents = np.cross(np.cross(normals[used], [0, 1, 0]), normals[used])
    return Mesh(
        f"hair {layer}",
        posed[used] + off * normals[used],
        triangles,
        normals[used],
        uv,
        np.full(count, len(_PART)),
        np.full(count, Material.HAIR),
        np.full(count, Parsing.HAIR),
        np.full(len(used), 0.8),
        tangents,
        layer,
    )


def card(name: str, depth: float, grey: int, alpha: int, layer: int, half: float = 100.0) -> tuple[Mesh, Texture]:
    """A square that faces the camera and shows its own colour whatever the light."""
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    vertices = np.column_stack([corners, np.full(4, -depth)]).astype(np.float32)
    ones = np.ones(2, int)
    mesh = Mesh(
        name=name,
        vertices=vertices,
        triangles=np.array([[0, 1, 2], [0, 2, 3]]),
        normals=np.tile(np.array([0, 0, 1], np.float32), (4, 1)),
        uv=np.full((2, 3, 2), 0.5, np.float32),
        texture=ones * layer,
        material=ones * Material.LASH,
        parsing=ones * Parsing.HAIR,
        occlusion=np.ones(4, np.float32),
        layer=layer,
    )
    return mesh, Texture(np.full((2, 2, 4), (grey, grey, grey, alpha), np.uint8))
