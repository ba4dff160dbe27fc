"""A folder of clips as samples: labelled, kept, told apart from what is no clip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.errors import EngineError
from engine.training import checkpoint, cli, curves, provenance, warped
from engine.training.footage import CACHE, FootageSamples
from engine.training.shards import ShardSamples
from engine.weights import FOLDER
from tests.engine.faces import SAMPLE, sample_frames
from tests.engine.heads import known
from tests.engine.test_shards import contents

SIZE = 128


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie with a face, the same as a folder of images, and four things that do not help."""
    folder = tmp_path_factory.mktemp("clips") / "Größe 顔"
    for name in ("stills", "nobody", "empty"):
        (folder / name).mkdir(parents=True)
    shutil.copy(SAMPLE, folder / "talk.mp4")
    (folder / "broken.mov").write_bytes(b"no movie")
    (folder / "notes.txt").write_text("not a clip")
    grey = np.full((96, 96, 3), 128, np.uint8)
    for k, rgb in enumerate(sample_frames()[:6]):
        (folder / "stills" / f"f{k}.png").write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
        (folder / "nobody" / f"f{k}.png").write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def warnings() -> list[str]:
    return []


@pytest.fixture(scope="module")
def samples(data: Path, warnings: list[str]) -> FootageSamples:
    return FootageSamples(data, size=SIZE, on_warning=warnings.append)


def test_what_shows_no_face_is_passed_over_by_name(samples: FootageSamples, warnings: list[str], data: Path) -> None:
    assert samples.describe()["clips"] == 2
    assert len(warnings) == 2
    assert str(data / "broken.mov") in warnings[0] and str(data / "nobody") in warnings[1]


def test_labels_lie_on_the_face(samples: FootageSamples) -> None:
    turned = 0
    for number in range(8):
        pair = samples.pair(number, SIZE)
        frame = pair.driving
        assert frame.parsing is None and frame.depth is None and frame.image.shape == (SIZE, SIZE, 3)
        assert frame.landmarks68 is not None and frame.matte is not None and frame.pncc is not None
        x, y = np.floor(frame.landmarks68[17:]).astype(int).T  # the jaw's outline may lie on the matte's edge
        assert (frame.matte[y, x] > 200).all() and (frame.pncc[y, x] > 0).any(axis=1).all()
        assert pair.flow is not None and pair.flow_visible is not None
        rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
        offset = pair.flow.astype(np.float32)
        warped = cv2.remap(pair.source.image, columns + offset[..., 0], rows + offset[..., 1], cv2.INTER_LINEAR)
        seen = pair.flow_visible & (rows < frame.landmarks68[8, 1])  # the face, not what it wears
        moved, still = (
            np.abs(picture.astype(float) - frame.image).mean(axis=2)[seen] for picture in (warped, pair.source.image)
        )
        assert moved.mean() < 15  # light changes on a turning head
        if np.abs(offset[seen]).mean() > 3:
            turned += 1
            assert moved.mean() < 0.6 * still.mean()
    assert turned >= 2


def test_a_number_is_always_the_same_pair_and_the_cache_rebuilds_byte_for_byte(
    samples: FootageSamples, data: Path
) -> None:
    first = {path.name: contents(path) for path in (data / CACHE).iterdir() if path.is_dir()}
    again = FootageSamples(data, size=SIZE, on_warning=lambda text: None)
    a, b = samples.pair(3, SIZE), again.pair(3, SIZE)
    assert np.array_equal(a.driving.image, b.driving.image) and np.array_equal(known(a.flow), known(b.flow))
    records, analysis = (next((data / CACHE).rglob(name)) for name in ("stills.*", "f0.*"))
    shutil.rmtree(records)
    analysis.unlink()
    anew = FootageSamples(data, size=SIZE, on_warning=lambda text: None)
    assert {path.name: contents(path) for path in (data / CACHE).iterdir() if path.is_dir()} == first
    assert anew.describe() == samples.describe()


def test_smaller_is_fine_and_larger_is_refused(samples: FootageSamples) -> None:
    large, small = samples.pair(2, SIZE).source, samples.pair(2, SIZE // 2).source
    assert large.landmarks68 is not None and small.landmarks68 is not None
    np.testing.assert_allclose(small.landmarks68, large.landmarks68 / 2, atol=0.05)
    with pytest.raises(EngineError, match="cropped to 128"):
        samples.pair(0, 256)


def test_a_folder_without_clips_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no clips"):
        FootageSamples(tmp_path)
    with pytest.raises(EngineError, match="no folder"):
        FootageSamples(tmp_path / "missing")


def test_clips_become_shards_by_one_command(data: Path, samples: FootageSamples, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["--data", str(data), "--out", str(out), "--count", "4", "--size", "64", "--workers", "1"]
    assert cli.main(["shards", *asked]) == 0
    pair, true = ShardSamples(out).pair(1, 64), FootageSamples(data, on_warning=lambda text: None).pair(1, 64)
    assert np.array_equal(pair.driving.image, true.driving.image) and np.array_equal(known(pair.flow), known(true.flow))


def test_the_shipped_generator_trains_on_with_clips(data: Path, tmp_path: Path) -> None:
    recipe, run, start = tmp_path / "short.toml", tmp_path / "run", FOLDER / "identity_matched.safetensors"
    recipe.write_text(
        'task = "identity_matched"\nthreads = 1\nema = 0\nlog_every = 1\nmeasure_batches = 1\n'
        '[options.network]\nsize = "fast"\n[data]\nsource = "shards"\nworkers = 0\n'
        "[[stages]]\nsize = 64\nsteps = 2\nbatch = 2\nlearning_rate = 1e-4\n"
    )
    asked = ["run", str(recipe), "--data", str(data), "--start", str(start), "--out", str(run)]
    assert cli.main(asked) == 0
    record = json.loads((run / "recipe.json").read_text())
    assert (record["data"]["kind"], record["data"]["warp"]) == ("footage", warped.VERSION)
    assert provenance.origin(record)["recipe"].endswith("run short --data CLIPS --start FILE")
    row = curves.read(run / "log.jsonl")[-1]
    assert row["losses"]["generator moved"] > 0, "the fitted mesh says how the face moved"
    assert row["measured"]["mouth_l1"] > 0 and row["measured"]["eyes_l1"] > 0
    assert row["measured"]["l1"] < 1.1 * row["floor"]["l1"], "it goes on from what was learned"
    newest = checkpoint.newest(run)
    assert newest is not None
    trained, before = checkpoint.read(newest).tensors, load_file(start)
    assert any(not torch.equal(trained[f"network.{name}"], tensor.float()) for name, tensor in before.items())


def test_what_footage_cannot_teach_is_one_clear_error(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["run", "perceptual_loss", "--data", str(data), "--out", str(tmp_path / "run")]) != 0
    assert "no driving_parsing, which" in capsys.readouterr().err
