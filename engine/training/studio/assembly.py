"""Builds a scene: a sitter at a moment on a stage, with the head deformed, turned and placed in front of the camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.face.mesh import Normals
from engine.geometry.framing import HEAD_MIDDLE
from engine.training.studio.body import layout, regions
from engine.training.studio.body.colour import tone
from engine.training.studio.body.piece import Layer, Posture, head_share
from engine.training.studio.library.items import Library
from engine.training.studio.people import eyes, mouth
from engine.training.studio.people.acting import Moment
from engine.training.studio.people.sitter import Sitter
from engine.training.studio.stage.scene import HeadState, Material, Mesh, Parsing, Scene
from engine.training.studio.stage.stage import Stage

SKIN, EYE, MOUTH, LASH = range(4)  # indices of a sitter's textures
_GREY, _METERED = 0.36, 0.4  # albedo without correction; share of the correction that is applied


def build(sitter: Sitter, moment: Moment, stage: Stage, framed: Moment | None = None) -> Scene:
    """The scene of a moment; the camera frames the head of ``framed`` (default: of the moment itself)."""
    fixed = _fixed(sitter.library)
    model, anatomy = sitter.library.model, sitter.library.anatomy
    expression = clamped(sitter, moment.expression)
    head = model.deform(sitter.neutral, expression)
    occlusion = fixed.occlusion.copy()
    for eye, centre, gaze in zip(anatomy.eyes, sitter.eye_centres, moment.gaze):
        ball, lids = eyes.turned(head[eye.vertices], centre, gaze), (head[eye.upper], head[eye.lower])
        occlusion[eye.vertices] = eyes.lid_shade(ball, *lids)
        head[eye.vertices] = eyes.behind_lids(ball, centre, *lids)
    lips = model.landmarks68.at(head)[[62, 66]]
    front = float(lips[:, 2].mean()) - 0.3
    occlusion[fixed.inside] = mouth.light_inside(head[fixed.inside], fixed.falls, lips[0], lips[1], front)
    lash, along = eyes.lash_points(head, anatomy.eyes, sitter.eye_centres, sitter.traits.lash)

    rotation, translation, body_rotation, body_translation = placed(stage, moment, framed or moment)
    posture = Posture(head, rotation, translation, body_rotation, body_translation)
    posed, lash_posed = posture.place(head, fixed.share), posture.place(lash, np.ones(len(lash)))
    surface = Mesh(
        name="head",
        vertices=posed,
        triangles=model.triangles,
        normals=fixed.normals(posed).astype(np.float32),
        uv=fixed.uv,
        texture=fixed.texture,
        material=fixed.material,
        parsing=fixed.parsing,
        occlusion=occlusion,
    )
    count = len(fixed.lashes.triangles)
    lashes = Mesh(
        name="lashes",
        vertices=lash_posed,
        triangles=fixed.lashes.triangles,
        normals=np.broadcast_to(rotation[:, 2].astype(np.float32), lash_posed.shape),
        uv=fixed.lashes.uv,
        texture=np.full(count, LASH, np.int32),
        material=np.full(count, Material.LASH, np.uint8),
        parsing=np.full(count, Parsing.EYE, np.uint8),
        occlusion=np.ones(len(lash_posed), np.float32),
        tangents=(along @ rotation.T).astype(np.float32),
        layer=int(Layer.LASHES),
    )
    return Scene(
        meshes=(surface, lashes, *sitter.wardrobe.meshes(posture, len(sitter.textures))),
        textures=sitter.textures + sitter.wardrobe.textures,
        light=stage.light,
        background=stage.background,
        focal=stage.focal,
        lens=replace(stage.lens, exposure=stage.lens.exposure * metered(sitter)),
        head=HeadState(
            vertices=posed,
            identity=sitter.identity,
            expression=expression,
            gaze=np.asarray(moment.gaze, np.float32),
            rotation=rotation.astype(np.float32),
            translation=translation.astype(np.float32),
        ),
    )


def placed(stage: Stage, moment: Moment, framed: Moment) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Head → camera and body → camera, (3, 3) and (3,) each, at ``moment``; the camera frames the head of
    ``framed``, a moment of the same take."""
    aimed = framed.rotation @ HEAD_MIDDLE + framed.translation
    to_camera = np.array([stage.shift[0], stage.shift[1], -stage.distance]) - aimed
    body = moment.body_translation + to_camera
    return moment.rotation, moment.translation + to_camera, moment.body_rotation, body


def metered(sitter: Sitter) -> float:
    """Exposure factor of a camera that meters the face: it compensates for some of the skin's tone."""
    return float(np.clip((_GREY / tone(sitter.traits.melanin).mean()) ** _METERED, 0.8, 1.6))


def clamped(sitter: Sitter, expression: np.ndarray) -> np.ndarray:
    """Weights in 0…1, ``mouthClose`` at most ``jawOpen``, which it corrects."""
    model = sitter.library.model
    out = np.clip(expression, 0, 1).astype(np.float32)
    close, jaw = model.expression_index("mouthClose"), model.expression_index("jawOpen")
    out[close] = min(out[close], out[jaw])
    return out


@dataclass(frozen=True, eq=False)
class _Fixed:
    """Data shared by all sitters of a library."""

    normals: Normals
    uv: np.ndarray
    texture: np.ndarray
    material: np.ndarray
    parsing: np.ndarray
    occlusion: np.ndarray
    share: np.ndarray
    inside: np.ndarray
    falls: np.ndarray
    lashes: eyes.Lashes


_FIXED: dict[str, _Fixed] = {}


def _fixed(library: Library) -> _Fixed:
    if library.digest not in _FIXED:
        _FIXED[library.digest] = _prepare(library)
    return _FIXED[library.digest]


def _prepare(library: Library) -> _Fixed:
    model, count = library.model, len(library.model.triangles)
    uv = np.zeros((count, 3, 2), np.float32)
    texture, material, parsing = (np.zeros(count, kind) for kind in (np.int32, np.uint8, np.uint8))
    sheet = model.triangles_of("skin")
    uv[sheet] = library.layout.corners(model.vertices, model.triangles[sheet])
    parsing[sheet] = regions.skin_classes(model)
    for eye, name in zip(library.anatomy.eyes, ("eye_left", "eye_right")):
        ball = model.triangles_of(name)
        uv[ball] = layout.eye_chart(model.vertices[model.triangles[ball]], eye.centre, eye.radius)
        texture[ball], material[ball], parsing[ball] = EYE, Material.EYE, Parsing.EYE
    for part in mouth.PARTS:
        triangles = model.triangles_of(part)
        uv[triangles] = mouth.corners(model, part)
        texture[triangles] = MOUTH
        material[triangles], parsing[triangles] = mouth.MATERIALS[part]
    occlusion = library.occlusion.copy()
    occlusion[model.vertices_of("socket")] = 0.35
    occlusion[model.vertices_of("skin")] = np.maximum(library.occlusion[model.vertices_of("skin")], 0.08)
    share = np.ones(len(model.vertices), np.float32)
    on_skin = model.vertices_of("skin")
    share[on_skin] = head_share(model.vertices[on_skin])
    cavity = model.vertices_of("mouth", "gums", "tongue", "teeth_upper", "teeth_lower")
    inner = np.setdiff1d(cavity, model.vertices_of("skin"))
    return _Fixed(
        normals=Normals(model.triangles, len(model.vertices)),
        uv=uv,
        texture=texture,
        material=material,
        parsing=parsing,
        occlusion=occlusion,
        share=share,
        inside=inner,
        falls=mouth.falls(model)[inner],
        lashes=eyes.lash_strips(library.anatomy.eyes),
    )
