"""The metrics by which systems are compared, one small class each: fed moment by moment, asked once for their value.

A metric bears a paper's name only where it is that paper's definition with that paper's network; everything else has a
name of its own and says what it stands in for. ``source`` in a definition is the portrait, ``truth`` what the output
should look like; both are seen through the same eyes as the output. Which metrics there are today, and why others are
not: :mod:`engine.evaluation.cabinet`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.evaluation import pixels
from engine.evaluation.features import cosine, equal_error_rate, frechet, layer_distance, split_floor
from engine.evaluation.landmarkers import Fitting, Landmarker
from engine.evaluation.metrics import HIGHER, LOWER
from engine.evaluation.pictures import SIDE, Eye, Moment, Picture, same_size


class Score(ABC):
    """``better`` is LOWER or HIGHER; ``needs_weights``: rests on a network, from ``weights_path`` if a user gave it;
    ``stand_in_for``: the paper's metric that this replaces; ``by_landmarks``: rests on landmarks seen in the output,
    ``flattered`` by the detector that drove it; ``telling``: one of the few that tables of single
    takes and of head angles show."""

    name: str
    unit: str = ""
    better: str = LOWER
    digits: int = 3
    needs_weights: bool = False
    weights_path: Path | None = None
    stand_in_for: str | None = None
    by_landmarks: bool = False
    flattered: bool = False
    telling: bool = False

    @abstractmethod
    def update(self, output: Picture, moment: Moment) -> None:
        """Take one more output into account; the moments of a shot come in order, those of an identity together."""

    @abstractmethod
    def value(self) -> float | None:
        """The figure over all so far, None when nothing could be measured."""

    def count(self) -> int:
        """How many frames have been measured."""
        raise NotImplementedError

    def by_shot(self) -> dict[str, float]:
        """The figure of every shot, where a figure is a mean over shots; empty where it is not."""
        return {}

    def note(self) -> str:
        """What must stand beside the figure; often nothing."""
        return ""


class MeanScore(Score):
    """A figure a frame; averaged over the frames of a shot, then over the shots."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    @abstractmethod
    def measure(self, output: Picture, moment: Moment) -> float | None:
        """The figure of one frame, None where it cannot be had."""

    def update(self, output: Picture, moment: Moment) -> None:
        figure = self.measure(output, moment)
        if figure is not None:
            self._values.setdefault(moment.shot, []).append(figure)

    def by_shot(self) -> dict[str, float]:
        return {shot: float(np.mean(values)) for shot, values in self._values.items()}

    def value(self) -> float | None:
        shots = self.by_shot()
        return float(np.mean(list(shots.values()))) if shots else None

    def count(self) -> int:
        return sum(len(values) for values in self._values.values())


