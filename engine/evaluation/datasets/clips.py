"""Real clips: every movie, and every folder of images, in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from engine import protocol
from engine.cli.footage import driving_from, source_frames
from engine.errors import EngineError
from engine.evaluation.datasets.base import Dataset, Shot
from engine.evaluation.picture import Picture, ShotFrame
from engine.media.image import IMAGE_SUFFIXES, encode_png, read_image, write_atomic
from engine.media.source import open_source
from engine.tracking.detector import Detector

MOVIES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"})
_RATE = Fraction(25)  # of image sequences, which state none


class Clips(Dataset):
    """``self``: a clip's first frame is the portrait, all others are drawn, motion relative to it. ``cross``: every
    clip drives the first frame of the next in the order of names, the last that of the first; or, with ``portraits``,
    a folder of images, ``drivers`` clips drive each of them, in turn.

    ``frames`` selects the driver's frames, like ``0-99x5``; numbers beyond a clip's end are ignored.
    """

    exact, takes = False, True

    def __init__(
        self,
        folder: Path,
        direction: str,
        frames: str | None = None,
        motion: str | None = None,
        portraits: Path | None = None,
        drivers: int = 2,
    ) -> None:
        """``motion``: of ``cross``, None for the default of a take. Raises EngineError ``no_footage``."""
        self.name, self.direction, self.truth = folder.name, direction, direction == "self"
        self._frames, self._motion = frames, motion or "mixed"
        self._paths = clips_in(folder)
        self._portraits = None if portraits is None or self.truth else images_in(portraits)
        self._drivers = min(drivers, len(self._paths))
        self._faceless: list[str] = []
        if len(self._paths) < (2 if self._portraits is None and not self.truth else 1):
            raise EngineError(
                "no_footage",
                f"{folder} holds {len(self._paths)} clips.",
                "Give a folder of movies, or of folders of images; `cross` without portraits needs two.",
            )

    def remarks(self) -> list[str]:
        motion = (
            "Motion relative to the portrait, the clip's first frame." if self.truth else f"Motion: {self._motion}."
        )
        if not self._faceless:
            return [motion]
        left_out = ", ".join(self._faceless)
        return [motion, f"Left out, because the detector that drives finds no face in the portrait: {left_out}."]

    def shots(self, folder: Path, detector: Detector) -> Iterator[Shot]:
        looked_at: Path | None = None
        for portrait, identity, path in self._matches(folder):
            if self._portraits is not None and portrait != looked_at:
                looked_at = portrait
                if detector.detect_still(read_image(portrait)) is None:
                    self._faceless.append(identity)
            if identity not in self._faceless:
                yield self._shot(portrait, identity, path)

    def _matches(self, folder: Path) -> Iterator[tuple[Path, str, Path]]:
        """(portrait, person, the clip that drives it), those of one portrait together."""
        for number, path in enumerate(self._paths if self._portraits is None else self._portraits):
            identity = protocol.clean_shot(path.stem)
            if self._portraits is not None:
                for k in range(self._drivers):
                    yield path, identity, self._paths[(number * self._drivers + k) % len(self._paths)]
                continue
            portrait = folder / f"{identity}_first.png"
            if not portrait.exists():
                first = open_source(driving_from(path), _RATE)
                write_atomic(portrait, encode_png(next(rgb for _, rgb in first.frames(0, 1))))
            yield portrait, identity, path if self.truth else self._paths[number - 1]

    def _shot(self, portrait: Path, identity: str, path: Path) -> Shot:
        driving, name = driving_from(path), protocol.clean_shot(path.stem)
        label = name if self.truth else f"{identity}_by_{name}"
        source = open_source(driving, _RATE)
        frames = [i for i in source_frames(self._frames, source.count) if i < source.count]
        if self.truth:
            frames = [i for i in frames if i > 0]  # the first is the portrait itself
        if not frames:
            raise EngineError("frames", f"{path} has none of the frames asked for.", "Ask for other frames.")

        def load() -> Iterator[ShotFrame]:
            still, wanted = Picture(read_image(portrait)), set(frames)
            for index, rgb in source.frames(min(wanted), max(wanted) + 1):
                if index in wanted:
                    picture = Picture(rgb)
                    yield ShotFrame(label, identity, index, still, picture, picture if self.truth else None)

        return Shot(
            label=label,
            portrait=portrait,
            driving=driving,
            true_driving=None,
            frames=tuple(frames),
            motion="relative" if self.truth else self._motion,
            neutral=0 if self.truth else None,
            load=load,
        )


def images_in(folder: Path) -> list[Path]:
    """The images of a folder by name; raises EngineError ``no_footage`` where there are none."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not found:
        raise EngineError("no_footage", f"{folder} holds no portraits.", "Give a folder of images, one face in each.")
    return found


def clips_in(folder: Path) -> list[Path]:
    """The movies, and the folders of images, in a folder, by name; raises EngineError ``no_footage``."""
    if not folder.is_dir():
        raise EngineError("no_footage", f"{folder} is not a folder.", "Give a folder of clips.")

    def holds_images(path: Path) -> bool:
        return path.is_dir() and any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in path.iterdir())

    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return [path for path in visible if path.suffix.lower() in MOVIES or holds_images(path)]
