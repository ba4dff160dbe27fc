"""The frame writer: everything handed over is on disk when it closes, or the fault is known."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from engine.errors import Cancelled, EngineError
from engine.media.image import encode_png, read_image
from engine.media.png_text import read_text
from engine.media.writer import DEPTH, THREADS, FrameWriter

FRAMES = [np.full((32, 32, 3), i * 8, np.uint8) for i in range(30)]
LARGE = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)


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


def put_five_then(fault: BaseException, folder: Path) -> list[int]:
    """Numbers of the frames that are on disk, all of them whole, when ``fault`` ends the block."""
    with pytest.raises(type(fault)), FrameWriter(folder, lambda frame, name, status: None) as writer:
        for i in range(5):
            writer.put(i, f"f.{i:04d}.png", LARGE, "ok")
        raise fault
    paths = sorted(folder.iterdir())
    assert all(np.array_equal(read_image(path), LARGE) for path in paths)
    return [int(path.name.split(".")[1]) for path in paths]


def test_a_fault_of_the_caller_keeps_what_was_handed_over(folder: Path) -> None:
    assert put_five_then(EngineError("null_fault", "Asked to.", ""), folder) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("fault", [Cancelled(), KeyboardInterrupt()])
def test_a_cancel_finishes_the_frames_in_hand_and_drops_the_others(folder: Path, fault: BaseException) -> None:
    assert len(put_five_then(fault, folder)) <= THREADS


def test_a_text_lies_beside_the_pixels_and_changes_none(folder: Path) -> None:
    with FrameWriter(folder, lambda frame, name, status: None, "Key") as writer:
        writer.put(0, "plain.png", LARGE, "ok")
        writer.put(1, "texted.png", LARGE, "ok", '{"a":1}')
    plain, texted = (folder / name for name in ("plain.png", "texted.png"))
    assert np.array_equal(read_image(plain), read_image(texted))
    assert read_text(texted, "Key", to_end=True) == ('{"a":1}', True)
    assert read_text(plain, "Key", to_end=True) == read_text(texted, "Other", to_end=True) == (None, True)
    data = texted.read_bytes()
    for damaged, head in ((data[:-1], True), (data[:50], False), (b"", False), (b"GIF89a" + data, False)):
        texted.write_bytes(damaged)
        assert not read_text(texted, "Key", to_end=True)[1]
        assert read_text(texted, "Key", to_end=False)[1] is head


def test_a_length_that_lies_takes_no_memory(folder: Path) -> None:
    data = bytearray(encode_png(LARGE))
    data[33] |= 0x80  # of the second chunk: two gigabytes
    (folder / "damaged.png").write_bytes(data)
    tracemalloc.start()
    assert read_text(folder / "damaged.png", "Key", to_end=True) == (None, False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
