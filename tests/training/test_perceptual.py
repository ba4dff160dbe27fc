"""Networks that look at faces: what they are taught with, that they learn it, and that they come back from a file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from engine.errors import EngineError
from engine.training import augment, perceptual, recipe
from engine.training.batch import Batch, collate
from engine.training.export import Run, safetensors
from engine.training.recipe import Stage
from engine.training.studio.stage.scene import Parsing
from engine.training.tasks import create
from engine.training.tasks.perceptual import Perceptual, _eer, contrast, rotation
from tests.training.heads import PlainHeads

STAGE = Stage(32, 1, 8, 1e-3)


@pytest.fixture(scope="module")
def batch() -> Batch:
    heads = PlainHeads(people=6)
    return collate([heads.pair(number, 32) for number in range(8)], Perceptual.fields)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_it_learns_what_it_is_shown(kind: str, batch: Batch):
    torch.manual_seed(1)
    task = create("perceptual", {"kind": kind, "strength": 0.3})
    untaught = task.losses(batch, STAGE)["generator"]["identity"].item()
    optimiser = torch.optim.Adam([p for network in task.networks.values() for p in network.parameters()], 1e-3)
    for _ in range(60):
        optimiser.zero_grad()
        torch.stack(list(task.losses(batch, STAGE)["generator"].values())).sum().backward()
        optimiser.step()
    errors, floor = task.measure(batch), task.floor(batch)
    assert errors.keys() == floor.keys()
    assert errors["landmark_px"] < 0.85 * floor["landmark_px"] and errors["parsing"] < 0.5 * floor["parsing"]
    assert task.losses(batch, STAGE)["generator"]["identity"].item() < 0.85 * untaught
    assert errors["verification_eer"] < 0.1
    assert task.preview(batch).shape == (6 * 32, 5 * 32, 3)


@pytest.mark.parametrize(("kind", "layers"), [("plain", 5), ("residual", 4)])
def test_an_exported_network_loads_as_it_was(kind: str, layers: int, batch: Batch, tmp_path: Path):
    task = create("perceptual", {"kind": kind})
    assert isinstance(task, Perceptual)
    made = replace(recipe.read(Path("perceptual_loss")), options={"kind": kind})
    path = tmp_path / "eye.safetensors"
    path.write_bytes(safetensors(Run(tmp_path, made, {}, 7, 0.0, task, [])))
    eye = perceptual.load(path)
    images = batch["source_image"]
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(eye(images), task.network(images)))
    assert isinstance(eye, perceptual.FaceNetwork) and len(eye.names) == len(eye(images)) == layers
    assert eye.embedding(images).norm(dim=1).allclose(torch.ones(len(images)))
    assert eye.pooled(images).shape == (len(images), 2 * eye(images)[-1].shape[1])
    assert not eye.training and not any(p.requires_grad for p in eye.parameters())
    assert 0.5e6 < sum(p.numel() for p in eye.parameters()) < 3e6


def test_vgg19_loads_from_a_file_by_the_names_of_its_layers(tmp_path: Path):
    vgg = perceptual.VGG19()
    path = tmp_path / "vgg19.safetensors"
    unused = {"classifier.6.bias": torch.zeros(3), "features.34.bias": torch.zeros(3)}
    save_file({**{key: value.half() for key, value in vgg.state_dict().items()}, **unused}, path)
    loaded = perceptual.load(path)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    maps = loaded(image)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    light = ((image + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
    first = loaded.state_dict()
    expected = functional.conv2d(light, first["features.0.weight"], first["features.0.bias"], padding=1).relu()
    assert maps[0].allclose(expected, atol=1e-5)


def test_what_is_no_network_is_refused(tmp_path: Path):
    with pytest.raises(EngineError, match="There is no perceptual network"):
        perceptual.load(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("other", "text"):
        with pytest.raises(EngineError, match="is not a perceptual network"):
            perceptual.load(tmp_path / f"{name}.safetensors")


def test_six_numbers_make_a_rotation():
    assert rotation(torch.zeros(1, 6)).allclose(torch.eye(3))
    turns = rotation(torch.randn(50, 6))
    assert (turns @ turns.transpose(1, 2)).allclose(torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.linalg.det(turns).allclose(torch.ones(50), atol=1e-5)


def test_contrast_looks_for_the_others_of_a_person():
    embedding = functional.normalize(torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 1.0], [-1.0, 0.0]]), dim=1)
    likeness = (embedding @ embedding.T / 0.5).tolist()

    def found(a: int, b: int) -> float:
        return likeness[a][b] - math.log(sum(math.exp(likeness[a][c]) for c in range(4) if c != a))

    expected = -(found(0, 1) + found(1, 0)) / 2
    assert contrast(embedding, torch.tensor([7, 7, 2, 3]), 0.5).item() == pytest.approx(expected, rel=1e-5)
    assert contrast(embedding, torch.arange(4), 0.5).item() == 0


def test_surroundings_are_taken_away_and_nobodys_face(batch: Batch):
    task = create("perceptual", {"surroundings": 1.0})
    assert isinstance(task, Perceptual)
    truth = {"image": batch["source_image"], "parsing": batch["source_parsing"]}
    seen = task._without_surroundings(truth)
    away = (truth["parsing"] == Parsing.BACKGROUND) | (truth["parsing"] == Parsing.CLOTH)
    assert away.any() and not away.all()
    same = (seen["image"] == truth["image"]).all(dim=1)
    assert same[~away].all() and same[away].float().mean() < 0.01
    assert (seen["parsing"][away] == Parsing.BACKGROUND).all()
    assert seen["parsing"][~away].equal(truth["parsing"][~away])


def test_contrast_without_a_temperature_is_an_error():
    with pytest.raises(EngineError, match="temperature should be more than 0"):
        create("perceptual", {"temperature": 0.0})


def test_equal_error_rate_by_hand():
    person = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert _eer(apart, person) == 0
    assert _eer(apart, torch.tensor([0, 1, 0, 1])) > 0.4


def test_augmentation_is_seeded_varied_and_within_range(batch: Batch):
    images = batch["source_image"]
    torch.manual_seed(3)
    once = augment.hidden(augment.photometric(images))
    torch.manual_seed(3)
    assert torch.equal(once, augment.hidden(augment.photometric(images)))
    assert not torch.equal(once, augment.hidden(augment.photometric(images)))
    assert once.min() >= -1 and once.max() <= 1
    assert np.allclose(augment.photometric(images, 0).numpy(), images.numpy(), atol=1e-3)
    alike = augment.photometric(images[:1].expand(8, -1, -1, -1))
    assert (alike.mean(dim=(1, 2, 3)).std() > 0.05).item(), "every picture has its own light"
