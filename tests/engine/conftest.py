"""Real media in awkward places, and a real engine process."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.engine.numbered import picture

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('engine', run_name='__main__', alter_sys=True)"
)
PATIENCE = 60.0  # seconds after which an engine that says nothing is called dead


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name holds spaces and letters from several scripts."""
    path = tmp_path / "Plan 07 – Größe 顔 é"
    path.mkdir()
    return path


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a function of ``os`` fail twice, as on Windows where another process has the file open for a moment."""

    def refuse(name: str) -> None:
        action, refusals = getattr(os, name), [PermissionError(13, "in use")] * 2

        def twice_refused(*arguments: Any, **options: Any) -> None:
            if refusals:
                raise refusals.pop()
            action(*arguments, **options)

        monkeypatch.setattr(os, name, twice_refused)

    return refuse


@pytest.fixture
def portrait(folder: Path) -> Path:
    """A PNG of 48×64 pixels, all of them different."""
    path = folder / "porträt 1.png"
    rgb = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
    return path


@pytest.fixture
def make_movie(folder: Path) -> Callable[..., Path]:
    """Write a movie of numbered pictures at 24000/1001, a keyframe in twelve, B-frames where the codec has them."""

    def make(
        name: str,
        count: int = 60,
        codec: str = "libx264",
        times: list[int] | None = None,
        rotation: int = 0,
        index_first: bool = False,
    ) -> Path:
        path = folder / name
        rate = Fraction(24000, 1001)
        options = {"movflags": "faststart"} if index_first else {}
        pixels = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        with av.open(str(path), "w", options=options) as movie:
            stream: Any = movie.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, pixels, 12
            stream.codec_context.time_base = 1 / rate
            if rotation:
                stream.set_display_rotation(rotation)
            for i, time in enumerate(times or range(count)):
                frame = av.VideoFrame.from_ndarray(picture(i), format="rgb24")
                frame.pts, frame.time_base = time, 1 / rate
                movie.mux(stream.encode(frame))
            movie.mux(stream.encode(None))
        return path

    return make


class Engine:
    """An engine process, started as the add-on starts it, spoken to in lines."""

    def __init__(self, *flags: str, arguments: tuple[str, ...] = (), bootstrap: str = BOOTSTRAP) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", *flags, "-c", bootstrap, str(ROOT), "serve", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.stderr = b""
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: dict[str, Any] | bytes) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        assert self.process.stdin
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        line = self._lines.get(timeout=PATIENCE)
        assert line is not None, f"the engine ended: {self.stderr.decode(errors='replace')}"
        return json.loads(line)

    def until(self, kind: str) -> list[dict[str, Any]]:
        """All messages up to and with the first of that type."""
        messages = [self.receive()]
        while messages[-1]["type"] != kind:
            messages.append(self.receive())
        return messages

    def ended(self) -> int:
        """The exit status; nothing unread may be left."""
        status = self.process.wait(PATIENCE)
        assert self._lines.get(timeout=PATIENCE) is None
        return status

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.stderr += line


@pytest.fixture
def start_engine() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(*flags: str, **options: Any) -> Engine:
        engines.append(Engine(*flags, **options))
        return engines[-1]

    yield start
    for engine in engines:
        engine.process.kill()
        engine.process.wait()


@pytest.fixture
def job(folder: Path, portrait: Path) -> Callable[..., dict[str, Any]]:
    """A job for the null system: ``count`` frames from 1001 on; further fields as given."""

    def make(count: int = 5, **fields: Any) -> dict[str, Any]:
        return {
            "type": "job",
            "system": "null",
            "portraits": [str(portrait)],
            "driving": {"kind": "none"},
            "frames": [[1001 + i, i] for i in range(count)],
            "fps": [24000, 1001],
            "output": str(folder / "renders out"),
            "shot": "sh010",
            **fields,
        }

    return make
