"""Stills: whatever comes in becomes upright 8-bit RGB or one clear error; whatever goes out is whole."""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from engine.errors import EngineError
from engine.media.image import MAX_SIDE, encode_png, read_image, write_atomic, write_fault

RGB = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def refused(path: Path) -> EngineError:
    with pytest.raises(EngineError) as fault:
        read_image(path)
    assert fault.value.code == "not_an_image" and str(path) in fault.value.text and fault.value.remedy
    return fault.value


def test_a_file_that_somebody_reads_for_a_moment_is_replaced(folder: Path, busy: Callable[[str], None]) -> None:
    (folder / "a").write_bytes(b"old")
    busy("replace")
    write_atomic(folder / "a", b"new")
    assert (folder / "a").read_bytes() == b"new" and len(list(folder.iterdir())) == 1


def test_what_never_ends_is_not_read(folder: Path) -> None:
    with open(folder / "a.png", "wb") as file:
        file.truncate((1 << 31) + 1)
    assert "2 GiB" in str(refused(folder / "a.png"))
    if os.name == "posix":
        os.mkfifo(folder / "pipe.png")
        answers: list[EngineError] = []
        reader = threading.Thread(target=lambda: answers.append(refused(folder / "pipe.png")), daemon=True)
        reader.start()
        reader.join(10)
        assert answers and "plain file" in str(answers[0])


def test_what_is_written_is_read_back_exactly(folder: Path) -> None:
    path = folder / "bild.png"
    write_atomic(path, encode_png(RGB))
    assert np.array_equal(read_image(path), RGB)
    assert [entry.name for entry in folder.iterdir()] == ["bild.png"]


def test_alpha_is_dropped_and_grey_becomes_rgb(folder: Path) -> None:
    rgba = np.dstack([RGB[..., ::-1], np.zeros((30, 40), np.uint8)])
    assert np.array_equal(read_image(save(folder / "a.png", rgba)), RGB)
    assert np.array_equal(read_image(save(folder / "g.png", RGB[..., 0])), np.repeat(RGB[..., :1], 3, axis=2))


def test_16_bits_are_rounded_to_8(folder: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), np.uint16)
    expected = np.round(deep[..., ::-1] / 257).astype(np.uint8)
    assert np.array_equal(read_image(save(folder / "deep.png", deep)), expected)
    assert np.array_equal(read_image(save(folder / "deep.tif", deep)), expected)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_orientation_is_honoured(folder: Path, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = folder / "phone.jpg"
    Image.fromarray(np.repeat(np.repeat(RGB // 32 * 32, 8, 0), 8, 1)).save(path, exif=exif, quality=95, subsampling=0)
    plain = folder / "plain.jpg"
    Image.fromarray(np.repeat(np.repeat(RGB // 32 * 32, 8, 0), 8, 1)).save(plain, quality=95, subsampling=0)
    assert np.array_equal(read_image(path), np.rot90(read_image(plain), turns))


def test_what_is_no_image_is_refused(folder: Path) -> None:
    text = folder / "text.png"
    text.write_text("not a picture")
    empty = folder / "empty.png"
    empty.touch()
    cut = save(folder / "cut.jpg", RGB)
    cut.write_bytes(cut.read_bytes()[:40])
    for path in (text, empty, cut, folder / "absent.png", folder):
        refused(path)


def test_scene_linear_values_are_refused(folder: Path) -> None:
    assert "sRGB" in refused(save(folder / "hdr.tif", RGB.astype(np.float32))).remedy


def test_an_absurd_size_is_refused_before_it_is_decoded(folder: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = folder / "bomb.png"
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))))
    refused(bomb)
    refused(save(folder / "long.png", np.zeros((1, MAX_SIDE + 1, 3), np.uint8)))


def test_a_new_file_replaces_the_old_one_and_others_may_read_it(folder: Path) -> None:
    path = folder / "f.png"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    plain = folder / "plain"
    plain.touch()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left(folder: Path) -> None:
    blocked = folder / "file"
    blocked.touch()
    with pytest.raises(EngineError) as fault:
        write_atomic(blocked / "f.png", b"data")
    assert fault.value.code == "not_writable" and str(blocked) in fault.value.text
    taken = folder / "taken.png"
    taken.mkdir()
    with pytest.raises(EngineError, match="not"):
        write_atomic(taken, b"data")
    assert sorted(os.listdir(folder)) == ["file", "taken.png"]


def test_a_full_disk_is_called_that(folder: Path) -> None:
    assert write_fault(folder, OSError(errno.ENOSPC, "No space left on device")).code == "disk_full"
    assert write_fault(folder, OSError(errno.EACCES, "Permission denied")).code == "not_writable"


def _matrix_profile(primaries: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """An ICC profile (version 2) of an RGB space: its primaries as XYZ relative to D50, and one gamma."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    tags = {
        b"desc": text,
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
        b"cprt": b"text" + bytes(4) + b"-\0",
    }
    for name, xyz in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*xyz)
        tags[name + b"TRC"] = curve
    table, body = b"", b""
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value
    size = 132 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


# The primaries of Adobe RGB (1998) adapted to D50, from its own profile.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_an_embedded_profile_is_converted(folder: Path, suffix: str) -> None:
    flat = np.empty((16, 16, 3), np.uint8)
    flat[:] = 90, 160, 110
    path = folder / f"wide{suffix}"
    Image.fromarray(flat).save(path, icc_profile=_matrix_profile(ADOBE, 2.2), quality=100)
    # By hand: Adobe RGB decoded with gamma 2.2 (563/256), its matrix, the inverse of sRGB's (D50), sRGB's curve.
    linear = (flat[0, 0] / 255) ** 2.2
    srgb = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    light = np.clip(np.linalg.inv(srgb) @ np.array(ADOBE).T @ linear, 0, 1)
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(read_image(path)[8, 8] - expected).max() < 3
    assert np.abs(flat[0, 0] - expected).max() > 15


def test_an_srgb_profile_and_a_broken_one_change_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, profile in (
        ("s.png", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        ("b.png", b"x"),
    ):
        Image.fromarray(RGB).save(folder / name, icc_profile=profile)
        assert np.array_equal(read_image(folder / name), RGB)
    assert "cannot be read" in caplog.text


def test_tga_and_cmyk_are_read(folder: Path) -> None:
    Image.fromarray(RGB).save(folder / "a.tga")
    assert np.array_equal(read_image(folder / "a.tga"), RGB)
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(folder / "c.jpg", quality=100)
    assert np.abs(read_image(folder / "c.jpg")[8, 8].astype(int) - [0, 255, 255]).max() < 4
