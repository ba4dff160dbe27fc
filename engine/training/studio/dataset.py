"""The studio as a source of pairs: sitter, acting and stage follow from seed, split and number."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from engine.errors import EngineError
from engine.training.sample import Frame, Pair, Samples
from engine.training.studio.assembly import build
from engine.training.studio.library.items import Split
from engine.training.studio.library.library import load
from engine.training.studio.people.acting import Moment, Take, blink, rotation
from engine.training.studio.people.sitter import Sitter, sample_sitter
from engine.training.studio.randomness import draws
from engine.training.studio.renderer import labels
from engine.training.studio.renderer.lens import photograph
from engine.training.studio.renderer.render import FULL, TRAINING, Picture, Profile, render
from engine.training.studio.stage.scene import Scene
from engine.training.studio.stage.stage import Stage, sample_stage

VERSION = 5  # raised whenever the same seed gives other pictures
PROFILES = {"training": TRAINING, "full": FULL}
POOL = 8  # people per pool, who take turns, so that a batch mixes people
_SECONDS = 6.0  # of acting from which the moments of a pair are drawn
_BUST = 50.0  # cm from the middle of the head down to the lower end of the bust, which pictures must not show
_SAME = 0.15  # share of pairs whose driving frame is the source itself
_TURNED_AWAY = np.radians(125.0)  # yaw beyond which no face is seen


@dataclass(frozen=True)
class Options:
    """What recipes may ask for: ``cross`` adds the driving motion on another identity, ``negatives`` is the share of
    pairs without a face, ``loose`` the share that is framed carelessly (small, large, off the centre), as a detector
    meets faces; ``profile`` is one of PROFILES; ``sittings`` is for how many pairs a person stays, since painting one
    takes longer than taking a picture; ``apart`` takes the driving frame elsewhere, in other light, so that people
    can be told by themselves; ``sources`` is the number of source frames, all on one stage; ``blinks`` is the share of
    pairs, beside those in which it comes about, whose driving frame is in the middle of a blink."""

    cross: bool = False
    negatives: float = 0.0
    loose: float = 0.0
    profile: str = "training"
    sittings: int = 8
    apart: bool = False
    blinks: float = 0.0
    sources: int = 1

    def __post_init__(self) -> None:
        for name in ("sittings", "sources"):
            if (count := getattr(self, name)) < 1:
                raise EngineError("arguments", f"A person cannot give {count} {name}.", "Ask for 1 or more.")


class StudioSamples(Samples):
    """Pairs rendered on the fly. The split ``held-out`` has skins, hair, environments and a source of heads that
    ``train`` never shows. Raises EngineError for ``assets`` that are missing or cannot be used."""

    def __init__(
        self, assets: Path | None = None, seed: int = 7, split: str = "train", options: Options | None = None
    ) -> None:
        self._library, self._seed, self._split = load(assets), seed, Split(split)
        self._options = options or Options()
        self._profile: Profile = PROFILES[self._options.profile]
        self._sitter = functools.lru_cache(maxsize=2 * POOL)(self.paint)

    def pair(self, number: int, size: int) -> Pair:
        if self._draws("negative", number).random() < self._options.negatives:
            return Pair(self._nobody(number, 0, size), self._nobody(number, 1, size))
        source, driving = (self._drawn(scene, size) for scene in self.scenes(number))
        cross = self._cross(number, size) if self._options.cross else ()
        others = tuple(labels.frame(picture, self.person(number)) for picture in self._further(number, size))
        return replace(labelled(source, driving, self.person(number), *cross), others=others)

    def _further(self, number: int, size: int) -> Iterator[Picture]:
        """Pictures of the source's sitter at other moments, beside the first."""
        draw, (stage, _, here, _) = self._draws("sources", number), self._take(number)
        for _ in range(self._options.sources - 1):
            moment = two_moments(draw)[0]
            scene = build(self._sitter(self.person(number)), moment, _next_exposure(stage, draw), here)
            yield self._drawn(scene, size)

    def scenes(self, number: int) -> tuple[Scene, Scene]:
        """(source, driving) of a pair, for this renderer or another; one and the same scene in some pairs."""
        stage, later, here, there = self._take(number)
        sitter = self._sitter(self.person(number))
        source = build(sitter, here, stage, here)
        same = there is here and not self._options.apart
        return source, source if same else build(sitter, there, later, here)

    def person(self, number: int) -> int:
        """The number of a pair's sitter: the people of a pool take turns, then the whole pool changes."""
        return number // (POOL * self._options.sittings) * POOL + number % POOL

    def paint(self, person: int) -> Sitter:
        """The sitter of that number, without a cache."""
        return sample_sitter(self._library, self._split, self._seed, person)

    @property
    def sittings(self) -> int:
        """The number of pairs per person."""
        return self._options.sittings

    def describe(self) -> dict[str, object]:
        return {
            "kind": "studio",
            "version": VERSION,
            "library": self._library.digest,
            "seed": self._seed,
            "split": self._split.value,
            **{name: value for name, value in vars(self._options).items() if name != "sources" or value > 1},
        }

    def _cross(self, number: int, size: int) -> tuple[Frame, Frame]:
        """(a portrait of another person, the pair's driving motion on that person), on another stage."""
        motion = self._take(number)[3]
        draw = self._draws("cross", number)
        pool = number // (POOL * self._options.sittings) * POOL
        person = pool + (self.person(number) - pool + 1 + int(draw.integers(POOL - 1))) % POOL
        sitter, stage, still = self._sitter(person), self._stage(draw), two_moments(draw)[0]
        scenes = build(sitter, still, stage, still), build(sitter, motion, _next_exposure(stage, draw), still)
        portrait, moved = (labels.frame(self._drawn(scene, size), person) for scene in scenes)
        return portrait, moved

    def _take(self, number: int) -> tuple[Stage, Stage, Moment, Moment]:
        """The stage of the source and of the driving frame, and the moments of acting in them."""
        draw = self._draws("pair", number)
        stage, (here, there) = self._stage(draw), two_moments(draw)
        later = self._stage(draw) if self._options.apart else _next_exposure(stage, draw)
        there = here if draw.random() < _SAME else there
        draw = self._draws("blink", number)
        return stage, later, here, blink(there, draw) if draw.random() < self._options.blinks else there

    def _drawn(self, scene: Scene, size: int) -> Picture:
        return render(scene, size, self._profile)

    def _stage(self, draw: np.random.Generator) -> Stage:
        stage = sample_stage(self._library.choices(self._split).environments, draw)
        if draw.random() >= self._options.loose:
            return stage
        width = float(stage.distance / stage.focal * np.exp(draw.uniform(np.log(0.75), np.log(1.9))))
        shift = draw.uniform(-0.3, 0.3, 2) * width
        shift[1] = min(shift[1], _BUST - width / 2)
        return replace(stage, focal=stage.distance / width, shift=shift)

    def _nobody(self, number: int, which: int, size: int) -> Frame:
        """A picture without a face: an empty stage, hair and clothes without a head, the back of a head, or a piece of
        skin or cloth."""
        draw = self._draws("nobody", number, which)
        stage, moment = self._stage(draw), two_moments(draw)[0]
        sitter = self._sitter(self.person(number))
        kind = draw.choice(("stage", "worn", "away", "piece"), p=(0.15, 0.2, 0.35, 0.3))
        if kind == "piece":
            return Frame(_piece(sitter, draw, size), -1, face=False)
        if kind == "away":
            away = rotation(draw.uniform(_TURNED_AWAY, 2 * np.pi - _TURNED_AWAY), 0.0, draw.uniform(-0.3, 0.3))
            moment = replace(moment, rotation=away, body_rotation=away)
        scene = build(sitter, moment, stage)
        if kind != "away":
            worn = [mesh for mesh in scene.meshes if mesh.name not in ("head", "lashes")]
            scene = replace(scene, meshes=tuple(worn) if kind == "worn" else ())
        if not scene.meshes:
            nothing = np.zeros((size, size, 3), np.float32)
            return Frame(photograph(scene, nothing, nothing[..., 0]), -1, face=False)
        return Frame(self._drawn(scene, size).image, -1, face=False)

    def _draws(self, *name: str | int) -> np.random.Generator:
        return draws(self._seed, "studio", self._split.value, *name)


