"""``python -m engine`` as a person or a farm runs it: exit status, frames on disk, words on standard error."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from engine import weights
from engine.cli.footage import driving_from, rate, source_frames
from engine.errors import EngineError
from engine.media.image import encode_png
from engine.progress import Progress
from tests.engine.numbered import picture

ROOT = Path(__file__).resolve().parents[2]


def engine(*arguments: str | Path, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-X", "utf8", "-m", "engine", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120)


def frame_map(take: Path) -> list[list[int | str]]:
    """The sidecar's frame map, each of its frames proven to be on disk, and no other."""
    record = json.loads((take / f"{take.name}.json").read_text(encoding="utf-8"))
    names = sorted(path.name for path in take.glob("*.png"))
    assert names == [f"{take.name}.{row[0]:04d}.png" for row in record["frames"] if row[2] != "missing"]
    return record["frames"]


def test_a_movie_is_rendered_whole_unless_told_otherwise(
    folder: Path, portrait: Path, make_movie: Callable[..., Path]
) -> None:
    movie = make_movie("Clip Nº 7.mov", 12, "prores_ks")
    result = engine("render", "--system", "null", "--portrait", portrait, "--driving", movie, "--out", folder / "out")
    assert result.returncode == 0, result.stderr
    take = folder / "out" / "Clip_N_7_understudy_v001"
    assert result.stdout.strip() == str(take)
    assert frame_map(take) == [[1001 + i, i, "ok"] for i in range(12)]
    assert "12 of 12 frames written" in result.stderr
    job = json.loads((take / f"{take.name}.json").read_text(encoding="utf-8"))["job"]
    assert job["fps"] == [24000, 1001]


