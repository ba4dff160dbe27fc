"""Render scenes in npz files with Cycles, as linear light. Run by a Python with bpy or by Blender; never imported.

    PYTHON render_scenes.py FOLDER SIZE SAMPLES THREADS
    blender --background --factory-startup --python render_scenes.py -- FOLDER SIZE SAMPLES THREADS

Every ``NAME.npz`` in FOLDER (see ``engine/training/studio/cycles/export.py``) without a ``NAME.npy`` gets one: (SIZE,
SIZE, 4) float16, linear light weighted by its coverage, and the coverage. Files are written atomically, so an
interrupted run continues where it stopped. Prints ``rendered NAME`` after each.
"""

import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy as _bpy
import numpy as np
from mathutils import Matrix, Vector

bpy: Any = _bpy  # its type stubs lack most of the nodes
PARTS = ("vertices", "normals", "triangles", "uv", "texture", "material")
# Inputs of the principled shader; lengths in cm. Skin scatters red light farthest (Jensen et al., 2001).
LOOKS = {
    "SKIN": {
        **{"Roughness": 0.5, "Specular IOR Level": 0.36, "Subsurface Weight": 0.85},
        **{"Subsurface Radius": (1.0, 0.37, 0.2), "Subsurface Scale": 0.14},
    },
    "EYE": {"Roughness": 0.3, "Coat Weight": 1.0, "Coat Roughness": 0.02, "Coat IOR": 1.38},
    "TEETH": {"Roughness": 0.2, "Subsurface Weight": 0.4, "Subsurface Scale": 0.08},
    "GUMS": {"Roughness": 0.28, "Subsurface Weight": 0.5, "Subsurface Scale": 0.1},
    "LASH": {"Roughness": 0.6, "Specular IOR Level": 0.2},
    "HAIR": {"Roughness": 0.38, "Specular IOR Level": 0.35, "Anisotropic": 0.6},
    "CLOTH": {"Roughness": 0.85, "Sheen Weight": 0.08, "Specular IOR Level": 0.2},
    "METAL": {"Roughness": 0.25, "Metallic": 1.0},
    "GLASS": {"Roughness": 0.02, "Specular IOR Level": 1.0},
}
PORES = (280.0, 0.12, 0.03)  # noise of the skin: scale, strength, height in cm
KEY_ANGLE = 0.12  # angular diameter of the key light, radians
# Our latitude-longitude maps have −z in the middle and +x to the right of it, Blender's +x and −y; up is y and z.
TO_BLENDER = Matrix(((0, 0, -1), (-1, 0, 0), (0, 1, 0)))


def main(folder: Path, size: int, samples: int, threads: int) -> None:
    for path in sorted(folder.glob("*.npz")):
        target = path.with_suffix(".npy")
        if target.exists():
            continue
        with np.load(path, allow_pickle=False) as data:
            scene = build(data, size, samples, threads)
        light = render(scene, folder / f".{path.stem}.exr")
        temporary = target.with_name(f".{target.name}.tmp")
        with open(temporary, "wb") as file:
            np.save(file, light.astype(np.float16))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        print("rendered", path.stem, flush=True)


def build(data: Any, size: int, samples: int, threads: int) -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    count = sum(name.startswith("texture") for name in data.files)
    images = [image(f"texture{k}", data[f"texture{k}"] / np.float32(255)) for k in range(count)]
    looks = {}
    for k, name in enumerate(data["meshes"]):
        part = {key: data[f"mesh{k}_{key}"] for key in PARTS}
        part = SimpleNamespace(name=str(name), layer=int(data[f"mesh{k}_layer"]), **part)
        scene.collection.objects.link(solid(part, data["materials"], images, looks))
    scene.camera = camera(scene, float(data["focal"]))
    scene.world = surroundings(data["mirror"], data["mirror_turn"])
    if data["key_colour"].max() > 0:
        scene.collection.objects.link(key_light(data["key_direction"], data["key_colour"]))
    settings(scene, size, samples, threads)
    return scene


def image(name: str, rgba: np.ndarray, is_display: bool = True) -> Any:
    """(h, w, 4) in 0…1, row 0 on top; display-referred colours or linear light."""
    height, width = rgba.shape[:2]
    made = bpy.data.images.new(name, width, height, alpha=True, float_buffer=not is_display)
    made.colorspace_settings.name = "sRGB" if is_display else "Non-Color"
    made.alpha_mode = "STRAIGHT" if is_display else "NONE"
    made.pixels.foreach_set(np.ascontiguousarray(rgba[::-1], np.float32).ravel())
    made.pack()
    return made


