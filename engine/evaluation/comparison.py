"""A comparison as Markdown and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.evaluation import bootstrap, tables
from engine.evaluation.contestant import Contestant, Shots, by_metric, interval, title
from engine.evaluation.differences import Against
from engine.evaluation.pictures import CEILING, QUALITY
from engine.evaluation.scores import Score
from engine.evaluation.shot_table import ShotTable
from engine.evaluation.testsets import TestSet
from engine.evaluation.yaw_table import YawTable


@dataclass(frozen=True)
class Comparison:
    """Everything that was found on one set. ``remarks`` are sentences for under the table, ``missing`` says for each
    metric that could not be had why not; ``by_shot`` is None for sets of single frames, ``by_yaw`` for all others."""

    test: TestSet
    contestants: list[Contestant]
    shots: Shots
    remarks: list[str]
    missing: dict[str, str]
    against: list[Against]
    by_shot: ShotTable | None
    by_yaw: YawTable | None

    def markdown(self) -> str:
        """One row a metric, one column a contestant; means with their 95 % intervals where there are enough shots."""
        heads = ["metric", "in place of", "n", *(contestant.label for contestant in self.contestants)]
        count, people = tables.number(len(self.shots), "shot"), len(set(self.shots.values()))
        shown = f"{count} of {'one person' if people == 1 else f'{people} people'}"
        lines = [f"### {self.test.name}, {self.test.mode}: {shown}", "", tables.row(heads), tables.rule(heads, 2)]
        measured = [s for s in by_metric(self.contestants) if any(score.value() is not None for score in s)]
        for scores in measured:
            cells = [_cell(score, self.shots) for score in scores]
            lines.append(tables.row([title(scores[0]), scores[0].stand_in_for or "", _counts(scores), *cells]))
        lines.append("")
        for against in self.against:
            lines += against.markdown()
        for table in (self.by_shot, self.by_yaw):
            if table is not None:
                lines += table.markdown()
        lines.append(
            "n: frames measured. Means of frames, then of shots; in brackets the 95 % interval (paired bootstrap that "
            f"draws people, each with all shots of theirs; {bootstrap.DRAWS} draws, from {bootstrap.LEAST} people on)."
        )
        if self.test.truth:
            lines.append(f"{CEILING.capitalize()}: JPEG, quality {QUALITY}.")
        lines += [*self.remarks, *self._notes()]
        if any(scores[0].flattered for scores in measured):
            lines.append("†: scored by the detector that drove the systems.")
        return "\n".join([*lines, *self._unmeasured()])

    def to_json(self) -> dict[str, Any]:
        return {
            "set": self.test.name,
            "mode": self.test.mode,
            "shots": list(self.shots),
            "people": list(self.shots.values()),
            "remarks": self.remarks,
            "not_available": self.missing,
            "contestants": [
                {
                    "label": contestant.label,
                    "system": contestant.entrant.system if contestant.entrant else None,
                    "options": contestant.entrant.options if contestant.entrant else {},
                    "identity": contestant.entrant.identity if contestant.entrant else None,
                    "true_motion": contestant.exact,
                    "figures": {score.name: self._figures(score) for score in contestant.scores},
                }
                for contestant in self.contestants
            ],
            "differences": {against.label: against.to_json() for against in self.against},
            **({} if self.by_shot is None else {"shot_by_shot": self.by_shot.to_json()}),
            **({} if self.by_yaw is None else {"yaws": self.by_yaw.yaws}),
        }

    def _figures(self, score: Score) -> dict[str, Any]:
        return {
            "value": score.value(),
            "interval": interval(score, self.shots),
            "n": score.count(),
            "shots": score.by_shot(),
            "in_place_of": score.stand_in_for,
            "weights": str(score.weights_path) if score.weights_path else None,
            "flattered": score.flattered,
            "note": score.note(),
        }

    def _notes(self) -> list[str]:
        """Each once; what is said of the truth is said alike by all contestants."""
        notes = dict.fromkeys(score.note() for contestant in self.contestants for score in contestant.scores)
        return [f"{note}." for note in notes if note]

    def _unmeasured(self) -> list[str]:
        lines = []
        nothing = [s[0].name for s in by_metric(self.contestants) if all(score.value() is None for score in s)]
        if nothing:
            lines.append(f"Without anything to measure here: {', '.join(nothing)}.")
        if self.missing:
            names: dict[str, list[str]] = {}
            for name, why in self.missing.items():
                names.setdefault(why, []).append(f"`{name}`")
            lines += ["", "Not available:", "", *(f"- {', '.join(those)}: {why}" for why, those in names.items())]
        return lines


def _cell(score: Score, shots: Shots) -> str:
    value, spread = score.value(), interval(score, shots)
    if value is None:
        return "–"
    text = f"{value:.{score.digits}f}"
    return text if spread is None else f"{text} [{spread[0]:.{score.digits}f}, {spread[1]:.{score.digits}f}]"


def _counts(scores: tuple[Score, ...]) -> str:
    counts = sorted({score.count() for score in scores})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
