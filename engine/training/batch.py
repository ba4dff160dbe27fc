"""Pairs of frames into a dict of torch tensors: the only form in which a task sees data.

A key is ``ROLE_LABEL``. The roles ``source``, ``driving`` (one person), ``cross_source`` and ``cross`` (the driving
motion on another identity, and a portrait of that one) have the labels of :data:`engine.training.sample.OF_FRAME`;
``sources`` has the same of all K source frames, (B, K, …). ``inputs`` has the arrays of
:data:`engine.geometry.frame_inputs.FIELDS`. ``flow`` and ``flow_visible`` of the pair have no role.

Tensors have the batch first, then channels: pictures (B, 3, S, S) float32 in −1…1, classes (B, S, S) int64, points
(B, P, 2 or 3) and flow (B, 2, S, S) on the grid of :mod:`engine.geometry.fields`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.errors import EngineError
from engine.face import model as face_model
from engine.geometry import frame_inputs
from engine.geometry.fields import Field
from engine.training.sample import LABELS, OF_FRAME, OF_PAIR, Frame, Pair

Batch = dict[str, Tensor]

ROLES = ("cross_source", "sources", "source", "driving", "cross", "inputs")  # prefixes, the longer ones first


def collate(pairs: Sequence[Pair], wanted: Iterable[str]) -> Batch:
    """Tensors on the CPU of the ``wanted`` keys. Raises EngineError ``missing_label`` where the data lack one, unless
    the key ends in ``?``: then the batch lacks it too, and otherwise has it without the mark."""
    return {key: torch.from_numpy(array) for key, array in arrays(pairs, wanted).items()}


def arrays(pairs: Sequence[Pair], wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """The same before torch sees it, as it travels between processes."""
    made = {}
    for key in sorted(wanted):
        name = key.removesuffix("?")
        try:
            made[name] = np.stack([_array(pair, name) for pair in pairs])
        except EngineError as fault:
            if name == key or fault.code != "missing_label":
                raise
    return made


def inputs_of(wanted: Iterable[str]) -> tuple[str, ...]:
    """The frame inputs among these keys, in the order of FIELDS."""
    asked = {_split(key.removesuffix("?")) for key in wanted}
    return tuple(name for name in frame_inputs.FIELDS if ("inputs", name) in asked)


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """(1, H, W, 2) float32 places of the pixels on the grid, on the device of ``like``."""
    y = torch.linspace(-1, 1, height, device=like.device)
    x = torch.linspace(-1, 1, width, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """``image`` (B, C, H, W) looked up at the grid plus ``flow`` (B, 2, h, w): (B, C, h, w). The sum is made in fp32:
    a bf16 coordinate near 1 is half a pixel wide. A flow that is not a number counts as none: looked up, it would end
    the process and not only the run."""
    grid = identity_grid(flow.shape[2], flow.shape[3], flow) + flow.float().nan_to_num().permute(0, 2, 3, 1)
    with torch.autocast(image.device.type, enabled=False):
        return functional.grid_sample(image.float(), grid, "bilinear", "border", align_corners=True).to(image.dtype)


def _array(pair: Pair, key: str) -> np.ndarray:
    role, label = _split(key)
    fields = {"": OF_PAIR, "inputs": frame_inputs.FIELDS}.get(role, OF_FRAME)
    if label not in fields:
        raise ValueError(f"no batch has a field {key!r}")
    if role == "sources":
        return np.stack([_label(frame, label, key) for frame in pair.sources])
    part = pair if role == "" else getattr(pair, role)
    if isinstance(part, Frame):
        return _label(part, label, key)
    value = part.get(label) if isinstance(part, dict) else getattr(part, label, None)
    if value is None:
        raise _missing(key)
    return fields[label].kind.tensor(value, len(pair.source.image))


def _split(key: str) -> tuple[str, str]:
    """Role and label of a key; the role of a pair's own label is empty."""
    role = next((role for role in ROLES if key.startswith(f"{role}_")), "")
    return role, key.removeprefix(f"{role}_") if role else key


def _label(frame: Frame, label: str, key: str) -> np.ndarray:
    value, size = getattr(frame, label), frame.image.shape[0]
    if not frame.face and label in LABELS and label != "image":
        return _empty(LABELS[label], size)
    if value is None:
        raise _missing(key)
    return OF_FRAME[label].kind.tensor(value, size)


def _empty(field: Field, size: int) -> np.ndarray:
    """What a picture without a face is given."""
    model = face_model.load()
    shape = field.dims({"S": size, "K": len(model.identity), "E": len(model.expression)})
    return np.zeros_like(field.kind.tensor(np.zeros(shape, field.kind.dtype), size))


def _missing(key: str) -> EngineError:
    inputs = key.startswith("inputs_")
    remedy = "Draw the shards with --warp." if inputs else "Train it from the studio or its shards."
    return EngineError("missing_label", f"The data have no {key}, which this task needs.", remedy)
