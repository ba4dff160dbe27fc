"""Movies as cameras, browsers and old tools write them: each kind read as people see it, wherever reading starts."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.media.movie import MovieSource
from engine.media.picture import tone_mapped
from tests.engine.numbered import number, picture

COUNT = 70  # more than are skipped before a seek


def write(
    path: Path,
    codec: str,
    pixels: str = "yuv420p",
    rate: Fraction = Fraction(25),
    times: list[int] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
    image: Callable[[int], np.ndarray] = picture,
    count: int = COUNT,
    **container: Any,
) -> Path:
    """A movie of numbered pictures; ``times`` are milliseconds, else pictures come at ``rate``."""
    with av.open(str(path), "w", **container) as movie:
        stream: Any = movie.add_stream(codec, rate=rate)
        height, width = image(0).shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.time_base = 1 / rate if times is None else Fraction(1, 1000)
        prepare(stream)
        for i, time in enumerate(times or range(count)):
            frame = paletted(image(i)) if pixels == "pal8" else av.VideoFrame.from_ndarray(image(i), format="rgb24")
            frame.pts, frame.time_base = time, stream.codec_context.time_base
            movie.mux(stream.encode(frame))
        movie.mux(stream.encode(None))
    return path


def paletted(rgb: np.ndarray) -> av.VideoFrame:
    ramp = np.arange(256, dtype=np.uint8)
    greys = np.column_stack([ramp, ramp, ramp, np.full(256, 255, np.uint8)])
    indexed: Any = (rgb.mean(axis=2).astype(np.uint8), greys)
    return av.VideoFrame.from_ndarray(indexed, format="pal8")


def read(source: MovieSource, start: int, stop: int) -> list[int]:
    return [number(rgb) for _, rgb in source.frames(start, stop)]


def b_frames(stream: Any) -> None:
    stream.codec_context.max_b_frames, stream.codec_context.gop_size = 3, 12


KINDS: dict[str, dict[str, Any]] = {
    "reordered.avi": {"codec": "libx264", "prepare": b_frames},
    "program.mpg": {"codec": "mpeg2video", "prepare": b_frames, "format": "mpeg"},
    "raw.h264": {"codec": "libx264", "prepare": b_frames, "format": "h264"},
    "palette.avi": {"codec": "rawvideo", "pixels": "pal8"},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_picture_is_seen_in_its_place(folder: Path, name: str) -> None:
    source = MovieSource(write(folder / name, **KINDS[name]))
    assert source.count == COUNT and read(source, 0, COUNT) == list(range(COUNT))
    for start in (49, 53, 60, 67):
        assert read(source, start, start + 3) == list(range(start, start + 3))


def test_a_rate_that_counts_ticks_is_replaced_by_the_one_that_is_seen(folder: Path) -> None:
    times = [round(i * 100 / 3) for i in range(60) if i % 7 != 3]  # a browser drops pictures when it is busy
    path = write(folder / "browser.webm", "libvpx", rate=Fraction(1000), times=times)
    source = MovieSource(path)
    assert source.fps == 30 and source.count == 59
    shown = read(source, 0, 59)
    assert shown[:8] == [0, 1, 2, 2, 3, 4, 5, 6] and max(shown) == len(times) - 1


def test_a_picture_is_not_shown_before_its_time(folder: Path) -> None:
    source = MovieSource(write(folder / "phone.mkv", "libx264", rate=Fraction(30), times=[0, 33, 60, 117, 133, 167]))
    assert read(source, 0, source.count) == [0, 1, 2, 2, 4, 5]  # as Blender: 60 ms is past frame 2's 67, 117 past 3's


def test_pixels_are_square(folder: Path) -> None:
    def anamorphic(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = MovieSource(write(folder / "wide.mp4", "libx264", prepare=anamorphic, count=3))
    (_, rgb), *_ = source.frames(0, 1)
    assert source.size == (85, 48) == rgb.shape[1::-1]


@pytest.mark.parametrize(
    ("matrix", "view"),
    [
        ((-1, 0, 0, 1), lambda rgb: rgb[:, ::-1]),
        ((1, 0, 0, -1), lambda rgb: rgb[::-1]),
        ((0, 1, 1, 0), lambda rgb: rgb.transpose(1, 0, 2)),
    ],
)
def test_a_mirrored_movie_is_mirrored(folder: Path, matrix: tuple[int, ...], view: Callable) -> None:
    def plain(index: int) -> np.ndarray:
        rows, columns = np.mgrid[0:48, 0:64]
        return np.dstack([rows * 4, columns * 3, 0 * rows]).astype(np.uint8)

    a, b, c, d = (value << 16 for value in matrix)
    path = write(folder / "turned.mp4", "libx264", image=plain, count=2, prepare=lambda stream: (
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
    ))  # fmt: skip
    (_, rgb), *_ = MovieSource(path).frames(0, 1)
    expected = view(plain(0))
    assert rgb.shape == expected.shape and np.abs(rgb.astype(int) - expected).mean() < 6


def test_interlaced_fields_are_brought_together(folder: Path) -> None:
    def combed(index: int) -> np.ndarray:
        """A bright bar that moves between the two fields of a picture."""
        rgb = np.full((48, 64, 3), 20, np.uint8)
        for field in range(2):
            left = 2 * (2 * index + field)
            rgb[field::2, left : left + 16] = 230
        return rgb

    def interlaced(stream: Any) -> None:
        stream.codec_context.options = {"flags": "+ilme+ildct", "top": "1", "field_order": "tt"}
        stream.bit_rate = 4_000_000

    path = write(folder / "tape.mpg", "mpeg2video", image=combed, count=8, prepare=interlaced, format="mpeg")
    source = MovieSource(path)
    frames = [rgb.astype(int) for _, rgb in source.frames(0, source.count)]
    assert len(frames) == 8 and [remark.code for remark in source.remarks] == ["deinterlaced"]
    for rgb in frames[2:6]:
        assert np.abs(np.diff(rgb[..., 1], axis=0)).max(axis=1).mean() < 60, "rows of two moments stand side by side"


def test_hdr_is_tone_mapped_and_said(folder: Path) -> None:
    def hdr(stream: Any) -> None:
        stream.codec_context.color_trc, stream.codec_context.color_primaries = 16, 9
        stream.codec_context.colorspace = 9

    path = write(folder / "phone.mkv", "libx265", "yuv420p10le", count=2, prepare=hdr)
    source = MovieSource(path)
    assert [remark.code for remark in source.remarks] == ["hdr_tone_mapped"]
    (_, rgb), *_ = source.frames(0, 1)
    assert rgb.dtype == np.uint8 and rgb.shape == (48, 64, 3)


def test_tone_mapping_keeps_greys_grey_and_white_white() -> None:
    nits = np.array([0.0, 1.0, 26.0, 203.0, 1000.0])
    power = (nits / 10_000) ** 0.1593017578125
    signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    shown = tone_mapped(np.repeat(signal[None, :, None], 3, axis=2).astype(np.float32), hlg=False)[0]
    assert np.ptp(shown.astype(int), axis=1).max() <= 1
    levels = shown[:, 1].astype(int)
    assert levels[0] == 0 and list(levels) == sorted(levels) and 150 < levels[3] < 240 and levels[4] >= 254
