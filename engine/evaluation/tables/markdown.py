"""Lines of Markdown tables."""

from __future__ import annotations

import math


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def head(cells: list[str], texts: int = 1) -> list[str]:
    """The head row and the rule below it: the first ``texts`` columns left-aligned, numbers right-aligned."""
    return [row(cells), row(["---"] * texts + ["--:"] * (len(cells) - texts))]


def number(value: float | None, digits: int) -> str:
    """``–`` for None and NaN."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def counted(count: int, name: str) -> str:
    """``1 shot``, ``2 shots``."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
