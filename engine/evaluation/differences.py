"""How far contestants are from one of them, shot by shot, and what that shows."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import EngineError
from engine.evaluation import bootstrap, tables
from engine.evaluation.contestant import FLOOR, Contestant, Shots, title, values
from engine.evaluation.metrics import HIGHER
from engine.evaluation.scores import Score

BETTER, WORSE, EQUAL = "better", "worse", "equal"


@dataclass(frozen=True)
class Difference:
    """Mean of a score less the base's over the shots that both have, its 95 % interval (None with too few shots), and
    ``verdict``: BETTER or WORSE where the interval excludes 0, EQUAL where it is 0, else empty."""

    score: Score
    mean: float
    interval: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        if self.interval is None:
            return ""
        if self.interval == (0, 0):
            return EQUAL
        if self.interval[0] <= 0 <= self.interval[1]:
            return ""
        return BETTER if (self.mean > 0) == (self.score.better == HIGHER) else WORSE

    def text(self) -> str:
        digits = self.score.digits
        text = f"{self.mean:+.{digits}f}"
        if self.interval is not None:
            text += f" [{self.interval[0]:+.{digits}f}, {self.interval[1]:+.{digits}f}]"
        return f"{text} {self.verdict}".strip()


@dataclass(frozen=True)
class Against:
    """``others`` compared with one contestant, called ``label``; a row a metric, None where nothing is in common.

    Like is compared with like: who is driven by true motion with the base driven so, where there is that column.
    """

    label: str
    others: list[Contestant]
    rows: list[list[Difference | None]]

    @classmethod
    def of(cls, base: list[Contestant], contestants: list[Contestant], shots: Shots) -> Against:
        """``base``: the columns of one entrant, that of fitted motion first, or the floor alone."""
        others = [c for c in contestants if c.entrant is not None and c not in base]
        rows = []
        for k in range(len(base[0].scores)):
            found = [apart(other.scores[k], like(other, base).scores[k], shots) for other in others]
            if any(difference is not None for difference in found):
                rows.append(found)
        return cls(base[0].label, others, rows)

    def markdown(self) -> list[str]:
        heads = [f"difference from {self.label}", *(other.label for other in self.others)]
        lines = [tables.row(heads), tables.rule(heads, 1)]
        for found in self.rows:
            known = next(difference for difference in found if difference is not None)
            lines.append(tables.row([title(known.score), *("–" if d is None else d.text() for d in found)]))
        verdicts = [f"- {verdict}" for k in range(len(self.others)) if (verdict := self._verdict(k))]
        return [*lines, "", *verdicts, *([""] if verdicts else [])]

    def to_json(self) -> dict[str, dict[str, dict[str, object]]]:
        """Contestant → metric → mean, interval and verdict."""
        return {
            other.label: {
                d.score.name: {"mean": d.mean, "interval": d.interval, "verdict": d.verdict}
                for d in (found[k] for found in self.rows)
                if d is not None
            }
            for k, other in enumerate(self.others)
        }

    def _verdict(self, column: int) -> str:
        """One sentence, empty where no interval is known."""
        known = [d for found in self.rows if (d := found[column]) is not None and d.interval is not None]
        if not known:
            return ""
        parts = []
        for word, verdict in ((BETTER, BETTER), (WORSE, WORSE), (EQUAL, EQUAL), ("undecided", "")):
            names = [d.score.name + (" †" if d.score.flattered else "") for d in known if d.verdict == verdict]
            if names:
                parts.append(f"{word} in {len(names)} ({', '.join(names)})")
        return f"{self.others[column].label} against {self.label}: {'; '.join(parts)}."


def against_all(contestants: list[Contestant], shots: Shots, labels: list[str] | None) -> list[Against]:
    """Against each of ``labels``, by default the copy and the first entrant; those that leave none to compare are left
    out. Raises EngineError ``arguments`` for a label that is none."""
    if labels is None:
        first = next((c.label for c in contestants if c.entrant is not None), FLOOR)
        labels = [FLOOR, first]
    found = [Against.of(bases(contestants, label), contestants, shots) for label in dict.fromkeys(labels)]
    return [against for against in found if against.others and against.rows]


def bases(contestants: list[Contestant], label: str) -> list[Contestant]:
    """The columns of the entrant called so; ``copy`` is the floor too."""
    if label in ("copy", FLOOR):
        return [c for c in contestants if c.label == FLOOR]
    found = [c for c in contestants if c.entrant is not None and c.entrant.label == label]
    if not found:
        known = ["copy", *dict.fromkeys(c.entrant.label for c in contestants if c.entrant is not None)]
        raise EngineError("arguments", f"{label!r} is not compared here.", f"Choose from: {', '.join(known)}.")
    return found


def like(other: Contestant, base: list[Contestant]) -> Contestant:
    """Of the columns of one entrant the one that is driven as ``other`` is, the first where there is none."""
    return next((contestant for contestant in base if contestant.exact == other.exact), base[0])


def apart(score: Score, base: Score, shots: Shots) -> Difference | None:
    found = bootstrap.difference(values(score, shots), values(base, shots), list(shots.values()))
    return None if found is None else Difference(score, *found)
