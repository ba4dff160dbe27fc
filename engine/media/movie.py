"""Movies, decoded with PyAV (FFmpeg) strictly in order.

Source frame ``i`` is the picture that Blender shows for it (:class:`engine.media.timeline.Timeline`). At a constant
rate that is the i-th picture; footage of varying rate (phones) repeats or drops pictures as a player would.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import EngineError
from engine.media.frame_source import FrameSource, Remark, out_of_range
from engine.media.picture import is_hdr, upright
from engine.media.timeline import Timeline, read_timeline

_SEEK_WORTHWHILE = 48  # frames; fewer are skipped faster than sought


class MovieSource(FrameSource):
    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise EngineError("missing_file", f"The driving movie {path} is missing.", "Find the file, or relink it.")
        with self._open() as container:
            stream = self._stream(container)
            self._timeline = self._read_timeline(container, stream)
            self._pixel_aspect = float(stream.sample_aspect_ratio or 1)
        self.fps = self._timeline.fps
        with self._open() as container:
            first = next(self._decode(container, self._stream(container)), None)
            if first is None:
                raise self._truncated(-1)
            self._interlaced = first.interlaced_frame
            # MPEG program streams give wrong times after a seek, and a palette travels with the first picture alone.
            exact = container.format.name != "mpeg" and first.format.name != "pal8"
            self._seekable = self._timeline.timed and exact
            self.remarks = self._remarks(first)
            height, width = upright(first, self._pixel_aspect).shape[:2]
            self.size = (width, height)

    @property
    def count(self) -> int:
        return self._timeline.count

    def files(self, indices: Sequence[int]) -> list[Path]:
        return [self.path]

    def frames(self, start: int, stop: int) -> Generator[tuple[int, np.ndarray], None, None]:
        if start >= stop:
            return
        with self._open() as container:
            held, end, upcoming = None, 0, start
            for index, picture in self._shown(container, start):
                # Until this picture's own time comes, the one before it is shown (at the very start, this one).
                if upcoming < min(index, stop):
                    rgb = upright(held or picture, self._pixel_aspect)
                    while upcoming < min(index, stop):
                        yield upcoming, rgb
                        upcoming += 1
                if upcoming >= stop:
                    return
                held, end = picture, self._end(picture, index)
            if held is None:
                raise self._truncated(-1)
            if upcoming < min(end, stop):
                rgb = upright(held, self._pixel_aspect)
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

    def _shown(self, container: InputContainer, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """(first source frame, picture), from a picture at or before ``start`` on; from the very first where a seek
        does not lead there."""
        if start >= _SEEK_WORTHWHILE and self._seekable:
            with contextlib.suppress(FFmpegError):  # some formats cannot seek: read from the start
                stream = self._stream(container)
                container.seek(self._timeline.time(start), stream=stream)
                pictures = self._numbered(self._decode(container, stream))
                first = next(pictures, None)
                if first is not None and first[0] <= start:
                    yield first
                    yield from pictures
                    return
            with self._open() as again:
                yield from self._numbered(self._decode(again, self._stream(again)))
        else:
            yield from self._numbered(self._decode(container, self._stream(container)))

    def _numbered(self, pictures: Iterator[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
        following = 0
        for picture in self._deinterlaced(pictures):
            timed = self._timeline.timed and picture.pts is not None
            index = self._timeline.index(picture.pts or 0) if timed else following
            yield index, picture
            following = index + 1

    def _deinterlaced(self, pictures: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Interlaced pictures with both fields of one moment (FFmpeg's yadif); others as they are."""
        if not self._interlaced:
            yield from pictures
            return
        graph = None
        for picture in pictures:
            if graph is None:
                graph = _yadif(picture, self._timeline.time_base)
            graph.vpush(picture)
            yield from _pulled(graph)
        if graph is not None:
            graph.vpush(None)
            yield from _pulled(graph)

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Every picture in order, up to the first damaged one; the caller judges whether that is the end."""
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

    def _end(self, picture: VideoFrame, index: int) -> int:
        """The source frame after the last one that shows ``picture``, if no other follows it."""
        timeline = self._timeline
        if not timeline.timed:
            return index + 1
        return index + timeline.frames(picture.duration or 0)

    def _read_timeline(self, container: InputContainer, stream: VideoStream) -> Timeline:
        try:
            timeline = read_timeline(container, stream)
        except FFmpegError as fault:
            raise self._truncated(-1) from fault
        if not timeline.count:
            raise self._truncated(-1)
        return timeline

    def _remarks(self, first: VideoFrame) -> tuple[Remark, ...]:
        remarks = []
        if is_hdr(first):
            remarks.append(
                Remark(
                    "hdr_tone_mapped",
                    f"{self.path.name} is HDR; it is tone-mapped to sRGB.",
                    "No action is needed. To choose the look yourself, grade it to Rec. 709 first.",
                )
            )
        if first.interlaced_frame:
            remarks.append(
                Remark("deinterlaced", f"{self.path.name} is interlaced; it is deinterlaced.", "No action is needed.")
            )
        return tuple(remarks)

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


def _yadif(picture: VideoFrame, time_base: Fraction) -> Graph:
    """A filter that takes pictures like this one and gives as many, deinterlaced."""
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base or time_base
    )
    graph.link_nodes(source, graph.add("yadif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            yield graph.vpull()
