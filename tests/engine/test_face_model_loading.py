"""A face model file that cannot be used is refused in one sentence, before anything is computed with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from engine.errors import EngineError
from engine.face.model import load
from tests.engine.faces import write_smaller_model

Parts = tuple[dict[str, np.ndarray], dict[str, str]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smaller_model(tmp_path_factory.mktemp("model") / "good.safetensors")


def refused(path: Path) -> EngineError:
    with pytest.raises(EngineError) as fault:
        load(path)
    assert fault.value.code == "face_model" and str(path) in fault.value.text and fault.value.remedy
    return fault.value


def test_missing_cut_short_and_foreign_files(good: Path, folder: Path) -> None:
    refused(folder / "nowhere.safetensors")
    refused(folder)
    cut = folder / "cut.safetensors"
    for share in (0, 0.1, 0.9, 0.999):
        cut.with_suffix(f".{share}").write_bytes(good.read_bytes()[: int(share * good.stat().st_size)])
        refused(cut.with_suffix(f".{share}"))
    text = folder / "letter.safetensors"
    text.write_text("Dear engine,\n" * 100)
    refused(text)
    other = folder / "other.safetensors"
    save_file({"weight": np.zeros((3, 3), np.float32)}, str(other))
    assert "not a face model" in refused(other).text


def lose(name: str) -> Callable[[Parts], None]:
    return lambda parts: parts[0].__delitem__(name)


def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Parts], None]:
    return lambda parts: parts[0].__setitem__(name, np.ascontiguousarray(change(parts[0][name])))


def head(name: str, value: object) -> Callable[[Parts], None]:
    return lambda parts: parts[1].__setitem__(name, value if isinstance(value, str) else json.dumps(value))


DAMAGE = {
    "no vertices": lose("vertices"),
    "no spread": lose("dense_spread"),
    "parts are no JSON": head("parts", "{"),
    "parts are a list": head("parts", ["skin"]),
    "no skin": head("parts", {"mouth": 1, "eye_left": 7, "eye_right": 8}),
    "one eye": head("parts", {"skin": 0, "eye_left": 7}),
    "expressions are a number": head("expressions", 7),
    "fewer names than expressions": head("expressions", ["jawOpen"]),
    "a triangle beyond the vertices": put("triangles", lambda a: a + 1),
    "a negative corner": put("triangles", lambda a: a - 1),
    "triangles with two corners": put("triangles", lambda a: a[:, :2]),
    "a part for every other triangle": put("triangle_part", lambda a: a[::2]),
    "an identity of other vertices": put("identity", lambda a: a[:, :-1]),
    "expressions in the plane": put("expression", lambda a: a[..., :2]),
    "vertices that are no numbers": put("vertices", lambda a: a * np.nan),
    "67 landmarks": put("landmarks68_triangle", lambda a: a[:67]),
    "landmarks beyond the surface": put("dense_triangle", lambda a: a + 100_000),
    "landmarks with two weights": put("dense_barycentric", lambda a: a[:, :2]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_file_that_contradicts_itself(good: Path, folder: Path, damage: Callable[[Parts], None]) -> None:
    with safe_open(str(good), framework="numpy") as file:
        parts = {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())
    damage(parts)
    path = folder / "damaged.safetensors"
    save_file(parts[0], str(path), parts[1])
    refused(path)
