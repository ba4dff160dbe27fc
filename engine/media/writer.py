"""Frames to disk off the render thread: PNG encoding, fsync and rename happen while the next frame is drawn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from types import TracebackType

import numpy as np

from engine.errors import Cancelled
from engine.media.image import encode_png, write_atomic
from engine.media.png_text import with_text

THREADS = 2  # one encodes while the other waits for the disk
DEPTH = 4  # frames that may wait: bounds memory, and how far drawing may run ahead


class FrameWriter:
    """Writes frames into ``folder`` and calls ``written(frame, name, status)`` once each is whole on disk.

    The calls come one at a time, from the writer's threads, in order of completion. The first fault stops all further
    writing and is raised by the next :meth:`put` or by :meth:`close`. ``seconds`` is the work done, over all threads.
    A ``with`` block that ends with a fault still writes what it was given; one that is cancelled or interrupted drops
    the frames that no thread has begun.
    """

    def __init__(self, folder: Path, written: Callable[[int, str, str], None], keyword: str = "") -> None:
        """``keyword`` is that of the frames' texts in their PNG files."""
        self.seconds = 0.0
        self._folder = folder
        self._written = written
        self._keyword = keyword
        self._dropping = False
        self._fault: BaseException | None = None
        self._lock = threading.Lock()
        self._queue: Queue[tuple[int, str, np.ndarray, str, str] | None] = Queue(DEPTH)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def put(self, frame: int, name: str, rgb: np.ndarray, status: str, text: str = "") -> None:
        """Hand over one frame, (H, W, 3) uint8, which must not be changed afterwards; waits while the queue is full.

        ``text`` goes into the file beside the pixels.
        """
        self._raise()
        self._queue.put((frame, name, rgb, status, text))

    def close(self) -> None:
        """Wait until everything handed over is on disk; raises the first fault."""
        self._drain()
        self._raise()

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        # Cancel must end within a second, and a queue of large frames takes longer.
        self._dropping = fault is not None and (isinstance(fault, Cancelled) or not isinstance(fault, Exception))
        self._drain()
        if kind is None:
            self._raise()

    def _drain(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _raise(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._fault is not None or self._dropping:
                continue
            frame, name, rgb, status, text = item
            started = time.perf_counter()
            try:
                png = encode_png(rgb)
                write_atomic(self._folder / name, with_text(png, self._keyword, text) if text else png)
                with self._lock:
                    self.seconds += time.perf_counter() - started
                    self._written(frame, name, status)
            except BaseException as fault:  # carried to the render thread, which raises it
                self._fault = fault
