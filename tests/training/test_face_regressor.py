"""The face regressor: geometry of its crops and labels, size, export, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import runtime
from engine.face import model as face_model
from engine.geometry.fields import to_grid
from engine.tracking.regressor.inference import Crop
from engine.tracking.regressor.layout import DENSE, LANDMARKS68, OUTPUTS, POINTS, SIZE, ideal_crop
from engine.tracking.regressor.network import FaceRegressor, rotation
from engine.training import crops
from engine.training.batch import collate
from engine.training.crops import Crops
from engine.training.irises import Irises
from engine.training.recipe import Stage
from engine.training.studio.dataset import Options, StudioSamples
from engine.training.tasks import create
from engine.training.tasks.face_regressor import face_axes, mean_points


@pytest.fixture(scope="module")
def batch():
    torch.set_num_threads(1)
    samples = StudioSamples(seed=3, options=Options(negatives=0.0))
    return collate([samples.pair(number, 96) for number in range(3)], create("face_regressor", {}).fields)


def some_crops() -> Crops:
    return Crops(torch.tensor([[0.1, -0.2], [-0.3, 0.25]]), torch.tensor([0.5, 0.8]), torch.tensor([0.4, -0.7]))


def test_a_spot_lies_in_the_crop_where_its_label_says():
    cut = some_crops()
    spots = torch.tensor([[[0.25, -0.05]], [[0.05, 0.5]]])
    axis = torch.linspace(-1, 1, 160)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    image = torch.exp(-((x - spots[:, 0, 0, None, None]) ** 2 + (y - spots[:, 0, 1, None, None]) ** 2) / 0.001)[:, None]
    found = cut.cut(image, 96)[:, 0].flatten(1).argmax(1)
    at = torch.stack([found % 96, found // 96], dim=1) / 95 * 2 - 1
    assert (at - cut.into(spots)[:, 0]).abs().max() < 1.5 * 2 / 95


def test_training_and_use_cut_the_same_crop():
    rng = np.random.default_rng(0)
    rgb = (np.kron(rng.random((10, 10, 3)), np.ones((16, 16, 1))) * 255).astype(np.uint8)
    size, cut = 160, some_crops()
    image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float().expand(2, -1, -1, -1) / 127.5
    trained = cut.cut(image, SIZE) - 1
    for k in range(2):
        centre = ((cut.centre[k] + 1) * (size - 1) / 2 + 0.5).numpy().astype(float)
        crop = Crop(centre, float(cut.half[k]) * (size - 1), float(cut.angle[k]))
        used = torch.from_numpy(crop.cut(rgb)[0])
        assert (used - trained[k]).abs().mean() < 0.02
        points = torch.tensor([[0.3, -0.4], [-0.9, 0.1]])
        there = to_grid(crop.to_picture(points.numpy()), size)
        back = cut.into(torch.from_numpy(there).float()[None].expand(2, -1, -1))[k]
        torch.testing.assert_close(back, points, atol=1e-4, rtol=0)


def test_the_ideal_crop_is_the_same_in_pixels_and_on_the_grid():
    points = np.random.default_rng(1).uniform(20, 70, (468, 2))
    x, y, side = ideal_crop(points)
    centre, half = crops.ideal(torch.from_numpy(to_grid(points, 96))[None])
    np.testing.assert_allclose(centre[0], to_grid(np.array([x, y]), 96), atol=1e-6)
    assert float(half[0]) * 95 == pytest.approx(side)


def test_a_crops_rotation_is_the_heads_seen_along_its_ray_and_rolled():
    upright = torch.eye(3)[None]
    ahead, aside = torch.tensor([[0.0, 0, -50]]), torch.tensor([[30.0, 0, -50]])
    still = Crops(torch.zeros(1, 2), torch.ones(1), torch.zeros(1))
    torch.testing.assert_close(crops.rotation_seen(upright, ahead, still), upright)
    # A head to the camera's right that faces along the camera's axis is seen from its own right: turned by the ray.
    seen = crops.rotation_seen(upright, aside, still)[0]
    angle = np.arctan2(30, 50)
    assert float(seen[0, 2]) == pytest.approx(np.sin(angle), abs=1e-5)
    rolled = crops.rotation_seen(upright, ahead, Crops(torch.zeros(1, 2), torch.ones(1), torch.tensor([0.3])))[0]
    assert float(torch.atan2(rolled[1, 0], rolled[0, 0])) == pytest.approx(0.3, abs=1e-5)


def test_verdicts_follow_where_the_crops_lie(batch):
    torch.manual_seed(0)
    dense = batch["driving_dense"].repeat(200, 1, 1)
    face = torch.ones(len(dense))
    face[::5] = 0
    cut, verdict = crops.sample(dense, face)
    assert (verdict[::5] == 0).all() and {-1.0, 0.0, 1.0} == set(verdict.tolist())
    points = cut.into(dense)[..., :2]
    assert points[verdict == 1].mean(1).abs().max() < 1.1
    assert (points[verdict == 1].abs() < 1).float().mean() > 0.95


def test_irises_look_where_the_eyes_look(batch):
    truth = {key: tensor.clone() for key, tensor in batch.items()}
    irises = Irises()
    found = irises(truth, "driving", 96)
    marks = truth["driving_landmarks68"]
    for eye, lids in ((0, marks[:, 42:48]), (1, marks[:, 36:42])):
        width = (lids.amax(1) - lids.amin(1))[:, 0]
        assert ((found[:, eye, 0] - lids.mean(1)).norm(dim=1) < 0.6 * width + 0.02).all()
    truth["driving_rotation"] = torch.eye(3).expand(3, -1, -1)
    ahead = irises({**truth, "driving_gaze": torch.zeros(3, 2, 2)}, "driving", 96)
    aside = irises({**truth, "driving_gaze": torch.tensor([0.2, 0.3]).expand(3, 2, 2)}, "driving", 96)
    moved = (aside - ahead)[:, :, 0]
    assert (moved[..., 0] > 0).all() and (moved[..., 1] < 0).all()  # to the subject's left and up


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_is_small_and_exports_to_what_it_is(tmp_path):
    torch.manual_seed(1)
    network = FaceRegressor(torch.from_numpy(mean_points()), 53, *face_axes()).eval()
    for parameter in network.parameters():  # not the quiet start, where every face is the mean face
        parameter.data += 0.005 * torch.randn_like(parameter)
    assert sum(parameter.numel() for parameter in network.parameters()) <= 3_000_000
    crop = torch.rand(1, 3, SIZE, SIZE) * 2 - 1
    with torch.no_grad():
        expected = dict(zip(OUTPUTS, network(crop)))
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in expected.items()}
    assert shapes["landmarks68"] == (68, 2) and shapes["dense"] == (468, 3) and shapes["iris"] == (2, 5, 2)
    assert shapes["matte"] == (1, SIZE, SIZE)
    path = tmp_path / "face.onnx"
    graph = create("face_regressor", {}).export(192)["frame"]
    torch.onnx.export(
        network, tuple(graph.inputs.values()), str(path), dynamo=False, opset_version=16,
        input_names=list(graph.inputs), output_names=list(graph.outputs),
    )  # fmt: skip
    for name in ("openvino", "onnxruntime"):
        found = runtime.open(path, "cpu", "fp32", name, threads=1).run({"crop": crop.numpy()})
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, atol=3e-4, err_msg=f"{name} {key}")


def test_the_mean_face_fills_an_ideal_crop():
    points = mean_points()
    assert points.shape == (POINTS, 3)
    x, y, side = ideal_crop(points[LANDMARKS68 : LANDMARKS68 + DENSE, :2])
    assert abs(x) < 1e-3 and abs(y) < 1e-3 and side == pytest.approx(2, abs=1e-3)
    marks = points[:LANDMARKS68]
    assert marks[8, 1] > marks[30, 1] > marks[27, 1]  # chin below nose
    assert marks[45, 0] > marks[36, 0]  # the subject's left is at the right
    assert marks[30, 2] < marks[0, 2]  # the nose is nearer


def test_rotations_are_rotations():
    made = rotation(torch.randn(5, 6))
    torch.testing.assert_close(made @ made.transpose(1, 2), torch.eye(3).expand(5, -1, -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(made), torch.ones(5))


def test_it_learns(batch):
    torch.manual_seed(2)
    task = create("face_regressor", {})
    floor, totals = task.floor(batch), []
    assert floor["landmarks68_%"] > 3 and len(face_model.load().expression_names) == 53
    optimiser = torch.optim.Adam(task.networks["face"].parameters(), 1e-3)
    for step in range(21):
        torch.manual_seed(step % 3)  # the same crops come again, so that there is something to remember
        losses = task.losses(batch, Stage(size=96, steps=1, batch=3, learning_rate=1e-3))["generator"]
        total = torch.stack(list(losses.values())).sum()
        assert all(torch.isfinite(loss) for loss in losses.values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert sum(totals[-3:]) < 0.7 * sum(totals[:3]), "of the same three crops"
