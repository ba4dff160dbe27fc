"""A scene as one npz file of plain arrays, for a renderer in another Python.

``meshes`` names; of the k-th, ``mesh{k}_vertices`` (N, 3), ``_normals`` (N, 3), ``_triangles`` (T, 3), ``_uv``
(T, 3, 2), ``_texture`` (T,), ``_material`` (T,) index into ``materials``, ``_layer`` (); of the k-th texture,
``texture{k}`` (h, w, 4) uint8; ``mirror`` (h, w, 3) and ``mirror_turn`` (3, 3), ``key_direction`` and ``key_colour``
(3,), ``focal`` (). All as in :mod:`engine.training.studio.stage.scene`.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from engine.media.image import write_atomic
from engine.training.studio.stage.scene import Material, Scene


def save(scene: Scene, path: Path) -> None:
    """Write atomically; raises EngineError ``disk_full`` or ``not_writable``."""
    arrays: dict[str, np.ndarray] = {
        "meshes": np.array([mesh.name for mesh in scene.meshes]),
        "materials": np.array([material.name for material in Material]),
        "mirror": scene.light.mirror.astype(np.float32),
        "mirror_turn": scene.light.mirror_turn.astype(np.float64),
        "key_direction": scene.light.key_direction.astype(np.float64),
        "key_colour": scene.light.key_colour.astype(np.float64),
        "focal": np.array(scene.focal),
    }
    for k, mesh in enumerate(scene.meshes):
        arrays[f"mesh{k}_vertices"] = mesh.vertices.astype(np.float32)
        arrays[f"mesh{k}_normals"] = mesh.normals.astype(np.float32)
        arrays[f"mesh{k}_triangles"] = mesh.triangles.astype(np.int32)
        arrays[f"mesh{k}_uv"] = mesh.uv.astype(np.float32)
        arrays[f"mesh{k}_texture"] = mesh.texture.astype(np.int32)
        arrays[f"mesh{k}_material"] = mesh.material.astype(np.int32)
        arrays[f"mesh{k}_layer"] = np.array(mesh.layer)
    for k, texture in enumerate(scene.textures):
        arrays[f"texture{k}"] = texture.rgba
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write_atomic(path, buffer.getvalue())
