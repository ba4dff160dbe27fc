"""The rooms of the studio import downwards only (engine/training/studio/__init__.py lists them)."""

from __future__ import annotations

import pytest

from tests.engine.test_walls import offences, within

STUDIO = "engine.training.studio"
ROOMS = ("stage", "renderer", "body", "library", "hair", "wardrobe", "people")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    allowed = (*ROOMS[: ROOMS.index(room) + 1], "randomness")
    packages = tuple(f"{STUDIO}.{name}" for name in allowed)
    folder = f"engine/training/studio/{room}"
    assert not offences(folder, lambda _, name: within(name, STUDIO) and not within(name, *packages))
