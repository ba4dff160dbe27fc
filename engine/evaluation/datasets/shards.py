"""Pairs in a folder of shards, as ``train realism`` and ``train shards`` write them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from engine.errors import EngineError
from engine.evaluation.datasets.motion import NEEDED, labelled
from engine.training.sample import Frame, Pair, Samples
from engine.training.shard_writer import CROSS
from engine.training.shards import ShardSamples, read_index


class ShardPairs(Samples):
    """The first ``count`` pairs of a folder that show a face in two different frames, at most at their stored size.

    ``cross`` says whether the records show the motion on other people too. Labels of the studio are exact and must all
    be there. Labels of footage were measured, so they are dropped.
    """

    def __init__(self, folder: Path, count: int) -> None:
        """Raises EngineError ``no_labels``, ``no_shots``, or as :class:`ShardSamples` does."""
        self._folder, self._samples = folder, ShardSamples(folder)
        plan, _ = read_index(folder)
        self.size, self.cross = plan.layout.size, set(CROSS) <= set(plan.layout.frames)
        self._measured = plan.source.get("kind") == "footage"
        self._numbers = list(itertools.islice(filter(self._usable, range(len(self._samples))), count))
        if not self._numbers:
            raise EngineError("no_shots", f"{folder} holds no pair of two different frames of a face.", "Add pairs.")

    def __len__(self) -> int:
        return len(self._numbers)

    def pair(self, number: int, size: int) -> Pair:
        pair = self._samples.pair(self._numbers[number], size)
        if not self._measured:
            return pair
        source, driving = (Frame(frame.image, frame.person) for frame in (pair.source, pair.driving))
        return Pair(source, driving)

    def describe(self) -> dict[str, object]:
        return {**self._samples.describe(), "pairs": "of two different frames of a face"}

    def _usable(self, number: int) -> bool:
        pair = self._samples.pair(number, self.size)
        frames = [pair.source, pair.driving, *(frame for frame in (pair.cross_source, pair.cross) if frame is not None)]
        if not all(frame.face for frame in frames) or np.array_equal(pair.source.image, pair.driving.image):
            return False
        if not self._measured:
            for frame in frames:
                self._check(number, frame)
        return True

    def _check(self, number: int, frame: Frame) -> None:
        missing = [name for name in NEEDED if name not in frame.known()]
        if missing or not labelled(frame):
            what = f"lacks {', '.join(missing)}" if missing else "has expressions of another face model"
            raise EngineError(
                "no_labels", f"Pair {number} of {self._folder} {what}.", "Make the shards with their usual fields."
            )
