"""Scores one take: every picture is looked at on its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from engine.errors import EngineError
from engine.evaluation import signals
from engine.evaluation.metrics import Metric, Sample, all_metrics
from engine.evaluation.pictures import encoded_again
from engine.evaluation.report import Figures, Scored
from engine.media.image import read_image
from engine.media.source import FrameSource
from engine.protocol import Driving
from engine.tracking.detector import Detector


@dataclass(frozen=True)
class DrivingClip:
    """Footage and the source frames of it that are rendered; ``seen`` keeps what the judge found in them."""

    label: str
    driving: Driving
    source: FrameSource
    frames: tuple[int, ...]
    seen: dict[int, np.ndarray | None] = field(default_factory=dict)

    def pictures(self, step: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """(source frame, rgb) of every ``step``-th of ``frames``, in order."""
        wanted = set(self.frames[::step])
        for index, rgb in self.source.frames(min(wanted), max(wanted) + 1):
            if index in wanted:
                yield index, rgb


class Judge:
    """``step`` thins the frames that are scored; ``detector`` must have dense points."""

    def __init__(self, detector: Detector, step: int = 1) -> None:
        self._detector = detector
        self._step = step

    def score(self, clip: DrivingClip, outputs: dict[int, Path], portrait: np.ndarray, truth: bool) -> Scored:
        """``outputs`` has the rendered file of each source frame; ``truth``: the driver shows what the take should be,
        so that there is a ceiling."""
        take, copy, again = (self._metrics(clip, truth) for _ in range(3))
        portrait_points, count = self.points(portrait), 0
        for index, driving in clip.pictures(self._step):
            driving_points = self.driving_points(clip, index, driving)
            output = read_image(outputs[index])
            drawn = Sample(index, output, driving, self.points(output), driving_points)
            still = Sample(index, portrait, driving, portrait_points, driving_points)
            pairs = [(take, drawn), (copy, still)]
            if truth:
                best = encoded_again(driving)
                pairs.append((again, Sample(index, best, driving, self.points(best), driving_points)))
            for metrics, sample in pairs:
                for metric in metrics:
                    metric.update(sample)
            count += 1
        return Scored(count, _values(take), _values(copy), _values(again) if truth else None)

    def cross_check(self, clip: DrivingClip, path: Path) -> dict[str, float | int]:
        """How far our points of the driver are from landmarks stored in ``path`` (npz: lm (N, 468+, 3), valid (N,)).

        Mean absolute difference of x and y in percent of the face diagonal, and of the pose in degrees. Raises
        EngineError ``landmark_file``.
        """
        points, valid = _read_landmarks(path)
        offsets, turns = [], []
        for index, rgb in clip.pictures(self._step):
            ours = self.driving_points(clip, index, rgb)
            if ours is None or index >= len(points) or not valid[index]:
                continue
            theirs = points[index]
            flat = np.abs(ours[: signals.POINTS, :2] - theirs[: signals.POINTS, :2])
            offsets.append(flat.mean() / signals.diagonal(theirs) * 100)
            turns.append(np.abs(signals.pose(ours) - signals.pose(theirs)).mean())
        if not offsets:
            raise EngineError("landmark_file", f"{path} has no frame in common with {clip.label}.", "Check the file.")
        return {
            "frames": len(offsets),
            "points_percent": float(np.mean(offsets)),
            "pose_degrees": float(np.mean(turns)),
        }

    def points(self, rgb: np.ndarray) -> np.ndarray | None:
        """(468, 3) pixels of the face in a picture, None without one; raises EngineError ``landmarker``."""
        seen = self._detector.detect(rgb)
        if seen is not None and seen.dense is None:
            raise EngineError(
                "landmarker",
                f"The landmarker {self._detector.name} has no dense points, on which these figures rest.",
                "Choose another, or use `evaluate compare`.",
            )
        return None if seen is None else seen.dense

    def driving_points(self, clip: DrivingClip, index: int, rgb: np.ndarray) -> np.ndarray | None:
        if index not in clip.seen:  # one clip may drive several portraits
            clip.seen[index] = self.points(rgb)
        return clip.seen[index]

    def _metrics(self, clip: DrivingClip, truth: bool) -> list[Metric]:
        scored: Sequence[int] = clip.frames[:: self._step]
        gapless = len(scored) > 2 and scored[-1] - scored[0] == len(scored) - 1
        given = ({"truth"} if truth else set()) | ({"every_frame"} if gapless else set())
        return [metric for metric in all_metrics() if metric.needs <= given]


def _values(metrics: list[Metric]) -> Figures:
    return {metric.name: metric.value() for metric in metrics}


def _read_landmarks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            points = stored["lm"].astype(np.float64)
            valid = stored["valid"] if "valid" in stored else np.ones(len(points), bool)
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as fault:
        raise EngineError("landmark_file", f"{path} holds no landmarks ({fault}).", "Give an npz with `lm`.") from fault
    if points.ndim != 3 or points.shape[1] < signals.POINTS or points.shape[2] != 3 or len(valid) != len(points):
        raise EngineError("landmark_file", f"{path}: `lm` has the shape {points.shape}.", "Give (frames, 468, 3).")
    return points, valid
