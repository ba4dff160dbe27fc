"""Networks through ONNX Runtime and OpenVINO: what they compute, what they really got, and real faults."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine import runtime
from engine.errors import EngineError
from engine.runtime import onnxruntime_backend, openvino_backend

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = ROOT / "tests" / "data" / "networks"  # what they are is said in tests/training/networks.py
RUNTIMES = ("openvino", "onnxruntime")
half = pytest.mark.skipif("bf16" not in openvino_backend.precisions(), reason="this processor has no bf16")


def feeds(count: int, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.uniform(-1, 1, (count, 3, 16, 16)).astype(np.float32)
    return {"image": image, "flow": rng.normal(0, 0.2, (count, 16, 16, 2)).astype(np.float32)}


@pytest.mark.parametrize("name", RUNTIMES)
def test_any_number_of_items_goes_through_a_fixed_batch(name):
    given = feeds(5)
    one = runtime.open(NETWORKS / "warp.onnx", "cpu", "fp32", name)
    three = runtime.open(NETWORKS / "warp.onnx", "cpu", "fp32", name, batch=3)
    assert (one.batch, three.batch) == (1, 3)
    assert (three.device, three.precision) == ("cpu", "fp32")
    single, together = one.run(given), three.run(given)
    assert single["mended"].shape == (5, 3, 16, 16) and single["mean"].shape == (5, 8)
    for key, value in single.items():
        np.testing.assert_allclose(together[key], value, atol=1e-5)
    shared = three.run({"image": given["image"][:1], "flow": given["flow"]})  # one picture, five flows
    again = three.run({"image": np.repeat(given["image"][:1], 5, axis=0), "flow": given["flow"]})
    np.testing.assert_array_equal(shared["mended"], again["mended"])


def test_the_runtimes_agree_in_fp32():
    given = feeds(4)
    first, second = (runtime.open(NETWORKS / "warp.onnx", "cpu", "fp32", name).run(given) for name in RUNTIMES)
    for key, value in first.items():
        np.testing.assert_allclose(second[key], value, atol=2e-5)


@half
def test_bf16_is_near_fp32():
    given = feeds(4)
    session = runtime.open(NETWORKS / "warp.onnx", "cpu", "bf16")
    assert session.describe() == "OpenVINO, cpu, bf16"
    exact = runtime.open(NETWORKS / "warp.onnx", "cpu", "fp32").run(given)
    np.testing.assert_allclose(session.run(given)["mean"], exact["mean"], atol=0.03)


@pytest.mark.parametrize(
    ("features", "precision"), [({"avx512_bf16", "amx_bf16"}, "bf16"), ({"avx512_bf16"}, "fp32"), (set(), "fp32")]
)
@half
def test_bf16_is_chosen_only_where_it_is_the_faster(monkeypatch, features, precision):
    monkeypatch.setattr("engine.device.processor_features", lambda: frozenset(features))
    assert runtime.open(NETWORKS / "warp.onnx", "cpu").precision == precision


def test_what_the_processor_lacks_is_refused_not_emulated(monkeypatch):
    monkeypatch.setattr("engine.device.processor_features", frozenset)
    assert openvino_backend.automatic_precision() == "fp32"
    with pytest.raises(EngineError) as caught:
        runtime.open(NETWORKS / "warp.onnx", "cpu", "bf16")
    assert caught.value.code == "network_refused" and "bf16" in caught.value.text


@half
def test_black_in_half_precision_is_done_again_in_fp32():
    said: list[str] = []
    session = runtime.open(NETWORKS / "cancels.onnx", "cpu", "bf16", warn=said.append)
    x = np.random.default_rng(2).uniform(0.2, 0.8, (2, 1, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(session.run({"x": x})["y"], x, atol=1e-3)
    assert session.precision == "fp32" and len(said) == 1 and "fp32" in said[0] and "cancels.onnx" in said[0]


@half
def test_black_that_is_right_keeps_half_precision():
    said: list[str] = []
    session = runtime.open(NETWORKS / "cancels.onnx", "cpu", "bf16", warn=said.append)
    assert not session.run({"x": np.zeros((2, 1, 4, 4), np.float32)})["y"].any()
    assert session.precision == "bf16" and not said


def test_nan_in_half_precision_is_done_again_in_fp32():
    said: list[str] = []
    session = runtime.open(NETWORKS / "overflows.onnx", "cpu", "fp16", "onnxruntime", warn=said.append)
    assert session.precision == "fp16"
    dim, bright = np.full((2, 1, 4, 4), 1, np.float32), np.full((2, 1, 4, 4), 1e5, np.float32)
    np.testing.assert_allclose(session.run({"x": dim})["y"], 2, atol=1)
    assert session.precision == "fp16"
    np.testing.assert_allclose(session.run({"x": bright})["y"], 2, atol=0.1)
    assert session.precision == "fp32" and len(said) == 1 and "NaN" in said[0]


@pytest.mark.parametrize("name", RUNTIMES)
def test_no_numbers_even_in_fp32_is_an_error(name):
    session = runtime.open(NETWORKS / "roots.onnx", "cpu", "fp32", name)
    with pytest.raises(EngineError) as caught:
        session.run({"x": np.full((2, 1, 4, 4), -1, np.float32)})
    assert caught.value.code == "not_finite" and "roots.onnx" in caught.value.text


@pytest.mark.skipif(onnxruntime_backend.has_cuda(), reason="CUDA is here")
def test_a_device_that_is_not_there_is_an_error_unless_the_cpu_will_do():
    with pytest.raises(EngineError) as caught:
        runtime.open(NETWORKS / "warp.onnx", "cuda")
    assert caught.value.code == "no_device" and "CUDA" in caught.value.text
    said: list[str] = []
    session = runtime.open(NETWORKS / "warp.onnx", "cuda", allow_fallback=True, warn=said.append)
    assert session.device == "cpu" and len(said) == 1 and "CPU" in said[0]


def test_auto_on_a_machine_without_a_card_says_nothing():
    said: list[str] = []
    session = runtime.open(NETWORKS / "warp.onnx", warn=said.append)
    assert session.device == ("cuda" if onnxruntime_backend.has_cuda() else "cpu") and not said


@pytest.mark.parametrize("name", ["auto", *RUNTIMES])
def test_a_damaged_file_is_one_clear_error(folder, name):
    file = folder / "netz.onnx"
    whole = (NETWORKS / "warp.onnx").read_bytes()
    for contents in (whole[: len(whole) // 2], b"", b"not a network", whole[:100] + bytes(500) + whole[600:]):
        file.write_bytes(contents)
        said: list[str] = []
        with pytest.raises(EngineError) as caught:
            runtime.open(file, "cpu", "fp32", name, warn=said.append)
        assert caught.value.code == "network_refused" and "netz.onnx" in caught.value.text and not said


def test_a_missing_file_is_one_clear_error(folder):
    with pytest.raises(EngineError) as caught:
        runtime.open(folder / "none.onnx")
    assert caught.value.code == "missing_network"


def test_released_memory_comes_back_by_itself():
    given = feeds(2)
    session = runtime.open(NETWORKS / "warp.onnx", "cpu", "fp32", batch=2)
    before = session.run(given)["mended"]
    session.release()
    assert session.device == "cpu" and session.batch == 2
    np.testing.assert_array_equal(session.run(given)["mended"], before)


def test_a_network_is_kept_open_until_its_file_changes(tmp_path):
    path = tmp_path / "network.onnx"
    shutil.copy(NETWORKS / "warp.onnx", path)
    first = runtime.kept(path)
    assert runtime.kept(tmp_path / "." / "network.onnx") is first
    os.utime(path, (1, 1))
    again = runtime.kept(path)
    assert again is not first and again.inputs == first.inputs
    again.precision = "fp16"  # as if it had fallen back: nobody else shall have to go on with that
    assert runtime.kept(path) is not again
    path.unlink()
    with pytest.raises(EngineError) as caught:
        runtime.kept(path)
    assert caught.value.code == "missing_network"


def test_wrong_inputs_are_named():
    session = runtime.open(NETWORKS / "warp.onnx", "cpu")
    given = feeds(2)
    with pytest.raises(ValueError, match="image, flow"):
        session.run({"image": given["image"]})
    with pytest.raises(ValueError, match="16, 16, 2"):
        session.run({**given, "flow": given["flow"][:, :8]})
    with pytest.raises(ValueError, match="do not go together"):
        session.run({"image": given["image"], "flow": feeds(3)["flow"]})


# 64 MB an item between the two layers: eight do not fit into what the process may still take, four do.
STARVED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
from engine import runtime
path, batch, megabytes = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
runtime.open(path.with_name("warp.onnx"), "cpu", "fp32", "onnxruntime", threads=1)  # libraries and threads first
x = np.ones((batch, 1, 512, 512), np.float32)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20,) * 2)
said = []
try:
    session = runtime.open(path, "cpu", "fp32", "onnxruntime", batch=batch, warn=said.append, threads=1)
    y = session.run({"x": x})["y"]
    print(session.batch, y.shape, *said, sep="|")
except Exception as fault:
    print(fault.code, fault.text, sep="|")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process' memory as Linux does")
def test_out_of_memory_is_met_with_a_smaller_batch_then_an_error():
    """How much a batch takes beside its 64 MB an item depends on the allocator, so the limit is lowered step by step,
    until fewer than all eight fit; where none fits, there is one clear error."""
    batches = set()
    for megabytes in (40, *range(600, 200, -80)):
        arguments = [str(ROOT), str(NETWORKS / "large.onnx"), "8", str(megabytes)]
        run = subprocess.run([sys.executable, "-I", "-c", STARVED, *arguments], capture_output=True, encoding="utf-8")
        first, second, *said = run.stdout.strip().split("|")
        if first == "out_of_memory":
            assert "large.onnx" in second, run
            batches.add(0)
            continue
        assert second == "(8, 1, 512, 512)", run
        assert all("too little memory" in line for line in said) and bool(said) == (int(first) < 8)
        batches.add(int(first))
        if batches & {1, 2, 4}:
            break
    assert 0 in batches and batches & {1, 2, 4}, batches


def test_two_builds_of_onnxruntime_are_refused(folder):
    """What pip leaves when the second is installed over the first: a second entry beside one folder."""
    entry = folder / "onnxruntime_gpu-1.31.1.dist-info"
    entry.mkdir()
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.31.1\n")
    program = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from engine.runtime import onnxruntime_backend\n"
        "try: onnxruntime_backend.module()\n"
        "except Exception as fault: print(fault.code, fault.text)"
    )
    command = [sys.executable, "-I", "-X", "utf8", "-c", program, str(ROOT), str(folder)]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    assert said.startswith("two_onnxruntimes onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1")


def test_a_graph_cannot_reach_for_other_files(folder):
    """The network is read from memory, so that weights it names outside itself are refused, whatever the path."""
    shutil.copy(NETWORKS / "external.onnx", folder / "external.onnx")
    (folder / "secret.bin").write_bytes(bytes(64))
    for name in RUNTIMES:
        with pytest.raises(EngineError) as caught:
            runtime.open(folder / "external.onnx", "cpu", "fp32", name)
        assert caught.value.code == "network_refused"
