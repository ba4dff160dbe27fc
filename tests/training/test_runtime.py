"""The runtimes against torch, the reference, and torch itself behind the same call."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import runtime
from engine.errors import EngineError
from engine.runtime import openvino_backend
from engine.runtime.backend import TorchNetwork
from engine.runtime.survey import PROBE
from tests.training import networks

WARP = TorchNetwork(networks.Warp, {"image": (3, 16, 16), "flow": (16, 16, 2)}, ("mended", "mean"))


def feeds(count: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    image = rng.uniform(-1, 1, (count, 3, 16, 16)).astype(np.float32)
    return {"image": image, "flow": rng.normal(0, 0.2, (count, 16, 16, 2)).astype(np.float32)}


@pytest.mark.parametrize("name", networks.all_of_them())
def test_the_networks_of_the_tests_are_what_their_code_makes(name):
    assert (networks.FOLDER / name).read_bytes() == networks.all_of_them()[name]


def test_the_doctors_network_is_what_its_code_makes():
    assert PROBE.read_bytes() == networks.probe()


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("bf16", 0.06)])
def test_a_network_gives_the_same_in_every_runtime(name, precision, tolerance):
    if precision == "bf16" and (name == "onnxruntime" or "bf16" not in openvino_backend.precisions()):
        pytest.skip("no bf16 here")
    expected = runtime.open(WARP, "cpu", batch=2).run(feeds())
    session = runtime.open(networks.FOLDER / "warp.onnx", "cpu", precision, name)
    assert session.precision == precision
    found = session.run(feeds())
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=tolerance)
        assert precision == "fp32" or np.abs(found[key] - value).max() > 1e-4, "half precision leaves a trace"


def test_torch_says_what_it_got():
    session = runtime.open(WARP, "auto")
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert (session.runtime, session.device, session.precision) == ("torch", expected, "fp32")
    assert runtime.open(WARP, "cpu", "bf16").precision == "bf16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_torch_without_cuda_refuses_it():
    with pytest.raises(EngineError) as caught:
        runtime.open(WARP, "cuda")
    assert caught.value.code == "no_device"
    said: list[str] = []
    assert runtime.open(WARP, "cuda", allow_fallback=True, warn=said.append).device == "cpu"
    assert len(said) == 1


class Cancels(torch.nn.Module):
    """A convolution that adds 4096 and one that takes it away again: nothing is left in bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = torch.nn.Conv2d(1, 1, 1), torch.nn.Conv2d(1, 1, 1)
        for layer, bias in ((self.there, 4096.0), (self.back, -4096.0)):
            layer.weight.data.fill_(1)
            layer.bias.data.fill_(bias)  # pyright: ignore[reportOptionalMemberAccess]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.back(self.there(x))


def test_black_in_torchs_half_precision_is_done_again_in_fp32():
    said: list[str] = []
    session = runtime.open(TorchNetwork(Cancels, {"x": (1, 4, 4)}, ("y",)), "cpu", "bf16", warn=said.append)
    x = np.random.default_rng(2).uniform(0.2, 0.8, (2, 1, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(session.run({"x": x})["y"], x, atol=1e-3)
    assert session.precision == "fp32" and len(said) == 1
