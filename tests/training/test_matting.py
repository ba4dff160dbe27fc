"""The matting network learns, leaves as ONNX, and is used on pictures of any shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.tracking.network_matte import SIZE, NetworkMatte
from engine.training import export
from engine.training.batch import collate
from engine.training.recipe import Stage
from engine.training.studio.dataset import Options, StudioSamples
from engine.training.tasks import create


@pytest.fixture(scope="module")
def batch():
    torch.set_num_threads(1)
    samples = StudioSamples(seed=5, options=Options(negatives=0.0))
    return collate([samples.pair(number, 64) for number in range(3)], create("matting", {}).fields)


def test_it_learns_people_beyond_the_floor(batch):
    torch.manual_seed(1)
    task = create("matting", {})
    optimiser = torch.optim.Adam(task.networks["matte"].parameters(), 2e-3)
    for step in range(32):
        torch.manual_seed(step % 4)
        losses = task.losses(batch, Stage(size=64, steps=1, batch=3, learning_rate=1e-3))["generator"]
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    measured, floor = task.measure(batch), task.floor(batch)
    assert measured["iou_miss"] < 0.7 * floor["iou_miss"] and measured["edge"] < floor["edge"]


def test_pictures_without_a_face_teach_nothing(batch):
    task = create("matting", {})
    nobody = batch | {f"{role}_face": torch.zeros(3) for role in ("source", "driving")}
    torch.manual_seed(1)
    losses = task.losses(nobody, Stage(size=64, steps=1, batch=3, learning_rate=1e-3))["generator"]
    assert float(losses["entropy"]) == float(losses["l1"]) == 0


class _Bright(torch.nn.Module):
    """What is brighter than grey."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture.mean(dim=1, keepdim=True) > 0).float()


@pytest.mark.parametrize("shape", [(120, 200), (300, 90), (SIZE, SIZE)])
def test_a_matte_lies_where_the_picture_says(tmp_path: Path, shape: tuple[int, int]):
    from engine.training.task import Graph

    graph = Graph(_Bright(), {"picture": torch.zeros(1, 3, SIZE, SIZE)}, ("matte",))
    path = tmp_path / "bright.onnx"
    path.write_bytes(export.onnx(graph))
    rgb = np.full((*shape, 3), 30, np.uint8)
    rgb[shape[0] // 4 :, shape[1] // 3 :] = 220
    matte = NetworkMatte(path, "cpu")
    made = matte(rgb)
    matte.close()
    assert made.shape == shape and np.abs(made - (rgb[..., 0] > 100)).mean() < 0.02
