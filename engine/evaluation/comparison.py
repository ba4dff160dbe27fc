"""A comparison as Markdown, as JSON and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from engine.evaluation import bootstrap
from engine.evaluation.metrics import HIGHER
from engine.evaluation.scores import Score
from engine.evaluation.testsets import TestSet

_ROWS, _SIDE, _CAPTION = 8, 192, 20  # of the picture; pixels


@dataclass(frozen=True)
class Contestant:
    """A column: a system (``exact``: driven by true coefficients), or floor and ceiling, whose ``system`` is None."""

    label: str
    system: str | None
    exact: bool
    scores: list[Score]


@dataclass(frozen=True)
class Tile:
    label: str
    rgb: np.ndarray


def markdown(
    test: TestSet,
    contestants: list[Contestant],
    shots: list[str],
    remarks: list[str],
    missing: dict[str, str],
    quality: int,
) -> str:
    """One row a metric, one column a contestant; means with their 95 % intervals where there are enough shots."""
    heads = ["metric", "in place of", "n", *(contestant.label for contestant in contestants)]
    lines = [f"### {test.name}, {test.mode}: {_number(len(shots), 'shot')}", "", _row(heads), _rule(heads, 2)]
    for scores in _by_metric(contestants):
        if all(score.value() is None for score in scores):
            continue
        cells = [_cell(score, shots) for score in scores]
        lines.append(_row([_title(scores[0]), scores[0].stand_in_for or "", _counts(scores), *cells]))
    lines += ["", *_differences(contestants, shots)]
    lines.append(
        "n: frames measured. Means of frames, then of shots; in brackets the 95 % interval over shots (paired "
        f"bootstrap, {bootstrap.DRAWS} draws, from {bootstrap.LEAST} shots on)."
    )
    if test.truth:
        lines.append(f"The truth encoded again: JPEG, quality {quality}.")
    lines += [*remarks, *_notes(contestants)]
    unmeasured = [scores[0].name for scores in _by_metric(contestants) if all(s.value() is None for s in scores)]
    if unmeasured:
        lines.append(f"Without anything to measure here: {', '.join(unmeasured)}.")
    if missing:
        names: dict[str, list[str]] = {}
        for name, why in missing.items():
            names.setdefault(why, []).append(f"`{name}`")
        lines += ["", "Not available:", "", *(f"- {', '.join(those)}: {why}" for why, those in names.items())]
    return "\n".join(lines)


def to_json(
    test: TestSet, contestants: list[Contestant], shots: list[str], remarks: list[str], missing: dict[str, str]
) -> dict[str, Any]:
    def figures(score: Score) -> dict[str, Any]:
        return {
            "value": score.value(),
            "interval": _interval(score, shots),
            "n": score.count(),
            "shots": score.by_shot(),
            "in_place_of": score.stand_in_for,
            "weights": str(score.weights_path) if score.weights_path else None,
            "note": score.note(),
        }

    return {
        "set": test.name,
        "mode": test.mode,
        "shots": shots,
        "remarks": remarks,
        "not_available": missing,
        "contestants": [
            {
                "label": contestant.label,
                "system": contestant.system,
                "true_motion": contestant.exact,
                "figures": {score.name: figures(score) for score in contestant.scores},
            }
            for contestant in contestants
        ],
    }


def sheet(rows: list[list[Tile]]) -> np.ndarray:
    """Up to eight rows, spread evenly over all, with a caption over every column: (H, W, 3) uint8."""
    picked = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).astype(int))]
    captions = [_caption(tile.label) for tile in picked[0]]
    return np.vstack([np.hstack(captions), *(np.hstack([_fitted(tile.rgb) for tile in row]) for row in picked)])


def _caption(text: str) -> np.ndarray:
    strip = np.full((_CAPTION, _SIDE, 3), 255, np.uint8)
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]
    scale = 0.42 * min(1.0, (_SIDE - 8) / max(width, 1))
    return cv2.putText(strip, text, (4, _CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)


def _fitted(rgb: np.ndarray) -> np.ndarray:
    """The whole picture in a square, on white."""
    height, width = rgb.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    square = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    top, left = (_SIDE - size[1]) // 2, (_SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return square


def _differences(contestants: list[Contestant], shots: list[str]) -> list[str]:
    """How far every other system is from the first, shot by shot; empty with one system."""
    entrants = [contestant for contestant in contestants if contestant.system is not None]
    if len(entrants) < 2:
        return []
    first, others = entrants[0], entrants[1:]
    heads = [f"difference from {first.label}", *(other.label for other in others)]
    lines = [_row(heads), _rule(heads, 1)]
    for scores in _by_metric(entrants):
        apart = [bootstrap.difference(_values(s, shots), _values(scores[0], shots)) for s in scores[1:]]
        if any(found is not None for found in apart):
            cells = ["–" if found is None else _signed(*found, scores[0].digits) for found in apart]
            lines.append(_row([_title(scores[0]), *cells]))
    return [*lines, ""]


def _by_metric(contestants: list[Contestant]) -> list[list[Score]]:
    return [list(scores) for scores in zip(*(contestant.scores for contestant in contestants), strict=True)]


def _values(score: Score, shots: list[str]) -> np.ndarray:
    """(shots,) the figure of each, NaN where there is none."""
    known = score.by_shot()
    return np.array([known.get(shot, np.nan) for shot in shots])


def _interval(score: Score, shots: list[str]) -> tuple[float, float] | None:
    return bootstrap.interval(_values(score, shots)) if score.by_shot() else None


def _cell(score: Score, shots: list[str]) -> str:
    value, interval = score.value(), _interval(score, shots)
    if value is None:
        return "–"
    text = f"{value:.{score.digits}f}"
    return text if interval is None else f"{text} [{interval[0]:.{score.digits}f}, {interval[1]:.{score.digits}f}]"


def _signed(mean: float, interval: tuple[float, float] | None, digits: int) -> str:
    text = f"{mean:+.{digits}f}"
    return text if interval is None else f"{text} [{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"


def _title(score: Score) -> str:
    arrow = "↑" if score.better == HIGHER else "↓"
    return " ".join(part for part in (score.name, score.unit, arrow) if part)


def _counts(scores: list[Score]) -> str:
    counts = sorted({score.count() for score in scores})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def _notes(contestants: list[Contestant]) -> list[str]:
    """Each once; what is said of the truth is said alike by all contestants."""
    notes = dict.fromkeys(score.note() for contestant in contestants for score in contestant.scores)
    return [f"{note}." for note in notes if note]


def _number(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rule(heads: list[str], texts: int) -> str:
    return _row(["---"] * texts + ["--:"] * (len(heads) - texts))
