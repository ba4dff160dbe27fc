"""``evaluate results``: one page, from a run that may be interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.cli import main
from engine.evaluation.comparison import CEILING, FLOOR, Column, Comparison, Figure, ShotInfo
from engine.evaluation.metrics.base import MetricInfo
from engine.evaluation.results import LINES, page
from engine.media.image import encode_png
from tests.engine.faces import portrait_rgb, sample_frames


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments: one clip of three frames, one portrait."""
    folder = tmp_path_factory.mktemp("material")
    for name in ("clips/acting", "portraits"):
        (folder / name).mkdir(parents=True)
    for index, frame in enumerate((0, 20, 24)):
        (folder / "clips" / "acting" / f"{index}.png").write_bytes(encode_png(sample_frames()[frame]))
    (folder / "portraits" / "collins.png").write_bytes(encode_png(portrait_rgb()))
    arguments = ["results", "--clips", str(folder / "clips"), "--portraits", str(folder / "portraits")]
    return [
        *arguments,
        "--rendered",
        "--systems",
        "null",
        "late=null:delay_ms=1",
        "--landmarker",
        "builtin",
        "--quick",
    ]


def test_an_interrupted_run_continues_and_prints_one_page(
    material: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main([*material, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "## clips, self: 1 shot of one person" in printed and "## clips, cross: 1 shot of one person" in printed
    assert "| metric | n | copy of the source | null | late | truth encoded again |" in printed
    assert "`face_model.safetensors` 0c5d3ac61c74" in printed and "OpenCV" in printed
    done = (out / "clips_self.json").read_bytes()
    (out / "clips_cross.json").unlink()
    assert main(["results", "--from", str(out)]) == 0
    assert "1 dataset of 2 not done yet" in capsys.readouterr().out
    assert main([*material, "--out", str(out)]) == 0
    again = capsys.readouterr()
    assert "clips_self: done before" in again.err and (out / "clips_self.json").read_bytes() == done
    cross = [text[text.index("## clips, cross") :] for text in (printed, again.out)]
    assert cross[0] == cross[1]

    assert main([*material, "--frames", "0-1", "--out", str(out)]) == 1
    assert "other settings" in capsys.readouterr().err
    (out / "clips_self.json").write_text("[]")
    assert main(["results", "--from", str(out)]) == 1
    assert "clips_self.json" in capsys.readouterr().err


def test_bad_input_is_refused_before_anything_is_written(
    material: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, word in (
        (["results", "--rendered"], "--clips"),
        ([*material, "--detector", "eyes"], "eyes"),
        ([*material, "--drivers", "0"], "--drivers"),
    ):
        assert main([*arguments, "--out", str(tmp_path / "none")]) == 1
        assert word in capsys.readouterr().err
    assert main(["results", "--from", str(tmp_path)]) == 1
    assert "run.json" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_page_is_short_however_much_there_is_to_say() -> None:
    """Six datasets, sixteen metrics and five systems, each worse than the one before it."""
    draws = np.random.default_rng(0)
    shots = {f"shot {k}": ShotInfo(f"person {k}", 1, 3.0 * k) for k in range(20)}
    metrics = [MetricInfo(f"metric {k}", key=k < 6) for k in range(16)]

    def column(name: str, level: float) -> Column:
        figures = {m.name: dict(zip(shots, level + draws.random(20))) for m in metrics}
        system = None if name in (FLOOR, CEILING) else "null"
        return Column(name, system, {k: Figure(float(np.mean([*v.values()])), 20, v) for k, v in figures.items()})

    names = [FLOOR, *(f"system {k}" for k in range(5)), CEILING]
    comparisons = [
        Comparison(f"set {n}", "self", True, shots, metrics, [column(name, k) for k, name in enumerate(names)])
        for n in range(6)
    ]
    run = {"command": "c", "date": "d", "machine": "m", "versions": {}, "weights": {}, "datasets": ["x"] * 6}
    text = page(run, comparisons)
    assert len(text.splitlines()) <= LINES
    for n in range(6):
        line = next(line for line in text.splitlines() if line.startswith(f"- set {n}, self: "))
        assert "system 0 is worse than copy of the source in metric 0, metric 1" in line
        assert "system 4 is worse than system 0 in metric 0" in line
    assert all(f"## set {n}, self" in text for n in range(6))
