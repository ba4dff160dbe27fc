"""Whose face the output shows, by an embedding of the head."""

from __future__ import annotations

import numpy as np

from engine.evaluation.metrics.base import HIGHER, MeanMetric, MetricInfo
from engine.evaluation.picture import Extractor, Picture, ShotFrame


class IdentitySimilarity(MeanMetric):
    """Cosine of the embeddings of output and source (CSIM with ArcFace).

    Its note says how well the embedding tells people apart on this dataset, measured on sources and truths alone.
    """

    def __init__(self, name: str, embedding: Extractor) -> None:
        super().__init__(
            MetricInfo(name, better=HIGHER, by_landmarks=True, replaces=None if name == "CSIM" else "CSIM")
        )
        self._embedding = embedding
        self._people: list[tuple[str, np.ndarray, np.ndarray]] = []  # identity, embeddings of source and truth

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        a, b = output.extract(self._embedding), frame.source.extract(self._embedding)
        truth = None if frame.truth is None else frame.truth.extract(self._embedding)
        if b is not None and truth is not None:
            self._people.append((frame.identity, b, truth))
        if a is None or b is None:
            return None
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))

    def note(self) -> str:
        people = [person for person, _, _ in self._people]
        if len(set(people)) < 2:
            return ""
        sources, truths = (np.stack([entry[k] for entry in self._people]) for k in (1, 2))
        cosines = sources @ truths.T / np.outer(np.linalg.norm(sources, axis=1), np.linalg.norm(truths, axis=1))
        same_person = np.equal.outer(people, people)
        rate = equal_error_rate(cosines[np.eye(len(people), dtype=bool)], cosines[~same_person])
        return f"{self.info.name}: equal error rate {rate:.1%} when telling {len(set(people))} people apart"


class IdentityDistance(MeanMetric):
    """``aed_id``: squared L2 distance of the identity embeddings of output and truth, as in FOMM's code.
    ``aed_id_source``: from the source, where there is no truth."""

    def __init__(self, suffix: str, embedding: Extractor, truth: bool) -> None:
        """``suffix`` of the name says which embedding."""
        name = f"aed_id-{suffix}" if truth else f"aed_id_source-{suffix}"
        super().__init__(MetricInfo(name, digits=4, key=True, by_landmarks=True, replaces="AED (identity)"))
        self._embedding, self._truth = embedding, truth

    def measure(self, output: Picture, frame: ShotFrame) -> float | None:
        other = frame.truth if self._truth else frame.source
        if other is None:
            return None
        a, b = output.extract(self._embedding), other.extract(self._embedding)
        return None if a is None or b is None else float(((a - b) ** 2).sum())


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """The rate at the threshold of similarity where false rejections of ``same`` pairs equal false acceptances of
    ``different`` pairs."""
    thresholds = np.unique(np.concatenate([same, different, [np.inf]]))
    missed = (same[:, None] < thresholds).mean(axis=0)
    alarms = (different[:, None] >= thresholds).mean(axis=0)
    crossing = np.argmin(np.abs(missed - alarms))
    return float((missed[crossing] + alarms[crossing]) / 2)
