"""The motion file: whole or absent, readable by people and by numpy, refused in one sentence if it is not sound."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError
from engine.motion.format import MAX_BYTES, MAX_FRAMES, MOTION, pack, unpack
from engine.motion.motion import SUFFIX, Motion, Tracked
from engine.takes.fingerprint import content_hash
from tests.engine.faces import retracked, tracked_of
from tests.engine.test_walls import ROOT, imports

Header = dict[str, Any]
Arrays = dict[str, np.ndarray]


@pytest.fixture
def motion() -> Motion:
    """Seven frames of two expressions, the third and fourth without a face."""
    random = np.random.default_rng(0)
    valid = np.ones(7, bool)
    valid[[2, 3]] = False
    return Motion(
        expression_names=("jawOpen", "eyeBlink_L"),
        expression=random.random((7, 2)),
        rotation=np.tile(np.eye(3), (7, 1, 1)),
        translation=random.normal(0, 10, (7, 3)) - [0, 0, 60],
        gaze=random.normal(0, 0.2, (7, 2, 2)),
        valid=valid,
        start=100,
        rate=Fraction(24000, 1001),
        neutral=104,
        tracked=Tracked(
            offsets=random.normal(0, 0.1, (7, 68, 3)),
            residual=random.random(7),
            confidence=random.random(7),
            identity=random.normal(size=5),
            detector="builtin",
            model="5f" * 32,
            size=(640, 360),
        ),
        mouth={"teethUpper": random.random(7), "lipGap": random.random(7)},
    )


@pytest.fixture
def file(motion: Motion, folder: Path) -> Path:
    path = folder / f"aufführung 顔{SUFFIX}"
    motion.save(path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(EngineError) as fault:
        Motion.load(path)
    assert fault.value.code == "motion" and str(path) in fault.value.text and fault.value.remedy
    return fault.value.text


def assert_same(kept: Motion | Tracked, was: Motion | Tracked) -> None:
    for field in fields(was):
        a, b = getattr(kept, field.name), getattr(was, field.name)
        if isinstance(b, np.ndarray):
            assert a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-6), field.name
        elif isinstance(b, dict):
            assert a.keys() == b.keys() and all(np.allclose(a[name], b[name], atol=1e-6) for name in b)
        elif field.name != "tracked":
            assert a == b


def test_what_is_saved_is_loaded(motion: Motion, file: Path) -> None:
    again = Motion.load(file)
    assert_same(again, motion)
    assert_same(tracked_of(again), tracked_of(motion))
    assert again.valid.dtype == bool
    assert (len(again), again.start, again.stop) == (7, 100, 107)


def test_a_rig_s_motion_has_no_tracked_part(motion: Motion, file: Path) -> None:
    replace(motion, tracked=None).save(file)
    again = Motion.load(file)
    assert again.tracked is None
    assert_same(again, motion)


def test_a_motion_that_says_nothing_of_the_mouth_is_loaded(motion: Motion, file: Path) -> None:
    replace(motion, mouth={}).save(file)
    assert Motion.load(file).mouth == {}
    header, arrays = unpack(file, MOTION)
    del header["mouth"]  # as files of earlier versions
    file.write_bytes(pack(MOTION, header, arrays))
    assert Motion.load(file).mouth == {}


@pytest.mark.parametrize("names", [["teethUpper"], ["teethUpper", "teethUpper"], ["lipGap", "teeth", "tongue"], 3])
def test_curves_of_the_mouth_that_are_not_there_are_refused(file: Path, names: Any) -> None:
    header, arrays = unpack(file, MOTION)
    file.write_bytes(pack(MOTION, header | {"mouth": names}, arrays))
    refused(file)


def test_the_same_motion_is_the_same_file(motion: Motion, file: Path) -> None:
    first = file.read_bytes()
    motion.save(file)
    assert file.read_bytes() == first
    Motion.load(file).save(file)
    assert file.read_bytes() == first


def test_a_take_s_fingerprint_sees_every_number_of_it(motion: Motion, file: Path) -> None:
    before = content_hash(motion)
    assert content_hash(Motion.load(file)) == before
    offsets = tracked_of(motion).offsets.copy()
    offsets[3, 30, 1] += 0.1
    assert content_hash(retracked(motion, offsets=offsets)) != before


def test_numpy_and_people_can_read_it(file: Path) -> None:
    with np.load(file, allow_pickle=False) as arrays:
        assert arrays["expression"].shape == (7, 2) and arrays["expression"].dtype == np.float32
    header = json.loads(zipfile.ZipFile(file).read("header.json"))
    assert (header["format"], header["version"], header["frames"], header["start"]) == (MOTION, 1, 7, 100)
    assert header["rate"] == [24000, 1001] and header["neutral_frame"] == 104 and header["frames_without_face"] == 2
    assert header["expressions"] == ["jawOpen", "eyeBlink_L"]
    assert header["tracked"]["detector"] == "builtin" and header["tracked"]["size"] == [640, 360]


def test_the_format_needs_no_more_than_blender_has() -> None:
    used = {name.split(".")[0] for name in imports(ROOT / "engine" / "motion" / "format.py")}
    assert used <= {*sys.stdlib_module_names, "numpy"}


def test_missing_foreign_and_cut_short_files(file: Path, folder: Path) -> None:
    refused(folder / "nowhere.motion.npz")
    refused(folder)
    whole = file.read_bytes()
    for foreign in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"{}", b"PK\x05\x06" + bytes(18)):
        file.write_bytes(foreign)
        refused(file)
    for length in range(0, len(whole), 97):
        file.write_bytes(whole[:length])
        refused(file)


def test_files_of_earlier_versions_are_to_be_analysed_again(folder: Path) -> None:
    file = folder / "old.performance"
    file.write_bytes(b'UNDERSTUDY PERFORMANCE\n{"version": 2}\n\n')
    assert "a performance file of an earlier version" in refused(file)


def test_damaged_bytes_are_never_another_motion(motion: Motion, file: Path) -> None:
    whole = file.read_bytes()
    for place in range(0, len(whole), 211):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            again = Motion.load(file)
        except EngineError as fault:
            assert fault.code == "motion"
        else:
            assert_same(again, motion)


def rewrite(file: Path, header: Callable[[Header], Any], arrays: Callable[[Arrays], Any]) -> None:
    """Change a file as someone with an editor might; the callables change their argument or return another."""
    with np.load(file, allow_pickle=False) as npz:
        found = {name: npz[name] for name in npz.files if name != "header.json"}
        title = json.loads(npz["header.json"])
    title, found = header(title) or title, arrays(found) or found
    write(file, json.dumps(title).encode(), found)


def write(file: Path, header: bytes, arrays: Arrays) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", header)
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array)
            archive.writestr(f"{name}.npy", data.getvalue())


def say(**changes: Any) -> Callable[[Header], None]:
    return lambda header: header.update(changes)


ABSURD_HEADERS: dict[str, Callable[[Header], Any]] = {
    "a list": lambda header: [header],
    "another format": say(format="understudy-curves"),
    "a newer version": say(version=9),
    "no expressions": lambda header: header.pop("expressions") and header,
    "expressions are a number": say(expressions=3),
    "expressions are a text": say(expressions="ab"),
    "an expression twice": say(expressions=["jawOpen", "jawOpen"]),
    "one name too many": say(expressions=["jawOpen", "eyeBlink_L", "eyeBlink_R"]),
    "minus one frames": say(frames=-1),
    "too many frames": say(frames=MAX_FRAMES + 1),
    "endless frames": say(frames=float("inf")),
    "start is a word": say(start="early"),
    "start is a fraction": say(start=99.5),
    "a rate over zero": say(rate=[24, 0]),
    "no rate": say(rate=[0, 1]),
    "a rate of words": say(rate=["quick", "slow"]),
    "a neutral frame before the first": say(neutral_frame=99),
    "a neutral frame after the last": say(neutral_frame=107),
    "tracked is a word": say(tracked="yes"),
    "a size of one number": lambda header: header["tracked"].update(size=[640]),
}
ABSURD_ARRAYS: dict[str, Callable[[Arrays], Any]] = {
    "no rotation": lambda a: a.pop("rotation") is None,
    "no identity": lambda a: a.pop("identity") is None,
    "a frame too few": lambda a: a.update(gaze=a["gaze"][1:]),
    "no face in any frame": lambda a: a.update(valid=a["valid"] * 0),
    "rotations in the plane": lambda a: a.update(rotation=a["rotation"][:, :2]),
    "rotations of zeros": lambda a: a.update(rotation=a["rotation"] * 0),
    "mirrored heads": lambda a: a.update(rotation=a["rotation"] * -1),
    "heads behind the camera": lambda a: a.update(translation=-a["translation"]),
    "confidence twice": lambda a: a.update(confidence=np.tile(a["confidence"][:, None], 2)),
    "offsets in a heap": lambda a: a.update(offsets=a["offsets"].reshape(7, -1)),
    "offsets that are not numbers": lambda a: a.update(offsets=a["offsets"] * np.float32(np.nan)),
    "an endless expression": lambda a: a.update(expression=a["expression"] + np.float32(np.inf)),
    "an identity for every frame": lambda a: a.update(identity=a["identity"][None]),
    "complex numbers": lambda a: a.update(expression=a["expression"].astype(complex)),
    "texts": lambda a: a.update(expression=a["expression"].astype(str)),
    "bytes for numbers": lambda a: a.update(expression=a["expression"].astype(np.uint8)),
    "columns first": lambda a: a.update(expression=np.asfortranarray(a["expression"])),
}


@pytest.mark.parametrize("change", ABSURD_HEADERS.values(), ids=ABSURD_HEADERS.keys())
def test_an_absurd_header(file: Path, change: Callable[[Header], Any]) -> None:
    rewrite(file, change, lambda arrays: None)
    refused(file)


@pytest.mark.parametrize("change", ABSURD_ARRAYS.values(), ids=ABSURD_ARRAYS.keys())
def test_absurd_arrays(file: Path, change: Callable[[Arrays], Any]) -> None:
    rewrite(file, lambda header: None, lambda arrays: change(arrays) and None)
    refused(file)


def test_headers_that_only_look_like_json(file: Path) -> None:
    for text in (b"\xff\xfe{}", b"[" * 100_000, b'{"version": 1', b"null", b"1" * 10_000, b" " * (1 << 21)):
        write(file, text, {})
        refused(file)


def test_objects_are_never_unpickled(file: Path, folder: Path) -> None:
    bait = folder / "executed"
    thing = b"cposix\nsystem\n(S'touch \"%s\"'\ntR." % str(bait).encode()
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "|O", "fortran_order": False, "shape": (7, 2)})
    header = zipfile.ZipFile(file).read("header.json")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", header)
        archive.writestr("expression.npy", data.getvalue() + thing)
    assert "no plain array" in refused(file) and not bait.exists()


def test_a_small_file_cannot_fill_the_memory(file: Path) -> None:
    """By its size in the directory, by a size that is a lie there, and by a shape that its bytes do not fill."""
    rewrite(file, lambda header: None, lambda arrays: {"expression": np.zeros(1 << 24, np.float32)})
    assert file.stat().st_size < 1 << 17
    assert "more than its header says" in refused(file)
    bomb = file.read_bytes()
    unpacked = (128 + (1 << 26)).to_bytes(4, "little")
    assert bomb.count(unpacked) == 2
    file.write_bytes(bomb.replace(unpacked, (1 << 10).to_bytes(4, "little")))
    refused(file)
    file.write_bytes(bomb.replace(unpacked, (MAX_BYTES + 1).to_bytes(4, "little")))
    assert "too large" in refused(file)
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "<f4", "fortran_order": False, "shape": (7, 10**12)})
    header = zipfile.ZipFile(io.BytesIO(bomb)).read("header.json")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", header)
        archive.writestr("expression.npy", data.getvalue())
    assert "no plain array" in refused(file)


def test_what_cannot_be_stored_is_not_written() -> None:
    with pytest.raises(ValueError):
        pack(MOTION, {"frames": float("nan")}, {})


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(motion: Motion, file: Path) -> None:
    resource = pytest.importorskip("resource")
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        for path in (file, file.with_name(f"new{SUFFIX}")):
            with pytest.raises(EngineError) as fault:
                replace(motion, start=99).save(path)
            assert fault.value.code == "not_writable" and str(path.parent) in fault.value.text
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_missing_folder_is_named(motion: Motion, folder: Path) -> None:
    with pytest.raises(EngineError) as fault:
        motion.save(folder / "gone" / f"a{SUFFIX}")
    assert fault.value.code == "not_writable" and str(folder / "gone") in fault.value.text
    assert list(folder.iterdir()) == []