def test_frames_keep_their_distance(folder: Path, portrait: Path) -> None:
    images = folder / "driver plates"
    images.mkdir()
    for i in range(1, 13):
        (images / f"plate {i}.png").write_bytes(encode_png(picture(i)))
    (images / "notes.txt").write_text("no image")
    result = engine(
        *("render", "--system", "null", "--portrait", portrait, portrait, "--driving", images, "--out", folder),
        *("--frames", "2-10x4,11", "--first-frame", "41", "--shot", "sh 020", "--fps", "29.97"),
        *("--option", "delay_ms=1", "--motion", "rotation=absolute,expression=relative"),
        *("--identity", "driver", "--analyse", "1-11"),
    )
    assert result.returncode == 0, result.stderr
    take = folder / "sh_020_understudy_v001"
    assert frame_map(take) == [[41, 2, "ok"], [45, 6, "ok"], [49, 10, "ok"], [50, 11, "ok"]]
    record = json.loads((take / f"{take.name}.json").read_text(encoding="utf-8"))
    assert record["job"]["fps"] == [30000, 1001]
    assert record["job"]["motion"] == {"rotation": "absolute", "expression": "relative"}
    assert record["job"]["identity"] == "driver" and record["job"]["analysed"] == [1, 12]
    assert [Path(entry["path"]).name for entry in record["inputs"] if entry["role"] == "driving"] == [
        f"plate {i + 1}.png" for i in (2, 6, 10, 11)
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--frames", "0-12"], "frame_out_of_range"),
        (["--frames", "5-1"], "frames"),
        (["--analyse", "0-12"], "frame_out_of_range"),
        (["--analyse", "0-5", "--frames", "4-6"], "arguments"),
        (["--motion", "wild"], "arguments"),
        (["--option", "fail_at"], "arguments"),
        (["--option", "fail_at=4"], "null_fault"),
        (["--system", "mirror"], "unknown_system"),
    ],
)
def test_an_error_is_said_in_words_and_fails(
    folder: Path, portrait: Path, make_movie: Callable[..., Path], arguments: list[str], code: str
) -> None:
    movie = make_movie("m.mp4", 12)
    result = engine(
        "render", "--system", "null", "--portrait", portrait, "--driving", movie, "--out", folder, *arguments
    )
    assert result.returncode == 1 and f"error ({code})" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("frames", "status", "words"), [("0-8x2", 2, "0-8x2"), ("3,7", 2, "3,7"), ("0-12", 1, "frame_out_of_range")]
)
def test_only_a_range_that_the_footage_has_is_analysed(
    folder: Path, make_movie: Callable[..., Path], frames: str, status: int, words: str
) -> None:
    out = folder / "m.motion.npz"
    result = engine("analyse", make_movie("m.mp4", 12), "--out", out, "--frames", frames)
    assert result.returncode == status and words in result.stderr and "Traceback" not in result.stderr
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupted_render_keeps_its_frames_and_does_not_succeed(folder: Path, portrait: Path) -> None:
    command = [sys.executable, "-m", "engine", "render", "--system", "null", "--portrait", str(portrait)]
    command += ["--out", str(folder), "--shot", "s", "--option", "delay_ms=50"]
    plates = folder / "plates"
    plates.mkdir()
    for i in range(200):
        (plates / f"{i:03d}.png").write_bytes(encode_png(picture(i)))
    command += ["--driving", str(plates)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    take, patience = folder / "s_understudy_v001", time.monotonic() + 60
    while len(list(take.glob("*.png"))) < 3 and time.monotonic() < patience:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130 and "cancelled" in words
    statuses = [row[2] for row in frame_map(take)]
    assert 3 <= statuses.count("ok") < 200


def test_usage_and_unknown_verbs() -> None:
    assert engine("--help").returncode == 0
    assert engine("dance").returncode == 2
    assert "source frames" in engine("render", "--help").stdout


def test_doctor_names_what_is_missing() -> None:
    result = engine("doctor", flags=("-S",))  # no site-packages
    assert result.returncode == 1
    for package in ("numpy", "opencv-python-headless", "safetensors"):
        assert f"MISSING    {package}" in result.stdout


def test_doctor_lists_packages_systems_and_the_device() -> None:
    lines = engine("doctor").stdout.splitlines()
    for start in ("device     CPU", "package    numpy 2", "system     null", "system     mesh_warp"):
        assert any(line.startswith(start) for line in lines), lines


def test_weights_are_checked_against_the_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"some weights"
    (folder / "model.safetensors").write_bytes(data)
    (folder / "manifest.toml").write_text(
        f'["model.safetensors"]\nsize = {len(data)}\nsha256 = "{hashlib.sha256(data).hexdigest()}"\nlicence = "CC0"\n'
        '["lost.safetensors"]\nsize = 1\nsha256 = "00"\n'
    )
    monkeypatch.setattr(weights, "FOLDER", folder)
    monkeypatch.setattr(weights, "MANIFEST", folder / "manifest.toml")
    model, lost = weights.manifest()
    assert model.state() is None and (lost.state() or "").startswith("MISSING")
    (folder / "model.safetensors").write_bytes(b"same weights")
    assert (model.state() or "").startswith("DAMAGED")
    (folder / "manifest.toml").write_text('["model.safetensors"]\nsize = 3\n')
    with pytest.raises(ValueError, match="sha256"):
        weights.manifest()


def test_a_path_says_what_kind_of_driving_it_is(folder: Path) -> None:
    for name in ("s.10.png", "s.9.png", "S.1.PNG", ".hidden.png", "readme.md"):
        (folder / name).touch()
    sequence = driving_from(folder)
    assert (sequence.kind, sequence.path) == ("sequence", str(folder))
    assert [name for name in sequence.files if name[0] == "s"] == ["s.9.png", "s.10.png"] and len(sequence.files) == 3
    assert driving_from(folder / "s.9.png").files == ("s.9.png",)
    for name, kind in (("A.motion.npz", "motion"), ("a.curves.npz", "curves"), ("old.performance", "motion")):
        assert driving_from(folder / name).kind == kind
    assert driving_from(folder / "clip.mp4").kind == "movie"


def test_source_frames_and_rates() -> None:
    assert source_frames(None, 5, 2) == [2, 3, 4]
    assert source_frames("8,0-4x2", 5) == [0, 2, 4, 8]
    with pytest.raises(EngineError):
        source_frames("-3", 5)
    assert [rate(text) for text in ("24", "23.976", "23.98", "29.97", "24000/1001", "12.5")] == [
        24,
        *[Fraction(24000, 1001)] * 2,
        Fraction(30000, 1001),
        Fraction(24000, 1001),
        Fraction(25, 2),
    ]


def test_progress_is_spoken_first_last_and_not_too_often() -> None:
    messages: list[dict] = []
    progress = Progress(messages.append, "render", 5000)
    started = time.monotonic()
    for done in range(1, 5001):
        progress.update(done)
    assert len(messages) <= 3 + (time.monotonic() - started) * 10
    assert messages[0] == {
        "type": "progress",
        "phase": "render",
        "done": 0,
        "total": 5000,
        "fps": None,
        "seconds_left": None,
    }
    assert messages[-1]["done"] == 5000 and messages[-1]["fps"] > 0 and messages[-1]["seconds_left"] == 0