def labelled(
    source: Picture, driving: Picture, person: int, cross_source: Frame | None = None, cross: Frame | None = None
) -> Pair:
    """Two pictures of one person with all labels."""
    flow, visible = labels.flow(driving, source)
    return Pair(labels.frame(source, person), labels.frame(driving, person), flow, visible, cross_source, cross)


def two_moments(draw: np.random.Generator) -> tuple[Moment, Moment]:
    """Of one take, or with equal probability of two takes."""
    if draw.random() < 0.5:
        first, second = Take(draw, _SECONDS).at(np.sort(draw.uniform(0, _SECONDS, 2)))
        return (first, second) if draw.random() < 0.5 else (second, first)
    return Take(draw, 0.0).at(np.zeros(1))[0], Take(draw, 0.0).at(np.zeros(1))[0]


def _next_exposure(stage: Stage, draw: np.random.Generator) -> Stage:
    """The same camera with new noise."""
    return replace(stage, lens=replace(stage.lens, seed=int(draw.integers(1 << 31))))


def _piece(sitter: Sitter, draw: np.random.Generator, size: int) -> np.ndarray:
    """A piece of one of the sitter's textures, (size, size, 3)."""
    rgb = sitter.textures[draw.integers(len(sitter.textures))].rgba[..., :3]
    side = int(min(rgb.shape[:2]) * draw.uniform(0.1, 0.4)) + 1
    row, column = (int(draw.integers(n - side + 1)) for n in rgb.shape[:2])
    return cv2.resize(rgb[row : row + side, column : column + side], (size, size), interpolation=cv2.INTER_CUBIC)
