"""Files to watch a run by: ``log.jsonl``, ``curves.png``, grids of samples, and TensorBoard's on request."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from engine.errors import EngineError
from engine.media.image import encode_png, write_atomic, write_fault

LOG = "log.jsonl"
CURVES = "curves.png"


class Log:
    """Appends one JSON object per line; lines after ``step``, from a run that was interrupted, are dropped first."""

    def __init__(self, folder: Path, step: int) -> None:
        self.rows = [row for row in read(folder / LOG) if row["step"] <= step]
        self.path = folder / LOG
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())

    def add(self, row: dict[str, Any]) -> None:
        """Raises EngineError ``disk_full`` or ``not_writable``."""
        self.rows.append(row)
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as fault:
            raise write_fault(self.path.parent, fault) from fault


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a log, without a last line that was only half written."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def thin(rows: Sequence[dict[str, Any]], limit: int) -> bytes:
    """The log in at most ``limit`` bytes: all measurements, all warnings, the last row, and evenly spaced others."""
    needed = {i for i, row in enumerate(rows) if "measured" in row or "warning" in row or i == len(rows) - 1}
    stride = 1
    while True:
        kept = [row for i, row in enumerate(rows) if i in needed or i % stride == 0]
        data = "".join(json.dumps(row) + "\n" for row in kept).encode()
        if len(data) <= limit or stride > len(rows):
            return data
        stride *= 2


def draw(rows: Sequence[dict[str, Any]], title: str) -> bytes:
    """A PNG of every loss and every held-out error, with its floor, over steps, in 32 colours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    losses: dict[str, list[tuple[int, float]]] = {}
    errors: dict[str, list[tuple[int, float]]] = {}
    floors: dict[str, float] = {}
    for row in rows:
        for name, value in row.get("losses", {}).items():
            losses.setdefault(name, []).append((row["step"], value))
        for name, value in row.get("measured", {}).items():
            errors.setdefault(name, []).append((row["step"], value))
        floors |= row.get("floor", {})
    panels = [*losses.items(), *errors.items()]
    columns = min(4, max(1, len(panels)))
    lines = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(3.6 * columns, 2.5 * lines + 0.4), dpi=80, layout="constrained")
    figure.suptitle(title, fontsize=10)
    for place, (name, points) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, place + 1)
        measured = place >= len(losses)
        axes.plot(*zip(*points), color="tab:orange" if measured else "tab:blue", linewidth=1)
        axes.set_title(f"{name}, held out" if measured else name, fontsize=8)
        if measured and name in floors:
            axes.axhline(floors[name], color="grey", linestyle="--", linewidth=1, label="floor")
            axes.legend(fontsize=7)
        if all(value > 0 for _, value in points):
            axes.set_yscale("log")
        axes.tick_params(which="both", labelsize=7)
        axes.grid(alpha=0.3)
    canvas, data = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    picture.quantize(32).save(data, "PNG", optimize=True)
    return data.getvalue()


def write_curves(folder: Path, rows: Sequence[dict[str, Any]], title: str) -> None:
    write_atomic(folder / CURVES, draw(rows, title))


def write_samples(folder: Path, step: int, picture: np.ndarray) -> None:
    """``picture`` (H, W, 3) uint8 to ``samples/00001000.png``."""
    samples = folder / "samples"
    try:
        samples.mkdir(exist_ok=True)
    except OSError as fault:
        raise write_fault(folder, fault) from fault
    write_atomic(samples / f"{step:08d}.png", encode_png(np.ascontiguousarray(picture)))


def grid(columns: Sequence[Tensor], rows: int = 6) -> np.ndarray:
    """Images (B, 1 or 3, S, S) in −1…1, one tensor per column, one sample per row: (rows·S, columns·S, 3) uint8."""
    tiles = []
    for column in columns:
        images = column[:rows].detach().float().cpu().expand(-1, 3, -1, -1)
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        tiles.append(np.concatenate(list(pixels), axis=0))
    return np.concatenate(tiles, axis=1)


class Board:
    """Copies log and samples to TensorBoard. Raises EngineError ``no_tensorboard``."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as fault:
            raise EngineError(
                "no_tensorboard", f"TensorBoard is not installed ({fault}).",
                "Install it into the training environment, or leave out --tensorboard: curves.png shows the same."
            ) from fault  # fmt: skip
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, row: dict[str, Any]) -> None:
        for kind in ("losses", "measured", "norms"):
            for name, value in row.get(kind, {}).items():
                self._writer.add_scalar(f"{kind}/{name}", value, row["step"])

    def picture(self, step: int, picture: np.ndarray) -> None:
        self._writer.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()
