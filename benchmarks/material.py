"""The measured clip: a moving face, at the size and length that a measurement needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from engine.media.image import encode_png, read_image, write_atomic
from engine.media.source import FrameSource, open_source
from engine.protocol import Driving

_LOOP = 100  # frames of the clip that are used, since all are held in memory


@dataclass(frozen=True)
class Material:
    """A clip of ``frames`` frames and a portrait of the same size."""

    clip: Path
    portrait: Path
    size: tuple[int, int]
    frames: int

    def source(self) -> FrameSource:
        return open_source(Driving("movie", str(self.clip)), Fraction(25))


def make(clip: Path, portrait: Path | None, size: tuple[int, int], frames: int, folder: Path) -> Material:
    """H.264 in ``folder``, playing ``clip`` back and forth; the portrait is the clip's first frame if none is given."""
    name = f"{size[0]}x{size[1]}_{frames}"
    material = Material(folder / f"{name}.mp4", folder / f"{name}.png", size, frames)
    source = open_source(Driving("movie", str(clip)), Fraction(25))
    pictures = [_fit(rgb, size) for _, rgb in source.frames(0, min(source.count, frames, _LOOP))]
    _encode(material.clip, back_and_forth(pictures, frames), source.fps, size)
    still = pictures[0] if portrait is None else _fit(read_image(portrait), size)
    write_atomic(material.portrait, encode_png(still))
    return material


def back_and_forth(pictures: list[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """``count`` pictures without a jump: 0 1 2 3 2 1 0 1 …"""
    last = max(len(pictures) - 1, 1)
    for index in range(count):
        phase = index % (2 * last)
        yield pictures[min(phase, 2 * last - phase, len(pictures) - 1)]


def _fit(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The whole picture as large as fits, padded with its border pixels."""
    width, height = size
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    w, h = min(round(rgb.shape[1] * scale), width), min(round(rgb.shape[0] * scale), height)
    picture = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (width - w) // 2, (height - h) // 2
    return cv2.copyMakeBorder(picture, top, height - h - top, left, width - w - left, cv2.BORDER_REPLICATE)


def _encode(path: Path, pictures: Iterator[np.ndarray], fps: Fraction, size: tuple[int, int]) -> None:
    with av.open(str(path), "w") as movie:
        stream: Any = movie.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"crf": "16", "preset": "veryfast"}
        for picture in pictures:
            movie.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        movie.mux(stream.encode())
