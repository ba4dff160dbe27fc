"""What Blender itself shows: renders the timeline and reads the index that make_media.py wrote into each frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

SIZE = (160, 120)  # of the footage, and so of the scene


def shown_indices(scene, folder: Path, frames: range) -> list[int | None]:
    """The index seen on each of ``frames``; None where the picture carries none."""
    render = scene.render
    render.use_sequencer = True
    render.dither_intensity = 0
    scene.view_settings.view_transform = "Standard"
    if hasattr(render.image_settings, "media_type"):  # 5.0 on
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    folder.mkdir(parents=True, exist_ok=True)
    render.filepath = str(folder / "shown_####")
    scene.frame_start, scene.frame_end = frames[0], frames[-1]
    bpy.ops.render.render(animation=True, scene=scene.name)
    return [read_index(read_pixels(folder / f"shown_{frame:04d}.png")) for frame in frames]


def read_pixels(path: Path) -> np.ndarray:
    """(H, W, 3) float, display-referred, top row first."""
    image: Any = bpy.data.images.load(str(path))
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, -1)[::-1, :, :3]


def read_index(pixels: np.ndarray) -> int | None:
    blocks = [float(pixels[20, bit * 20 + 10].mean()) for bit in range(8)]
    if any(0.2 < block < 0.7 for block in blocks) or not 0.15 < pixels[40, 80].mean() < 0.35:
        return None
    return sum((block > 0.5) << bit for bit, block in enumerate(blocks))
