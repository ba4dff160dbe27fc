"""Lines of Markdown tables."""

from __future__ import annotations


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def rule(heads: list[str], texts: int) -> str:
    """The line under ``heads``: the first ``texts`` columns to the left, numbers to the right."""
    return row(["---"] * texts + ["--:"] * (len(heads) - texts))


def number(count: int, name: str) -> str:
    """``1 shot``, ``2 shots``."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