def solid(part: SimpleNamespace, names: np.ndarray, images: list, looks: dict) -> Any:
    part = wound_outwards(part)
    mesh = bpy.data.meshes.new(part.name)
    mesh.from_pydata([], [], [])
    count = len(part.triangles)
    mesh.vertices.add(len(part.vertices))
    mesh.vertices.foreach_set("co", part.vertices.ravel())
    mesh.loops.add(3 * count)
    mesh.loops.foreach_set("vertex_index", part.triangles.ravel())
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(count, dtype=np.int32) * 3)
    uv = part.uv.copy()
    uv[..., 1] = 1 - uv[..., 1]  # our v runs down
    mesh.uv_layers.new(name="uv").data.foreach_set("uv", uv.ravel())
    kinds, slots = np.unique(np.column_stack([part.material, part.texture]), axis=0, return_inverse=True)
    for material, texture in kinds:
        key = (int(material), int(texture), part.layer > 0)
        if key not in looks:
            looks[key] = look(str(names[material]), images[texture], part.layer > 0)
        mesh.materials.append(looks[key])
    mesh.polygons.foreach_set("material_index", slots.reshape(-1).astype(np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(count, bool))
    mesh.update()
    mesh.normals_split_custom_set_from_vertices(part.normals.tolist())
    return bpy.data.objects.new(part.name, mesh)


def wound_outwards(part: SimpleNamespace) -> SimpleNamespace:
    """Flips triangles to agree with their normals: Cycles renders a surface black if they disagree."""
    a, b, c = (part.vertices[part.triangles[:, k]] for k in range(3))
    wrong = (np.cross(b - a, c - a) * part.normals[part.triangles].mean(axis=1)).sum(axis=1) < 0
    triangles, uv = part.triangles.copy(), part.uv.copy()
    triangles[wrong], uv[wrong] = triangles[wrong][:, ::-1], uv[wrong][:, ::-1]
    return SimpleNamespace(**{**vars(part), "triangles": triangles, "uv": uv})


def look(kind: str, texture: Any, is_see_through: bool) -> Any:
    material = bpy.data.materials.new(f"{kind} {texture.name}")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    for name, value in LOOKS[kind].items():
        shader.inputs[name].default_value = value
    painted = nodes.new("ShaderNodeTexImage")
    painted.image, painted.extension = texture, "REPEAT"
    links.new(painted.outputs["Color"], shader.inputs["Base Color"])
    if is_see_through:
        links.new(painted.outputs["Alpha"], shader.inputs["Alpha"])
    if kind == "SKIN":
        scale, strength, height = PORES  # the whole skin spans 0…1
        noise, place, bump = (nodes.new(f"ShaderNode{name}") for name in ("TexNoise", "TexCoord", "Bump"))
        noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = scale, 4
        bump.inputs["Strength"].default_value, bump.inputs["Distance"].default_value = strength, height
        links.new(place.outputs["UV"], noise.inputs["Vector"])
        links.new(noise.outputs[0], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    return material


def camera(scene: Any, focal: float) -> Any:
    """At the origin looking down −z, y up, as a new camera in Blender."""
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width, data.lens = "HORIZONTAL", 36, 36 * focal
    data.clip_start, data.clip_end = 1, 10_000
    made = bpy.data.objects.new("camera", data)
    scene.collection.objects.link(made)
    return made


def surroundings(mirror: np.ndarray, turn: np.ndarray) -> Any:
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    rgba = np.concatenate([mirror, np.ones_like(mirror[..., :1])], axis=2)
    panorama = nodes.new("ShaderNodeTexEnvironment")
    panorama.image = image("mirror", rgba, is_display=False)
    place, mapping = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    mapping.vector_type = "POINT"
    mapping.inputs["Rotation"].default_value = (TO_BLENDER @ Matrix(turn.tolist())).to_euler("XYZ")
    links.new(place.outputs["Generated"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], panorama.inputs["Vector"])
    links.new(panorama.outputs["Color"], nodes["Background"].inputs["Color"])
    return world


def key_light(direction: np.ndarray, colour: np.ndarray) -> Any:
    data = bpy.data.lights.new("key", "SUN")
    strongest = float(colour.max())
    data.color = [float(c) / strongest for c in colour]
    data.energy = math.pi * strongest  # a white matt surface that faces it shows ``colour``
    data.angle = KEY_ANGLE
    made = bpy.data.objects.new("key", data)
    made.rotation_mode = "QUATERNION"
    made.rotation_quaternion = Vector(direction.tolist()).to_track_quat("Z", "Y")
    return made


def settings(scene: Any, size: int, samples: int, threads: int) -> None:
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    scene.render.threads_mode, scene.render.threads = ("FIXED", threads) if threads else ("AUTO", 1)
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_mode, scene.render.image_settings.color_depth = "RGBA", "32"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, 0
    cycles.use_adaptive_sampling, cycles.use_denoising = False, True
    cycles.pixel_filter_type = "BOX"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 2, 2
    cycles.transparent_max_bounces = 32
    cycles.caustics_reflective = cycles.caustics_refractive = False


def render(scene: Any, exr: Path) -> np.ndarray:
    """(S, S, 4) float32, row 0 on top."""
    scene.render.filepath = str(exr)
    bpy.ops.render.render(write_still=True)
    try:
        picture = bpy.data.images.load(str(exr))
        pixels = np.empty(len(picture.pixels), np.float32)
        picture.pixels.foreach_get(pixels)
        width, height = picture.size
        return np.clip(pixels.reshape(height, width, 4)[::-1], 0, 60_000)
    finally:
        exr.unlink(missing_ok=True)


if __name__ == "__main__":
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    main(Path(arguments[0]), *map(int, arguments[1:4]))
