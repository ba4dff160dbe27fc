"""Networks of metrics from files: LPIPS against its formula through plain torch layers, ONNX embeddings."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from safetensors.torch import save_file
from skimage import data
from torch import nn

from engine.errors import EngineError
from engine.evaluation.extractors.landmarks import Fit, Fitting, HeadCrop, Landmarker, create_landmarker, similarity
from engine.evaluation.extractors.networks import ARCFACE_POINTS, ArcFace, Inception, Lpips, MetricNet, OnnxFile
from engine.evaluation.metrics.perceptual import layer_distance
from engine.evaluation.metrics.suite import MetricSuite, WeightPaths
from engine.evaluation.picture import Extractor, Picture, ShotFrame
from engine.face.camera import Pose
from engine.tracking.detector import Observation
from engine.training import perceptual

ALEXNET = (  # torchvision's `features`, with fewer channels
    *(nn.Conv2d(3, 8, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 12, 5, 1, 2), nn.ReLU()),
    *(nn.MaxPool2d(3, 2), nn.Conv2d(12, 10, 3, 1, 1), nn.ReLU(), nn.Conv2d(10, 9, 3, 1, 1), nn.ReLU()),
    *(nn.Conv2d(9, 7, 3, 1, 1), nn.ReLU()),
)
SLICES, CHANNELS = (2, 5, 8, 10, 12), (8, 12, 10, 9, 7)  # after which LPIPS looks


class Left(Extractor):
    def __call__(self, picture: Picture) -> np.ndarray:
        return picture.rgb[:, :80]


class Whole(Extractor):
    def __call__(self, picture: Picture) -> np.ndarray:
        return picture.small


def pictures() -> tuple[Picture, Picture]:
    random = np.random.default_rng(4)
    a, b = random.integers(0, 256, (2, 80, 96, 3), dtype=np.uint8)
    return Picture(a), Picture(b)


@pytest.fixture
def alexnet(tmp_path: Path) -> tuple[Path, nn.Sequential, list[torch.Tensor]]:
    """A file in LPIPS' layout, and what is in it."""
    torch.manual_seed(0)
    network = nn.Sequential(*ALEXNET)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    heads = [torch.rand(1, count, 1, 1) for count in CHANNELS]
    tensors = {f"features.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    tensors |= {f"lin{k}.model.1.weight": head for k, head in enumerate(heads)}
    save_file(tensors, str(tmp_path / "alex.safetensors"))
    return tmp_path / "alex.safetensors", network, heads


def test_lpips_from_a_file_is_lpips(alexnet: tuple[Path, nn.Sequential, list[torch.Tensor]]) -> None:
    path, network, heads = alexnet
    lpips = Lpips(path)
    a, b = pictures()
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    with torch.no_grad():
        x = torch.stack([torch.from_numpy(p.rgb).float() / 127.5 - 1 for p in (a, b)])
        x = ((x - shift) / scale).permute(0, 3, 1, 2)
        expected = 0.0
        start = 0
        for stop, head in zip(SLICES, heads):
            x = network[start:stop](x)
            start = stop
            unit = x / (x.norm(dim=1, keepdim=True) + 1e-10)
            expected += float(((unit[0] - unit[1]) ** 2 * head[0]).sum(dim=0).mean())
    assert layer_distance(a.extract(lpips), b.extract(lpips), lpips.heads) == pytest.approx(expected, rel=1e-4)
    assert layer_distance(a.extract(lpips), a.extract(lpips), lpips.heads) == 0
    assert lpips.name == "LPIPS"


def test_a_file_that_is_no_lpips_is_refused_in_words(tmp_path: Path, alexnet) -> None:
    path, network, heads = alexnet
    broken = tmp_path / "broken.safetensors"
    tensors = {f"features.{name}": tensor for name, tensor in network.state_dict().items()}
    for extra in ({}, {f"lin{k}.model.1.weight": torch.rand(1, 3, 1, 1) for k in range(5)}):
        save_file({**tensors, **extra}, str(broken))
        with pytest.raises(EngineError, match="broken.safetensors"):
            Lpips(broken)
    broken.write_bytes(b"nothing")
    with pytest.raises(EngineError, match="broken.safetensors"):
        Lpips(broken)


def write_pooling(path: Path, size: int) -> Path:
    """A network in ONNX: the mean of every channel of a ``size``² picture."""
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["x"], ["y"])],
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 1, 1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def test_inception_sees_the_whole_picture_at_299(tmp_path: Path) -> None:
    eye = Inception(write_pooling(tmp_path / "mean.onnx", 299))
    colour = Picture(np.full((90, 70, 3), (10, 100, 250), np.uint8))
    assert colour.extract(eye) == pytest.approx([10, 100, 250], abs=1e-2)


