"""The frame writer: everything handed over is on disk when it closes, or the fault is known."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.media.image import read_image
from engine.media.writer import DEPTH, FrameWriter

FRAMES = [np.full((32, 32, 3), i * 8, np.uint8) for i in range(30)]


def test_every_frame_is_announced_once_and_only_when_it_is_whole(folder: Path) -> None:
    announced: list[tuple[int, str, str]] = []

    def written(frame: int, name: str, status: str) -> None:
        assert np.array_equal(read_image(folder / name), FRAMES[frame])
        announced.append((frame, name, status))

    with FrameWriter(folder, written) as writer:
        for i, rgb in enumerate(FRAMES):
            writer.put(i, f"f.{i:04d}.png", rgb, "held" if i == 3 else "ok")
    assert sorted(announced) == [(i, f"f.{i:04d}.png", "held" if i == 3 else "ok") for i in range(30)]
    assert sorted(entry.name for entry in folder.iterdir()) == [f"f.{i:04d}.png" for i in range(30)]
    assert writer.seconds > 0


def test_a_fault_reaches_the_one_who_draws_and_stops_the_writing(folder: Path) -> None:
    (folder / "f.0002.png").mkdir()
    announced: list[int] = []
    writer = FrameWriter(folder, lambda frame, name, status: announced.append(frame))
    with pytest.raises(EngineError) as fault:
        for i, rgb in enumerate(FRAMES):
            writer.put(i, f"f.{i:04d}.png", rgb, "ok")
        writer.close()
    assert fault.value.code == "not_writable"
    with pytest.raises(EngineError):
        writer.close()
    assert 2 not in announced and len(announced) < 30


def test_drawing_waits_for_a_slow_disk(folder: Path) -> None:
    gate = threading.Event()

    def written(frame: int, name: str, status: str) -> None:
        gate.wait(30)

    writer = FrameWriter(folder, written)
    handed: list[int] = []

    def draw() -> None:
        for i, rgb in enumerate(FRAMES):
            writer.put(i, f"f.{i:04d}.png", rgb, "ok")
            handed.append(i)

    thread = threading.Thread(target=draw)
    thread.start()
    thread.join(1.0)
    assert thread.is_alive() and len(handed) <= DEPTH + 2
    gate.set()
    thread.join(30)
    writer.close()
    assert len(list(folder.glob("f.*.png"))) == 30


def test_frames_handed_over_before_an_interruption_are_kept(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), FrameWriter(folder, lambda frame, name, status: None) as writer:
        for i in range(5):
            writer.put(i, f"f.{i:04d}.png", FRAMES[i], "ok")
        raise KeyboardInterrupt
    assert len(list(folder.glob("f.*.png"))) == 5
