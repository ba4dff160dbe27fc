"""Driving footage: opening it, and image sequences. Movies are in engine/media/movie.py."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from engine.errors import EngineError
from engine.media.frame_source import FrameSource, Player, Remark
from engine.media.image import read_image
from engine.protocol import Driving

__all__ = ["FrameSource", "Player", "Remark", "open_source"]


def open_source(driving: Driving, fps: Fraction) -> FrameSource:
    """The footage of a job; ``fps`` is the rate of image sequences, which state none of their own.

    Raises EngineError ``missing_file``, ``not_a_movie``, ``truncated_movie``, ``missing_frame`` or ``not_an_image``.
    """
    path = Path(driving.path)
    if driving.kind == "sequence":
        return SequenceSource(path, driving.files, fps)
    if driving.kind == "movie":
        from engine.media.movie import MovieSource

        return MovieSource(path)
    raise EngineError(
        "no_footage", f"The driving is of kind {driving.kind!r}, which has no frames.", "Choose a movie or a sequence."
    )


class SequenceSource(FrameSource):
    """Numbered images of one size in one folder; ``files`` gives their order, whatever their names."""

    def __init__(self, folder: Path, files: Sequence[str], fps: Fraction) -> None:
        if not files:
            raise EngineError("missing_file", f"The sequence {folder} has no images.", "Choose a folder with images.")
        self.path = folder
        self.fps = fps
        self._files = [folder / name for name in files]
        height, width = self._read(0).shape[:2]
        self.size = (width, height)

    @property
    def count(self) -> int:
        return len(self._files)

    def files(self, indices: Sequence[int]) -> list[Path]:
        self.check(indices)
        return [self._file(index) for index in sorted(set(indices))]

    def frames(self, start: int, stop: int) -> Generator[tuple[int, np.ndarray], None, None]:
        self.check(range(start, stop))
        for index in range(start, stop):
            rgb = self._read(index)
            if rgb.shape[1::-1] != self.size:
                width, height = self.size
                raise EngineError(
                    "not_an_image",
                    f"{self._files[index]} is {rgb.shape[1]}×{rgb.shape[0]} pixels, the first image {width}×{height}.",
                    "All images of a sequence must have one size.",
                )
            yield index, rgb

    def _read(self, index: int) -> np.ndarray:
        return read_image(self._file(index))

    def _file(self, index: int) -> Path:
        path = self._files[index]
        if not path.is_file():
            raise EngineError(
                "missing_frame",
                f"Source frame {index}, the file {path}, is missing.",
                "Put the file back, or leave that frame out of the range.",
            )
        return path