class PixelScore(MeanScore):
    """L1D, PSNR, SSIM or MS-SSIM against the truth, at the truth's size."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        measures: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
            "L1D": pixels.l1,
            "PSNR": pixels.psnr,
            "SSIM": pixels.ssim,
            "MS-SSIM": pixels.ms_ssim,
        }
        self._measure = measures[name]
        self.better, self.telling = LOWER if name == "L1D" else HIGHER, name == "PSNR"
        self.unit, self.digits = ("dB", 2) if name == "PSNR" else ("", 4 if name == "L1D" else 3)

    def measure(self, output: Picture, moment: Moment) -> float | None:
        if moment.truth is None:
            return None
        return self._measure(same_size(output, moment.truth).rgb, moment.truth.rgb)


class PerceptualDistance(MeanScore):
    """LPIPS' formula between output and truth, at the truth's size with the shorter side at most 256 pixels.

    ``layers`` is an eye that gives a picture's layer features; ``heads`` their weights, None for 1.
    """

    needs_weights = telling = True

    def __init__(self, name: str, layers: Eye, heads: list[np.ndarray] | None = None) -> None:
        super().__init__()
        self.name = name
        self.stand_in_for = "LPIPS" if heads is None else None
        self._layers, self._heads = layers, heads

    def measure(self, output: Picture, moment: Moment) -> float | None:
        if moment.truth is None:
            return None
        output = same_size(output, moment.truth)
        return layer_distance(output.seen(self._layers), moment.truth.seen(self._layers), self._heads)


class IdentitySimilarity(MeanScore):
    """Cosine of the embeddings of output and source (CSIM with ArcFace).

    Beside it stands how well the embedding tells people apart on this very set, by sources and truths alone.
    """

    better, needs_weights, by_landmarks = HIGHER, True, True  # landmarks say where the head is

    def __init__(self, name: str, embedding: Eye) -> None:
        super().__init__()
        self.name = name
        self.stand_in_for = None if name == "CSIM" else "CSIM"
        self._embedding = embedding
        self._people: list[tuple[str, np.ndarray, np.ndarray]] = []  # identity, and embeddings of source and truth

    def measure(self, output: Picture, moment: Moment) -> float | None:
        a, b = output.seen(self._embedding), moment.source.seen(self._embedding)
        truth = None if moment.truth is None else moment.truth.seen(self._embedding)
        if b is not None and truth is not None:
            self._people.append((moment.identity, b, truth))
        return None if a is None or b is None else cosine(a, b)

    def note(self) -> str:
        people = [person for person, _, _ in self._people]
        if len(set(people)) < 2:
            return ""
        sources, truths = (np.stack([entry[k] for entry in self._people]) for k in (1, 2))
        likeness = sources @ truths.T / np.outer(np.linalg.norm(sources, axis=1), np.linalg.norm(truths, axis=1))
        one = np.equal.outer(people, people)
        rate = equal_error_rate(likeness[np.eye(len(people), dtype=bool)], likeness[~one])
        return f"{self.name} takes one of {len(set(people))} people for another at an equal error rate of {rate:.1%}"


class IdentityDistance(MeanScore):
    """``aed_id``: squared L2 distance of the identity embeddings of output and truth, as FOMM's code has it;
    ``aed_id_source``: from the source, where there is no truth."""

    needs_weights = by_landmarks = telling = True
    digits = 4

    def __init__(self, name: str, embedding: Eye, truth: bool) -> None:
        """``name``: its ending, which says whose embedding."""
        super().__init__()
        self.name = f"aed_id-{name}" if truth else f"aed_id_source-{name}"
        self.stand_in_for = "AED (identity)"
        self._embedding, self._truth = embedding, truth

    def measure(self, output: Picture, moment: Moment) -> float | None:
        other = moment.truth if self._truth else moment.source
        if other is None:
            return None
        a, b = output.seen(self._embedding), other.seen(self._embedding)
        return None if a is None or b is None else float(((a - b) ** 2).sum())


class FitScore(MeanScore):
    """A distance of the face model fitted to the output's landmarks alone from that fitted to another picture's alone.

    ``shape-id``: Euclidean distance of the identity coefficients from the source's (each ~ N(0, 1)). ``aed_exp``: mean
    absolute difference of the expression weights from the driver's, as PIRender's AED. ``apd``: the same of three
    angles (radians) and three shifts (decimetres) from the truth's, as PIRender's APD; ``apd_turn``: of the angles
    alone, from the driver's, for takes that need not stand where the driver does.
    """

    by_landmarks = True

    def __init__(self, kind: str, fitting: Fitting) -> None:
        """``kind``: the name without its ending, which says whose landmarks the model is fitted to."""
        super().__init__()
        self.name, self.digits = f"{kind}-{fitting.suffix}", 2 if kind == "shape-id" else 4
        self.stand_in_for = {"shape-id": "CSIM", "aed_exp": "AED (expression)"}.get(kind, "APD")
        self._kind, self._fitting = kind, fitting

    def measure(self, output: Picture, moment: Moment) -> float | None:
        other = {"shape-id": moment.source, "apd": moment.truth}.get(self._kind, moment.driver)
        a, b = output.seen(self._fitting), None if other is None else other.seen(self._fitting)
        if a is None or b is None:
            return None
        if self._kind == "shape-id":
            return float(np.linalg.norm(a.identity - b.identity))
        if self._kind == "aed_exp":
            return float(np.abs(a.expression - b.expression).mean())
        turns = np.radians(np.abs(angles(a.pose.rotation) - angles(b.pose.rotation)))
        if self._kind == "apd_turn":
            return float(turns.mean())
        # The fit's camera has one focal length in widths of the image, so poses of two sizes compare as they are.
        return float(np.concatenate([turns, np.abs(a.pose.translation - b.pose.translation) / 10]).mean())


class KeypointDistance(MeanScore):
    """AKD: mean |difference| of the x and y of 68 landmarks, in pixels of a frame whose shorter side is 256.

    The truth's are exact where they are known, and then only the visible ones count; else the landmarker's. With
    face-alignment's on both sides it is the papers' AKD.
    """

    unit, digits = "px", 2
    by_landmarks = telling = True

    def __init__(self, landmarker: Landmarker, exact: bool) -> None:
        """``exact``: the set knows its landmarks."""
        super().__init__()
        papers = landmarker.name == "face-alignment" and not exact
        self.name, self.stand_in_for = ("AKD", None) if papers else (f"akd-{landmarker.suffix}", "AKD")
        self._landmarker = landmarker

    def measure(self, output: Picture, moment: Moment) -> float | None:
        seen = output.seen(self._landmarker)
        if moment.truth is None or seen is None:
            return None
        height, width = moment.truth.rgb.shape[:2]
        points = seen.landmarks68 * np.divide((width, height), output.rgb.shape[1::-1])
        true, visible = moment.landmarks68, moment.visible68
        if true is None:
            looked = moment.truth.seen(self._landmarker)
            if looked is None:
                return None
            true = looked.landmarks68
        difference = np.abs(points - true)
        if visible is not None:
            difference = difference[visible]
        return float(difference.mean() * SIDE / min(width, height)) if len(difference) else None


class MissingKeypoints(MeanScore):
    """MKR: share of the frames with a face in the truth (the driver without one) whose output has none."""

    unit, digits = "%", 1
    by_landmarks = True

    def __init__(self, landmarker: Landmarker) -> None:
        super().__init__()
        self.name = f"mkr-{landmarker.suffix}"
        self.stand_in_for = "MKR"
        self._landmarker = landmarker

    def measure(self, output: Picture, moment: Moment) -> float | None:
        if (moment.truth or moment.driver).seen(self._landmarker) is None:
            return None
        return 100.0 * (output.seen(self._landmarker) is None)


class FrechetDistance(Score):
    """Squared Fréchet distance of the features of all outputs from those of all truths; n and floor stand beside it.

    With features of D numbers and fewer than D pictures it is biased upwards: compare at equal n only. ``least``: below
    that many pictures there is no figure.
    """

    digits, needs_weights = 2, True

    def __init__(self, name: str, features: Eye, least: int) -> None:
        self.name = name
        self.stand_in_for = None if name == "FID" else "FID"
        self._features, self._least = features, least
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def update(self, output: Picture, moment: Moment) -> None:
        if moment.truth is not None:
            self._pairs.append((output.seen(self._features), moment.truth.seen(self._features)))

    def count(self) -> int:
        return len(self._pairs)

    def value(self) -> float | None:
        if len(self._pairs) < self._least:
            return None
        outputs, truths = zip(*self._pairs)
        return frechet(np.stack(outputs), np.stack(truths))

    def note(self) -> str:
        if len(self._pairs) < self._least:
            return f"no {self.name} below {self._least} pictures" if self._pairs else ""
        floor = split_floor(np.stack([truth for _, truth in self._pairs]))
        return "" if floor is None else f"{self.name} of one half of the truth from the other: {floor:.{self.digits}f}"


def angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll (3,) in degrees of a head's rotation (3, 3) to the camera, with the signs of ``signals``."""
    x, z = rotation[:, 0] * (1, -1, -1), -rotation[:, 2] * (1, -1, -1)  # in image axes; z away from the camera
    yaw, roll = np.arctan2(x[2], np.hypot(x[0], x[1])), np.arctan2(x[1], x[0])
    return np.degrees([yaw, np.arctan2(z[1], z[2]), roll])
