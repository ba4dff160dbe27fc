"""``python -m engine train export RUN``: write a run's averaged weights as files that ship, with rows in the manifest.

NAME.safetensors, and NAME.onnx or NAME_GRAPH.onnx if the task has graphs, each compared with torch. Log, curves and
record of the run go to weights/training/NAME; the row holds their hashes, so that every shipped file leads back to the
run that made it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from engine import runtime
from engine.errors import EngineError
from engine.media.image import write_atomic, write_fault
from engine.training import checkpoint, curves, manifest, provenance
from engine.training.loop import RECIPE, recorded
from engine.training.recipe import Recipe, parse
from engine.training.task import Graph, Task
from engine.training.tasks import create
from engine.weights import JUDGE

FORMAT = "understudy-weights"
ROOT = Path(__file__).resolve().parents[2]
OPSETS = (16, 17, 18, 20)  # 16 has bilinear GridSample, 17 LayerNorm; every runtime we use reads up to 20
_LOG_BYTES = 60_000
_TOLERANCE = 1e-3  # of the largest output, or of 1


def command(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="engine train export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--name", help="of the files (default: the recipe's)")
    parser.add_argument("--half", action="store_true", help="fp16 safetensors, half the size")
    parser.add_argument("--size", type=int, help="of the pictures in the ONNX files (default: the last stage's)")
    parser.add_argument("--opset", type=int, default=17, choices=OPSETS)
    parser.add_argument(
        "--judge", action="store_true", help="ONNX files into weights/judge/, for networks that score takes only"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="holds weights/ (default: this one)")
    options = parser.parse_args(argv)
    run = Run.read(options.run)
    size = options.size or run.recipe.stages[-1].size
    name = options.name or run.recipe.name
    for path in export(run, options.root, name, size, options.half, options.opset, options.judge):
        print(f"{path}  {path.stat().st_size} bytes")
    return 0


@dataclass(frozen=True)
class Run:
    """The newest checkpoint in the folder of a run: ``task`` holds the averaged weights, ``rows`` the log up to it."""

    folder: Path
    recipe: Recipe
    data: dict[str, Any]
    step: int
    seconds: float
    task: Task
    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises EngineError ``no_checkpoint``, ``bad_checkpoint`` or ``bad_run``."""
        path = checkpoint.newest(folder)
        if path is None:
            raise EngineError("no_checkpoint", f"{folder} holds no checkpoint.", "Give the folder of a run.")
        found = checkpoint.read(path)
        try:
            recipe = parse(json.loads((folder / RECIPE).read_bytes())["recipe"], str(folder / RECIPE), folder.name)
            task = create(recipe.task, recipe.options, f"{folder / RECIPE}, [options]")
            prefix = "average."
            task.load_state({k.removeprefix(prefix): v for k, v in found.tensors.items() if k.startswith(prefix)},
                            task.averaged)  # fmt: skip
        except (OSError, LookupError, TypeError, ValueError, RuntimeError) as fault:
            raise EngineError("bad_run", f"{folder} is not a complete run: {fault}.", "Train it again.") from fault
        task.train(False)
        step = int(found.state["step"])
        rows = [row for row in curves.read(folder / curves.LOG) if row["step"] <= step]
        return cls(folder, recipe, found.state["data"], step, float(found.state["seconds"]), task, rows)


def export(
    run: Run, root: Path, name: str, size: int, half: bool = False, opset: int = 17, judge: bool = False
) -> list[Path]:
    """Write weights, record, log, curves and manifest rows under ``root``; returns the weights' paths. ``judge``: ONNX
    files go to ``weights/judge``, where only evaluation looks."""
    place = f"{JUDGE}/" if judge else ""
    files = {f"{name}.safetensors": safetensors(run, half)}
    graphs = run.task.export(size)
    for part, graph in graphs.items():
        data = onnx(graph, opset)
        parity(data, graph)
        files[place + (f"{name}.onnx" if len(graphs) == 1 else f"{name}_{part}.onnx")] = data
    folder, evidence = root / "weights", root / "weights" / "training" / name
    for needed in (folder / place, evidence):
        try:
            needed.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise write_fault(needed, fault) from fault
    record = _record(run)
    row = _row(run, record)
    for key, file, data in (
        ("log", "log.jsonl", curves.thin(run.rows, _LOG_BYTES)),
        ("curve", "curve.png", curves.draw(run.rows, name)),
        ("run", "run.json", (json.dumps(record, indent=1) + "\n").encode()),
    ):
        write_atomic(evidence / file, data)
        row[key] = (evidence / file).relative_to(root).as_posix()
        row[f"{key}_sha256"] = hashlib.sha256(data).hexdigest()
    for file, data in files.items():
        write_atomic(folder / file, data)
        first: dict[str, Any] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if judge or file.endswith(".safetensors"):
            first["use"] = "training"
        manifest.update(folder / "manifest.toml", file, first | row)
    return [folder / file for file in files]


