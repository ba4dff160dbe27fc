"""Movies, decoded with PyAV (FFmpeg) strictly in order.

Source frame ``i`` is the picture shown at time i / fps. At a constant rate that is simply the i-th picture; footage of
varying rate (phones) repeats or drops pictures exactly as a player would, so that it keeps in step with its sound.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation
from av.video.stream import VideoStream

from engine.errors import EngineError
from engine.media.frame_source import FrameSource, out_of_range

_UNSPECIFIED, _RGB = 2, 0  # AVColorSpace
# Without full chroma swscale darkens every pixel by 1 to 2 of 255, with accurate rounding even more than without.
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_SEEK_WORTHWHILE = 48  # frames; fewer are skipped faster than sought


class MovieSource(FrameSource):
    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise EngineError("missing_file", f"The driving movie {path} is missing.", "Find the file, or relink it.")
        with self._open() as container:
            stream = self._stream(container)
            rate = stream.guessed_rate or stream.average_rate
            if not rate:
                raise self._not_a_movie("its frame rate is unknown")
            self.fps = Fraction(rate)
            self._time_base = Fraction(stream.time_base or Fraction(1, 90_000))
            self._start = stream.start_time or 0
            self._declared = self._declared_count(stream)
            first = next(self._decode(container, stream), None)
            if first is None:
                raise self._truncated(-1)
            height, width = _upright(first).shape[:2]
            self.size = (width, height)

    @cached_property
    def count(self) -> int:
        return self._declared or self._scan()

    def files(self, indices: Sequence[int]) -> list[Path]:
        return [self.path]

    def frames(self, start: int, stop: int) -> Generator[tuple[int, np.ndarray], None, None]:
        if start >= stop:
            return
        with self._open() as container:
            pictures = self._seek(container, start)
            held, end, upcoming = None, 0, start
            for picture in pictures:
                index = self._index(picture, end)
                # Until this picture's own time comes, the one before it is shown (at the very start, this one).
                if upcoming < min(index, stop):
                    rgb = _upright(held or picture)
                    while upcoming < min(index, stop):
                        yield upcoming, rgb
                        upcoming += 1
                if upcoming >= stop:
                    return
                held, end = picture, max(index + 1, self._end(picture, index))
            if held is None:
                raise self._truncated(-1)
            if upcoming < min(end, stop):
                rgb = _upright(held)
                while upcoming < min(end, stop):
                    yield upcoming, rgb
                    upcoming += 1
        if upcoming < stop:
            raise self._truncated(end - 1) if upcoming < self.count else out_of_range(self.path, stop - 1, end)

    def _open(self) -> InputContainer:
        try:
            # Only plain files: a playlist must not make the engine read anything else.
            container = av.open(str(self.path.absolute()), options={"protocol_whitelist": "file"})
        except (FFmpegError, OSError) as fault:
            head = self._head()
            if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"skip"):  # an MP4 or MOV without its index
                raise self._truncated(-1) from fault
            raise self._not_a_movie("it is empty" if not head else "its format is unknown") from fault
        if container.format.name == "tty":  # FFmpeg draws text files as pictures
            container.close()
            raise self._not_a_movie("it is text")
        return container

    def _head(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                return file.read(12)
        except OSError as fault:
            raise self._not_a_movie(f"it cannot be read: {fault.strerror or fault}") from fault

    def _stream(self, container: InputContainer) -> VideoStream:
        for stream in container.streams.video:
            if not stream.disposition & Disposition.attached_pic:
                stream.thread_type = "AUTO"
                return stream
        raise self._not_a_movie("it holds no pictures")

    def _seek(self, container: InputContainer, start: int) -> Iterator[VideoFrame]:
        """Pictures from one at or before ``start`` on; from the very first if the file's index cannot be trusted."""
        stream = self._stream(container)
        if start >= _SEEK_WORTHWHILE:
            container.seek(self._start + round(Fraction(start) / self.fps / self._time_base), stream=stream)
            pictures = self._decode(container, stream)
            first = next(pictures, None)
            if first is not None and first.pts is not None and self._index(first, 0) <= start:
                yield first
                yield from pictures
                return
            container.seek(self._start, stream=stream)
        yield from self._decode(container, stream)

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Every picture in order, up to the first that is damaged: where it ends is for the caller to judge."""
        with contextlib.suppress(FFmpegError):
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    break
                for picture in packet.decode():
                    if picture.is_corrupt:
                        return
                    yield picture
            else:
                return
        with contextlib.suppress(FFmpegError):  # good pictures from before the damage wait inside the decoder
            yield from stream.codec_context.decode(None)

    def _index(self, picture: VideoFrame, following: int) -> int:
        """The source frame at which this picture appears; ``following`` if the file gives it no time."""
        if picture.pts is None:
            return following
        return round((picture.pts - self._start) * self._time_base * self.fps)

    def _end(self, picture: VideoFrame, index: int) -> int:
        return index + round((picture.duration or 0) * self._time_base * self.fps)

    def _declared_count(self, stream: VideoStream) -> int | None:
        if stream.duration:
            return max(1, round(stream.duration * self._time_base * self.fps))
        stated = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))  # Matroska, WebM
        if stated:
            seconds = int(stated[1]) * 3600 + int(stated[2]) * 60 + Fraction(stated[3])
            return max(1, round((seconds - self._start * self._time_base) * self.fps))
        return stream.frames or None

    def _scan(self) -> int:
        with self._open() as container:
            stream, packets, last = self._stream(container), 0, None
            for packet in container.demux(stream):
                packets += packet.size > 0
                if packet.pts is not None:
                    last = max(last or packet.pts, packet.pts)
        return packets if last is None else round((last - self._start) * self._time_base * self.fps) + 1

    def _not_a_movie(self, reason: str) -> EngineError:
        return EngineError(
            "not_a_movie", f"{self.path} is not a movie ({reason}).", "Choose a movie file, or an image sequence."
        )

    def _truncated(self, last: int) -> EngineError:
        good, remedy = "no source frame can be read", "Copy or export the movie again."
        if last >= 0:
            good = f"the last good source frame is {last}"
            remedy = f"Copy or export the movie again, or ask for source frames up to {last} only."
        return EngineError("truncated_movie", f"{self.path} is damaged or was not copied to its end: {good}.", remedy)


def _upright(picture: VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a decoded picture, turned as its metadata says."""
    matrix = None
    if picture.colorspace == _UNSPECIFIED:  # the industry's convention where a file is silent
        matrix = Colorspace.ITU709 if picture.height >= 720 else Colorspace.ITU601
    rgb = picture.reformat(format="rgb24", src_colorspace=matrix, interpolation=_EXACT).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(picture.rotation / 90) % 4))
