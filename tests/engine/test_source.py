"""Footage: every source frame is the picture it should be, wherever reading starts, or one clear error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import pytest

from engine.errors import EngineError
from engine.media.image import encode_png
from engine.media.movie import MovieSource
from engine.media.source import FrameSource, Player, open_source
from engine.protocol import Driving
from tests.engine.numbered import number, picture

NTSC = Fraction(24000, 1001)
MOVIES = [
    ("h264.mp4", "libx264"),
    ("prores.mov", "prores_ks"),
    ("h264.mkv", "libx264"),
    ("vp9.webm", "libvpx-vp9"),
    ("mpeg4.avi", "mpeg4"),
    ("h264.ts", "libx264"),
]


def numbers(source: FrameSource, start: int, stop: int) -> list[tuple[int, int]]:
    """(index, number of the picture) of the frames read."""
    return [(index, number(rgb)) for index, rgb in source.frames(start, stop)]


def same(start: int, stop: int) -> list[tuple[int, int]]:
    return [(i, i) for i in range(start, stop)]


@pytest.mark.parametrize(("name", "codec"), MOVIES)
def test_every_frame_of_a_movie_is_its_own(make_movie: Callable[..., Path], name: str, codec: str) -> None:
    source = MovieSource(make_movie(name, 60, codec))
    assert (source.fps, source.count, source.size) == (NTSC, 60, (64, 48))
    assert numbers(source, 0, 60) == same(0, 60)


@pytest.mark.parametrize(("name", "codec"), MOVIES)
def test_reading_may_start_anywhere(make_movie: Callable[..., Path], name: str, codec: str) -> None:
    source = MovieSource(make_movie(name, 60, codec))
    for start, stop in ((3, 5), (47, 50), (48, 49), (55, 60), (59, 60), (10, 10)):
        assert numbers(source, start, stop) == same(start, stop)


def test_varying_rate_shows_each_picture_for_its_own_time(make_movie: Callable[..., Path]) -> None:
    source = MovieSource(make_movie("phone.mkv", times=[0, 1, 2, 5, 6, 10, 11]))
    pictures = [0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5, 6]
    assert source.fps == NTSC
    assert numbers(source, 0, 12) == list(enumerate(pictures))
    assert numbers(source, 4, 8) == list(enumerate(pictures))[4:8]


def test_a_copied_part_of_a_movie_starts_at_its_own_first_frame(make_movie: Callable[..., Path], folder: Path) -> None:
    whole, part = make_movie("whole.mp4"), folder / "part.mp4"
    with av.open(str(whole)) as movie, av.open(str(part), "w") as copy:
        stream = copy.add_stream_from_template(movie.streams.video[0])
        for packet in movie.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - 17 * 1001, packet.dts - 17 * 1001, stream
                copy.mux(packet)  # the file's edit list hides what lies before time 0
    source = MovieSource(part)
    assert source.count == 43
    assert numbers(source, 0, 43) == [(i, i + 17) for i in range(43)]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_movie_filmed_sideways_stands_upright(make_movie: Callable[..., Path], degrees: int) -> None:
    source = MovieSource(make_movie("side.mp4", 3, rotation=degrees))
    (_, rgb), *_ = source.frames(0, 1)
    bright = {  # where the bright half of the picture comes to lie after turning counter-clockwise
        90: rgb[:, : rgb.shape[1] // 2 - 2],
        180: rgb[rgb.shape[0] // 2 + 2 :],
        270: rgb[:, rgb.shape[1] // 2 + 2 :],
    }[degrees]
    assert source.size == rgb.shape[1::-1] == ((64, 48) if degrees == 180 else (48, 64))
    assert bright.mean() > 220 and rgb.mean() < 200


def read_until_fault(source: FrameSource, start: int, stop: int) -> tuple[list[tuple[int, int]], EngineError]:
    good = []
    with pytest.raises(EngineError) as fault:
        for index, rgb in source.frames(start, stop):
            good.append((index, number(rgb)))
    assert str(source.path) in fault.value.text and fault.value.remedy
    return good, fault.value


@pytest.mark.parametrize(("name", "codec"), [MOVIES[0], *MOVIES[2:4]])
def test_a_movie_cut_short_gives_all_its_good_frames_then_says_so(
    make_movie: Callable[..., Path], name: str, codec: str
) -> None:
    path = make_movie(name, 60, codec, index_first=name.endswith("mp4"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = MovieSource(path)
    good, fault = read_until_fault(source, 0, source.count)
    # Matroska keeps no list of its pictures: one that was lost between the last few cannot be told from a long one.
    sure = len(good) - (4 if name.endswith("mkv") else 0)
    assert 10 < sure < 50 and good[:sure] == same(0, sure)
    assert fault.code == "truncated_movie" and f"is {len(good) - 1}." in fault.text
    assert numbers(source, 0, len(good)) == good


def test_a_movie_cut_short_before_its_index_says_so(make_movie: Callable[..., Path]) -> None:
    path = make_movie("late.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(EngineError) as fault:
        MovieSource(path)
    assert fault.value.code == "truncated_movie" and str(path) in fault.value.text


def test_damage_in_the_middle_stops_at_the_last_good_frame(make_movie: Callable[..., Path]) -> None:
    path = make_movie("hole.mp4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    good, fault = read_until_fault(MovieSource(path), 0, 60)
    # Decoding on several threads, FFmpeg sometimes conceals a picture next to the damage instead of reporting it.
    sure = len(good) - 4
    assert fault.code == "truncated_movie" and sure > 10 and good[:sure] == same(0, sure)
    assert f"is {len(good) - 1}." in fault.text


def test_frames_beyond_the_end_are_refused(make_movie: Callable[..., Path]) -> None:
    source = MovieSource(make_movie("short.mkv", 20))
    with pytest.raises(EngineError, match="ends with source frame 19") as fault:
        source.check([3, 20])
    assert fault.value.code == "frame_out_of_range"
    good, fault = read_until_fault(source, 18, 22)
    assert good == same(18, 20) and fault.code == "frame_out_of_range" and "frame 19" in fault.text


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("text.mp4", b"these are words, not pictures", "not_a_movie"),
        ("words.txt", b"these are words, not pictures", "not_a_movie"),
        ("empty.mov", b"", "not_a_movie"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n#EXT-X-ENDLIST\n", "not_a_movie"),
        ("gone.mp4", None, "missing_file"),
    ],
)
def test_what_is_no_movie_is_refused(folder: Path, name: str, content: bytes | None, code: str) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(EngineError) as fault:
        open_source(Driving("movie", str(folder / name)), NTSC)
    assert fault.value.code == code and name in fault.value.text and fault.value.remedy


def sequence(folder: Path, names: list[str]) -> Driving:
    for i, name in enumerate(names):
        (folder / name).write_bytes(encode_png(picture(i)))
    return Driving("sequence", str(folder), tuple(names))


def test_a_sequence_keeps_the_order_it_was_given(folder: Path) -> None:
    driving = sequence(folder, ["ü 9.png", "ü 10.png", "a.png", "ü 1.png"])
    source = open_source(driving, NTSC)
    assert (source.fps, source.count, source.size) == (NTSC, 4, (64, 48))
    assert numbers(source, 1, 4) == same(1, 4)
    assert source.files([3, 0, 3]) == [folder / "ü 9.png", folder / "ü 1.png"]


def test_a_gap_in_a_sequence_is_named(folder: Path) -> None:
    driving = sequence(folder, ["s.1.png", "s.2.png", "s.3.png"])
    (folder / "s.2.png").unlink()
    good, fault = read_until_fault(open_source(driving, NTSC), 0, 3)
    assert good == same(0, 1) and fault.code == "missing_frame" and "s.2.png" in fault.text


def test_a_sequence_of_two_sizes_or_with_a_broken_image_is_refused(folder: Path) -> None:
    driving = sequence(folder, ["s.1.png", "s.2.png", "s.3.png"])
    (folder / "s.2.png").write_bytes(encode_png(picture(4, width=80)))
    (folder / "s.3.png").write_bytes(b"")
    source = open_source(driving, NTSC)
    for start in (1, 2):
        _, fault = read_until_fault(source, start, 3)
        assert fault.code == "not_an_image" and f"s.{start + 1}.png" in fault.text


def test_a_player_gives_any_frame_and_decodes_in_step(make_movie: Callable[..., Path]) -> None:
    player = Player(MovieSource(make_movie("clip.mp4", 12)))
    with closing(player):
        assert [number(player.frame(index)) for index in (2, 2, 5, 6, 1, 11)] == [2, 2, 5, 6, 1, 11]
