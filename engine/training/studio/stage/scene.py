"""A scene: posed meshes, textures, light, background, camera and lens. It is drawn by
:mod:`engine.training.studio.renderer.render`.

Camera space: centimetres, the camera at the origin looking down −z, y up. Images: y down, pixel centres at +.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class Material(IntEnum):
    """How a surface answers light."""

    SKIN = 0
    EYE = 1
    TEETH = 2
    GUMS = 3  # gums, tongue and the wet inside of the mouth
    LASH = 4
    HAIR = 5
    CLOTH = 6
    METAL = 7  # frames of glasses
    GLASS = 8


class Parsing(IntEnum):
    """What a pixel shows: the classes of the parsing label; their order is fixed."""

    BACKGROUND = 0
    SKIN = 1
    BROW = 2
    EYE = 3
    LIP = 4
    MOUTH = 5  # the cavity and the gums
    TEETH = 6
    TONGUE = 7
    EAR = 8
    NECK = 9
    HAIR = 10
    BEARD = 11
    CLOTH = 12
    GLASSES = 13
    HEADWEAR = 14


@dataclass(frozen=True, eq=False)
class Texture:
    """``rgba`` (h, w, 4) uint8, colours sRGB, alpha straight; row 0 is v = 0. ``parsing`` (h, w) uint8 overrides the
    triangle's class where it is not 0 (brows, lips and beards are painted on skin).

    Textures compare by identity: reuse the object between scenes, since the renderer caches what it derives from it."""

    rgba: np.ndarray
    parsing: np.ndarray | None = None


@dataclass(frozen=True)
class Mesh:
    """Triangles in camera space that are drawn together.

    ``vertices`` (N, 3) cm, ``triangles`` (T, 3), ``normals`` (N, 3) unit, ``uv`` (T, 3, 2) in 0…1 with v down,
    ``texture`` (T,) index into the scene's textures, ``material`` (T,) and ``parsing`` (T,) of the enums above,
    ``occlusion`` (N,) how much of the sky is seen, 0…1; ``tangents`` (N, 3) unit, along the hair, or None.

    The mesh named ``head`` is the face model's: its vertices are the scene's ``head.vertices``.

    ``layer``: meshes of layer 0 are opaque and hide each other; meshes of a higher layer have alpha and are composited
    over what lies behind them, sorted by depth at every pixel. Cards that overlap belong in different layers.
    """

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    texture: np.ndarray
    material: np.ndarray
    parsing: np.ndarray
    occlusion: np.ndarray
    tangents: np.ndarray | None = None
    layer: int = 0


@dataclass(frozen=True)
class Light:
    """``harmonics`` (9, 3) irradiance of the surroundings over π as real spherical harmonics (bands 0 to 2, by l then
    m: 1, y, z, x, xy, yz, 3z² − 1, xz, x² − y²), already in camera space: a white matt surface shows their sum;
    ``mirror`` (h, w, 3) blurred radiance to reflect, a latitude-longitude map (row 0 is +y, the middle column −z, to
    the right +x) turned by ``mirror_turn`` (3, 3) from camera space; ``key_direction`` (3,) towards the light,
    ``key_colour`` (3,) what a white matt surface facing it shows, linear (0 is no key light)."""

    harmonics: np.ndarray
    mirror: np.ndarray
    mirror_turn: np.ndarray
    key_direction: np.ndarray
    key_colour: np.ndarray


@dataclass(frozen=True)
class Lens:
    """What the camera does to the picture, in this order. Lengths are shares of the image's width.

    ``exposure`` multiplies linear light, ``tint`` (3,) too; ``blur`` is a Gaussian's sigma; ``shot_noise`` and
    ``read_noise`` are standard deviations in 0…1 display values (the first at white, falling with the root of the
    signal); ``vignette`` 0…1 darkens the corners; ``jpeg`` is a quality 1…100, or 0 for none; ``seed`` is the noise's.
    """

    exposure: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    vignette: float = 0.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    jpeg: int = 0
    seed: int = 0


@dataclass(frozen=True)
class HeadState:
    """The state of the face model in this picture: the source of the labels.

    ``vertices`` (N, 3) of the face model's topology in camera space, ``identity`` (K,) and ``expression`` (E,) of the
    face model, ``gaze`` (2, 2) radians, the subject's left eye first, (pitch up, yaw towards the subject's left) in the
    head's frame, ``rotation`` (3, 3) and ``translation`` (3,) cm from head to camera.
    """

    vertices: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


@dataclass(frozen=True)
class Scene:
    """``focal`` in widths of the square image, so that a scene can be drawn at any size; principal point at the centre.
    ``background`` (h, w, 3) float32 linear light, stretched over the image."""

    meshes: tuple[Mesh, ...]
    textures: tuple[Texture, ...]
    light: Light
    background: np.ndarray
    focal: float
    head: HeadState
    lens: Lens = field(default_factory=Lens)

    def project(self, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Camera-space (…, 3) → pixels (…, 2) of an image ``size`` wide, and depth (…,) cm, positive in front."""
        depth = -points[..., 2]
        scale = self.focal * size / depth
        pixels = np.stack([size / 2 + points[..., 0] * scale, size / 2 - points[..., 1] * scale], axis=-1)
        return pixels.astype(np.float32), depth.astype(np.float32)
