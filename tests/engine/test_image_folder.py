"""A folder of images is one sequence without gaps, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.media.image_folder import sequence_files


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_numbers_give_the_order(folder: Path) -> None:
    make(folder, "plate_9.png", "plate_10.PNG", "plate_8.png", "notes.txt", ".hidden_3.png")
    assert sequence_files(folder) == ("plate_8.png", "plate_9.png", "plate_10.PNG")


def test_names_without_numbers_and_a_single_still_are_taken_as_they_are(folder: Path) -> None:
    make(folder, "b.png", "a.jpg", "take 2.png")
    assert sequence_files(folder) == ("a.jpg", "b.png", "take 2.png")


def test_a_gap_is_named(folder: Path) -> None:
    make(folder, *(f"plate.{number:04d}.png" for number in (5, 6, 8, 9, 11)))
    with pytest.raises(EngineError, match="lacks 2 .* missing is number 7") as fault:
        sequence_files(folder)
    assert fault.value.code == "missing_frame"


def test_two_sequences_are_refused(folder: Path) -> None:
    make(folder, "a.1.png", "a.2.png", "b.1.png", "b.2.png")
    with pytest.raises(EngineError, match="a.#.png and b.#.png") as fault:
        sequence_files(folder)
    assert fault.value.code == "several_sequences"