def test_inception_sees_fine_detail_resized_once_as_clean_fid_does(tmp_path: Path) -> None:
    """clean-fid resizes each channel in PIL, as floats; a second resize, or one to 8 bits, is far off."""
    graph = helper.make_graph(
        [helper.make_node("Slice", ["x", "starts", "ends"], ["y"])],
        "corner",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 299, 299])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 40, 40])],
        [
            helper.make_tensor("starts", TensorProto.INT64, [4], [0, 0, 0, 0]),
            helper.make_tensor("ends", TensorProto.INT64, [4], [1, 3, 40, 40]),
        ],
    )
    path = tmp_path / "corner.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    rgb = np.random.default_rng(5).integers(0, 256, (500, 640, 3), dtype=np.uint8)
    channels = [Image.fromarray(rgb[..., k].astype(np.float32)) for k in range(3)]
    resized = [np.asarray(c.resize((299, 299), Image.Resampling.BICUBIC))[:40, :40] for c in channels]
    assert Picture(rgb).extract(Inception(path)).reshape(3, 40, 40) == pytest.approx(np.stack(resized), abs=0.05)


class Corners(Landmarker):
    """Sees the five points of ArcFace's template, in the left half of the picture and twice as large."""

    def __init__(self) -> None:
        self.name, self.suffix = "builtin", "mp"

    def __call__(self, picture: Picture) -> Observation | None:
        marks = np.zeros((68, 2))
        places = [list(range(36, 42)), list(range(42, 48)), [30], [48], [54]]
        for place, point in zip(places, ARCFACE_POINTS, strict=True):
            marks[place] = 2 * point
        return Observation(marks, None, None, 1.0) if picture.rgb.max() else None


def test_arcface_sees_the_aligned_face(tmp_path: Path) -> None:
    eye = ArcFace(write_pooling(tmp_path / "mean.onnx", 112), Corners())
    rgb = np.zeros((300, 500, 3), np.uint8)
    rgb[:226, :226] = 255  # the face; everything else is black
    assert Picture(rgb).extract(eye) == pytest.approx([1, 1, 1], abs=0.02)
    assert Picture(np.zeros((300, 500, 3), np.uint8)).extract(eye) is None


def test_similarity_recovers_a_turn_a_scale_and_a_shift() -> None:
    points = np.random.default_rng(1).normal(size=(5, 2))
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    assert similarity(points, points @ turn.T + [3, -8]) == pytest.approx(np.hstack([turn, [[3], [-8]]]))


def test_what_is_no_network_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(EngineError, match="text.onnx"):
        OnnxFile(tmp_path / "text.onnx")
    eye = OnnxFile(write_pooling(tmp_path / "mean.onnx", 112))
    with pytest.raises(EngineError, match="mean.onnx"):
        eye(np.zeros((1, 3, 64, 64), np.float32))


