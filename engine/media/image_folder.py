"""A folder of images as one sequence: its files in the order of their numbers, or one clear error."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from engine.errors import EngineError
from engine.media.image import IMAGE_SUFFIXES


def sequence_files(folder: Path) -> tuple[str, ...]:
    """Names of the folder's images in order. Images whose names hold no number come in natural order.

    Raises EngineError ``missing_frame`` for a gap in the numbers and ``several_sequences`` where there are two.
    """
    names = [
        entry.name
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file() and not entry.name.startswith(".")
    ]
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in names:
        if match := re.fullmatch(r"(.*?)(\d+)(\D*)", name):
            sequences[match[1], match[3].lower()].append(int(match[2]))
    long = {key: sorted(numbers) for key, numbers in sequences.items() if len(numbers) > 1}
    if len(long) > 1:
        first, second = sorted(f"{prefix}#{suffix}" for prefix, suffix in long)[:2]
        raise EngineError(
            "several_sequences",
            f"{folder} holds {len(long)} sequences, among them {first} and {second}.",
            "Move each into a folder of its own.",
        )
    for (prefix, suffix), numbers in long.items():
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        if len(numbers) == len(names) and missing > 0:
            first = next(before + 1 for before, after in zip(numbers, numbers[1:]) if after > before + 1)
            raise EngineError(
                "missing_frame",
                f"{folder} lacks {missing} of the images {prefix}{numbers[0]}{suffix} to {numbers[-1]}{suffix}; "
                f"the first that is missing is number {first}.",
                "Put the images back, or move those after the gap into a folder of their own.",
            )
    return tuple(sorted(names, key=_natural))


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name)]