def safetensors(run: Run, half: bool = False) -> bytes:
    """The networks that ship, keys ``network.tensor``; the header says how to build them."""
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in run.task.state(run.task.shipped).items()
    }
    header = {
        "format": FORMAT,
        "task": run.recipe.task,
        "options": json.dumps(asdict(run.task.options)),
        "recipe": run.recipe.name,
        "steps": str(run.step),
    }
    return _sorted_metadata(save(tensors, header))


def _sorted_metadata(data: bytes) -> bytes:
    """The same file with the header's metadata sorted: the library's own order differs from call to call."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[start:]


def onnx(graph: Graph, opset: int = 17) -> bytes:
    """The bytes of an ONNX file with static shapes, from torch's tracing exporter."""
    module = graph.module.cpu().eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its deprecation and every traced constant
        torch.onnx.export(
            module,
            tuple(graph.inputs.values()),
            str(path := Path(folder) / "network.onnx"),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=opset,
            dynamo=False,
        )
        return path.read_bytes()


@torch.no_grad()
def parity(network: bytes, graph: Graph, name: str = "onnxruntime") -> float:
    """The largest difference between torch and the ONNX file ``network`` in the runtime ``name``, on noise, relative to
    the largest output or 1. Raises EngineError ``onnx_differs`` above 0.001."""
    random = torch.Generator().manual_seed(1)
    inputs = {key: torch.rand(example.shape, generator=random) * 2 - 1 for key, example in graph.inputs.items()}
    answers = graph.module.cpu().eval()(*inputs.values())
    truths = [answers] if isinstance(answers, Tensor) else list(answers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(network)
        session = runtime.open(path, device="cpu", precision="fp32", runtime=name)
        made = session.run({key: tensor.numpy() for key, tensor in inputs.items()})
        session.release()
    worst = 0.0
    for key, truth in zip(graph.outputs, truths):
        scale = max(1.0, float(truth.abs().max()))
        worst = max(worst, float((torch.from_numpy(made[key]) - truth).abs().max()) / scale)
    if not worst <= _TOLERANCE:
        raise EngineError(
            "onnx_differs", f"In {name} the network differs from torch by {worst:.2g}.", "Try another --opset."
        )
    return worst


def _record(run: Run) -> dict[str, Any]:
    """Recipe, data, start and held-out data, without paths of this machine: seeds and hashes identify the data."""
    recipe = asdict(run.recipe)
    recipe["data"] |= {"path": "", "held_out": ""}
    told = {key: value for key in ("held_out", "start") if (value := recorded(run.folder, key))}
    if run.recipe.data.held_out:
        told.setdefault("held_out", {"kind": "a folder that the run does not describe"})
    return {"recipe": recipe, "data": run.data, **told}


def _row(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """The manifest's row of a run, without hashes."""
    last = next((row for row in reversed(run.rows) if "measured" in row), {})
    figures = [
        f"{name} {value:.4g} on held-out pairs at {last['size']} px, floor {last['floor'][name]:.4g}"
        for name, value in last.get("measured", {}).items()
    ]
    return {
        "licence": run.recipe.licence,
        **provenance.origin(record),
        "steps": run.step,
        "seconds": round(run.seconds),
        "seed": run.recipe.seed,
        "data_seed": run.recipe.data.seed,
        "figures": figures,
    }