def test_papers_names_come_with_their_networks(tmp_path: Path, alexnet) -> None:
    path = write_pooling(tmp_path / "mean.onnx", 299)
    bare, full = (
        MetricSuite(Corners(), Corners(), WeightPaths(), "another"),
        MetricSuite(Corners(), Corners(), WeightPaths(lpips=alexnet[0], inception=path, arcface=path), "another"),
    )
    papers = {"LPIPS", "FID", "CSIM"}
    assert papers <= bare.missing.keys() and not papers & full.missing.keys()
    assert not papers & {metric.info.name for metric in bare.metrics(True, True, True)}
    given = {metric.info.name: metric for metric in full.metrics(True, True, True)}
    assert papers <= given.keys()
    assert {given[name].info.weights for name in papers} == {str(alexnet[0]), str(path)}
    assert all(metric.info.replaces is None for name, metric in given.items() if name in papers)


def test_there_is_no_fid_of_a_few_pictures(tmp_path: Path) -> None:
    suite = MetricSuite(
        Corners(), Corners(), WeightPaths(inception=write_pooling(tmp_path / "mean.onnx", 299)), "another"
    )
    fid = next(metric for metric in suite.metrics(True, True, True) if metric.info.name == "FID")
    a, b = pictures()
    fid.update(a, ShotFrame("a", "a", 0, a, a, b))
    assert fid.value() is None and fid.note() == "no FID below 2048 pictures"


def test_our_own_network_is_asked_once_for_layers_pooled_and_embedding(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = perceptual.Residual()
    path = tmp_path / "metric.safetensors"
    state = {f"eye.{name}": tensor for name, tensor in network.state_dict().items()}
    save_file(state, str(path), {"task": "perceptual", "options": '{"kind": "residual"}'})
    ours = MetricNet(Left(), path)
    picture, other = pictures()
    cut = torch.from_numpy(Left()(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    images = torch.from_numpy(picture.rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        layers, pooled, embedding = network(images), network.pooled(images), network.embedding(cut)
    assert [layer.shape for layer in picture.extract(ours.layers)] == [layer[0].shape for layer in layers]
    assert picture.extract(ours.pooled) == pytest.approx(pooled[0].numpy(), abs=1e-4)
    assert ours.embedding is not None
    assert picture.extract(ours.embedding) == pytest.approx(embedding[0].numpy(), abs=1e-4)
    assert layer_distance(picture.extract(ours.layers), other.extract(ours.layers)) > 0


def test_who_is_seen_does_not_hang_on_where_a_head_stands() -> None:
    with closing(create_landmarker("understudy", "builtin")) as landmarker:
        ours = MetricNet(HeadCrop(Fitting(landmarker)))
        whole = MetricNet(Whole())
        assert ours.embedding is not None and whole.embedding is not None
        rgb = data.astronaut()
        at = Picture(np.ascontiguousarray(rgb[:300, 70:370]))
        elsewhere = Picture(np.ascontiguousarray(rgb[:360, 20:380]))
        distances = [
            ((at.extract(eye) - elsewhere.extract(eye)) ** 2).sum() for eye in (ours.embedding, whole.embedding)
        ]
        assert distances[0] < 0.25 * distances[1]
        assert Picture(np.zeros((96, 96, 3), np.uint8)).extract(ours.embedding) is None


@pytest.mark.parametrize("depth", [-100.0, 5.0, np.nan], ids=["behind the camera", "in the lens", "nowhere"])
def test_a_head_that_cannot_stand_there_is_not_cut_out(depth: float) -> None:
    class Misled(Fitting):
        def __call__(self, picture: Picture) -> Fit:
            return Fit(np.zeros(1), np.zeros(1), Pose(np.eye(3), np.array([0.0, 0.0, -depth])))

    with closing(create_landmarker("understudy", "builtin")) as landmarker:
        assert HeadCrop(Misled(landmarker))(pictures()[0]) is None


def test_a_missing_network_of_ours_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="train run"):
        MetricNet(Left(), tmp_path / "absent.safetensors")
