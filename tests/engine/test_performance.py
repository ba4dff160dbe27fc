"""The performance file: whole or absent, readable by people, refused in one sentence when it is not what it says."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from engine.errors import EngineError
from engine.motion.performance import MAGIC, Performance

ARRAYS = (*("expression", "rotation", "translation", "gaze", "offsets", "confidence", "residual", "valid", "identity"),)
SPLIT = b"\n\n"


@pytest.fixture
def performance() -> Performance:
    """Seven frames of two expressions, the third and fourth without a face."""
    random = np.random.default_rng(0)
    valid = np.ones(7, bool)
    valid[[2, 3]] = False
    return Performance(
        expression_names=("jawOpen", "eyeBlink_L"),
        expression=random.random((7, 2)),
        rotation=np.tile(np.eye(3), (7, 1, 1)),
        translation=random.normal(0, 10, (7, 3)) - [0, 0, 60],
        gaze=random.normal(0, 0.2, (7, 2, 2)),
        offsets=random.normal(0, 0.1, (7, 68, 3)),
        confidence=random.random(7),
        residual=random.random(7),
        valid=valid,
        identity=random.normal(size=5),
        start=100,
        fps=Fraction(24000, 1001),
        size=(640, 360),
        neutral=104,
        detector="mediapipe",
        model="5f" * 32,
    )


@pytest.fixture
def file(performance: Performance, folder: Path) -> Path:
    path = folder / "aufführung 顔.performance"
    performance.save(path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(EngineError) as fault:
        Performance.load(path)
    assert fault.value.code == "performance" and str(path) in fault.value.text and fault.value.remedy
    return fault.value.text


def test_what_is_saved_is_loaded(performance: Performance, file: Path) -> None:
    again = Performance.load(file)
    for field in fields(Performance):
        if field.name in ARRAYS:
            kept, was = getattr(again, field.name), getattr(performance, field.name)
            assert kept.shape == was.shape and np.allclose(kept, was, rtol=1e-6, atol=1e-6), field.name
        else:
            assert getattr(again, field.name) == getattr(performance, field.name)
    assert again.valid.dtype == bool
    assert (len(again), again.start, again.stop) == (7, 100, 107)
    again.save(file)
    twice = Performance.load(file)
    assert all(np.array_equal(getattr(again, name), getattr(twice, name)) for name in ARRAYS)


def test_the_header_reads_as_text(file: Path) -> None:
    title, _, rest = file.read_bytes().partition(b"\n")
    assert title == b"UNDERSTUDY PERFORMANCE"
    header = json.loads(rest.partition(SPLIT)[0])
    assert header["version"] == 2 and header["frames"] == 7 and header["start"] == 100
    assert header["fps"] == [24000, 1001] and header["size"] == [640, 360]
    assert header["neutral_frame"] == 104 and header["frames_without_face"] == [102, 103]
    assert header["expressions"] == ["jawOpen", "eyeBlink_L"] and header["detector"] == "mediapipe"


def test_missing_foreign_and_cut_short_files(file: Path, folder: Path) -> None:
    refused(folder / "nowhere.performance")
    refused(folder)
    whole = file.read_bytes()
    for foreign in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"{}", whole[1:], MAGIC, MAGIC + b"{}"):
        file.write_bytes(foreign)
        refused(file)
    for length in range(len(MAGIC), len(whole), 97):
        file.write_bytes(whole[:length])
        refused(file)
    file.write_bytes(whole[:-1])
    assert "cut short" in refused(file)


def test_a_newer_version_says_so(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"version": 2', b'"version": 9', 1))
    assert "version is 9" in refused(file)


Header = dict[str, Any]
Tensors = dict[str, np.ndarray]


def rewrite(file: Path, header: Callable[[Header], Any], tensors: Callable[[Tensors], Any]) -> None:
    """Change a file as someone with an editor might; the callables change their argument or return another."""
    head, _, payload = file.read_bytes()[len(MAGIC) :].partition(SPLIT)
    title, arrays = json.loads(head), load(zlib.decompress(payload))
    title, arrays = header(title) or title, tensors(arrays) or arrays
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    file.write_bytes(MAGIC + json.dumps(title, indent=1).encode() + SPLIT + zlib.compress(save(arrays)))


def say(**changes: Any) -> Callable[[Header], None]:
    return lambda header: header.update(changes)


ABSURD_HEADERS: dict[str, Callable[[Header], Any]] = {
    "a list": lambda header: [header],
    "no expressions": lambda header: header.pop("expressions") and header,
    "expressions are a number": say(expressions=3),
    "one name too many": say(expressions=["jawOpen", "eyeBlink_L", "eyeBlink_R"]),
    "minus one frames": say(frames=-1),
    "a thousand million frames": say(frames=10**9),
    "endless frames": say(frames=float("inf")),
    "start is a word": say(start="early"),
    "a rate over zero": say(fps=[24, 0]),
    "no rate": say(fps=[0, 1]),
    "a rate of words": say(fps=["quick", "slow"]),
    "a size of one number": say(size=[640]),
    "a neutral frame before the first": say(neutral_frame=99),
    "a neutral frame after the last": say(neutral_frame=107),
}
ABSURD_ARRAYS: dict[str, Callable[[Tensors], Any]] = {
    "no rotation": lambda t: t.pop("rotation") is None,
    "no identity": lambda t: t.pop("identity") is None,
    "a frame too few": lambda t: t.update(gaze=t["gaze"][1:]),
    "no frames": lambda t: t.update({name: array[:0] for name, array in t.items()}),
    "no face in any frame": lambda t: t.update(valid=t["valid"] * 0),
    "rotations in the plane": lambda t: t.update(rotation=t["rotation"][:, :2]),
    "rotations that are none": lambda t: t.update(rotation=t["rotation"] * 0),
    "heads behind the camera": lambda t: t.update(translation=-t["translation"]),
    "confidence twice": lambda t: t.update(confidence=np.tile(t["confidence"][:, None], 2)),
    "offsets in a heap": lambda t: t.update(offsets=t["offsets"].reshape(7, -1)),
    "offsets that are no numbers": lambda t: t.update(offsets=t["offsets"] * np.nan),
    "an endless expression": lambda t: t.update(expression=t["expression"] + np.inf),
    "an identity that is no number": lambda t: t.update(identity=t["identity"] * np.nan),
    "an identity for every frame": lambda t: t.update(identity=t["identity"][None]),
}


@pytest.mark.parametrize("change", ABSURD_HEADERS.values(), ids=ABSURD_HEADERS.keys())
def test_an_absurd_header(file: Path, change: Callable[[Header], Any]) -> None:
    rewrite(file, change, lambda tensors: None)
    refused(file)


@pytest.mark.parametrize("change", ABSURD_ARRAYS.values(), ids=ABSURD_ARRAYS.keys())
def test_absurd_arrays(file: Path, change: Callable[[Tensors], Any]) -> None:
    rewrite(file, lambda header: None, lambda tensors: change(tensors) and None)
    refused(file)


def test_headers_that_only_look_like_json(file: Path) -> None:
    for text in (b"\xff\xfe{}", b"[" * 100_000, b'{"version": 1', b"null", b"1" * 10_000):
        file.write_bytes(MAGIC + text + SPLIT)
        refused(file)


def test_a_small_file_cannot_fill_the_memory(file: Path) -> None:
    head, _, _ = file.read_bytes().partition(SPLIT)
    bomb = zlib.compress(bytes(1 << 26), 9)  # 64 MB of zeros
    assert len(bomb) < 1 << 17
    file.write_bytes(head + SPLIT + bomb)
    assert "more than its header says" in refused(file)


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(performance: Performance, file: Path) -> None:
    resource = pytest.importorskip("resource")
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        for path in (file, file.with_name("new.performance")):
            with pytest.raises(EngineError) as fault:
                replace(performance, start=7).save(path)
            assert fault.value.code == "not_writable" and str(path.parent) in fault.value.text
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_missing_folder_is_named(performance: Performance, folder: Path) -> None:
    with pytest.raises(EngineError) as fault:
        performance.save(folder / "gone" / "a.performance")
    assert fault.value.code == "not_writable" and str(folder / "gone") in fault.value.text
    assert list(folder.iterdir()) == []
