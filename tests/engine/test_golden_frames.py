"""The frames of a fixed clip stay what they are: a change of structure must not change a picture.

``OPENBLAS_NUM_THREADS=1 python -m tests.engine.test_golden_frames`` records them anew, after an intended change of
pictures that has raised ``PICTURES``: takes that were begun before it must not be finished after it. Another processor
may round differently; then thumbnails decide, and :func:`rounding` tells processors apart.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tests.conftest  # isort: skip  # noqa: F401  the thread count decides how sums are rounded

import cv2
import numpy as np
import pytest
from skimage import data

from engine.media.image import encode_png, read_image
from engine.pipeline import render
from engine.protocol import Driving, Job
from engine.takes.fingerprint import PICTURES

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "data" / "driving_sample.mp4"
GOLDEN = ROOT / "tests" / "data" / "golden_frames.json"
SOURCES = (2, 9, 16, 30)
THUMBNAIL = 12  # pixels wide
TOLERANCE = 3.0  # levels of 255, the mean over a thumbnail

CASES: dict[str, dict[str, Any]] = {
    "mesh_warp": {"system": "mesh_warp"},
    "mesh_warp, driver's head": {"system": "mesh_warp", "identity": "driver", "motion": "absolute"},
    "identity_matched": {"system": "identity_matched", "motion": "relative"},
    "identity_matched, analytic": {"system": "identity_matched", "options": {"correspondence": "analytic"}},
    "identity_matched, driving PNCC": {"system": "identity_matched", "options": {"pncc": "driving"}},
}


def drawn(folder: Path, case: str) -> list[np.ndarray]:
    """The frames of one case, each (H, W, 3) uint8."""
    portrait = folder / "astronaut.png"
    portrait.write_bytes(encode_png(data.astronaut()[:288, 80:368]))
    job = Job(
        **{
            "portraits": (str(portrait),),
            "driving": Driving("movie", str(SAMPLE)),
            "frames": tuple((1001 + i, source) for i, source in enumerate(SOURCES)),
            "fps": (24, 1),
            "output": str(folder / "out"),
            "shot": "golden",
            "analysed": (SOURCES[0], SOURCES[-1] + 1),
            **CASES[case],
        }
    )
    messages: list[dict[str, Any]] = []
    assert render(job, messages.append, lambda: False)
    take = next(Path(message["folder"]) for message in messages if message["type"] == "take")
    return [read_image(take / f"{take.name}.{output}.png") for output, _ in job.frames]


def rounding() -> str:
    """A hash of sums and products as this machine rounds them."""
    draws = np.random.default_rng(0).standard_normal((96, 96))
    narrow = draws.astype(np.float32)
    parts = (draws @ draws, np.exp(narrow) @ narrow, cv2.GaussianBlur(narrow, (0, 0), 2.0), np.linalg.inv(draws))
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:16]


def sha256(frame: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(frame).data).hexdigest()


def thumbnail(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("case", CASES)
def test_frames_are_those_recorded(case: str, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden["pictures"] == PICTURES
    frames = drawn(tmp_path, case)
    for frame, kept in zip(frames, golden["cases"][case], strict=True):
        small = np.array(list(bytes.fromhex(kept["thumbnail"])), np.float64).reshape(THUMBNAIL, THUMBNAIL, 3)
        assert np.abs(thumbnail(frame) - small).mean() < TOLERANCE
    if rounding() == golden["rounding"]:
        assert [sha256(frame) for frame in frames] == [kept["sha256"] for kept in golden["cases"][case]]


def record() -> None:
    before, cases = json.loads(GOLDEN.read_text()), {}
    for case in CASES:
        with TemporaryDirectory() as folder:
            frames = drawn(Path(folder), case)
        cases[case] = [{"sha256": sha256(f), "thumbnail": thumbnail(f).tobytes().hex()} for f in frames]
    changed = [case for case, frames in cases.items() if before["cases"].get(case, frames) != frames]
    if changed and before["pictures"] == PICTURES and before["rounding"] == rounding():
        raise SystemExit(f"The pictures of {', '.join(changed)} have changed: raise engine.takes.fingerprint.PICTURES.")
    golden = {"pictures": PICTURES, "rounding": rounding(), "cases": cases}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    record()
