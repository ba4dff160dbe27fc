"""Pairs of frames into a dict of torch tensors: the only form in which a task sees data.

A key is ``ROLE_LABEL``. Roles: ``source``, ``driving`` (one person), ``cross_source``, ``cross`` (the driving motion on
another identity, and a portrait of that one). Labels, for a batch of B pictures S wide:

==================  =======================  =========================================================================
``image``           (B, 3, S, S) float32     −1…1, display-referred sRGB
``matte``           (B, 1, S, S) float32     0…1, 1 is person
``parsing``         (B, S, S) int64          class of ``studio.scene.Parsing``
``pncc``            (B, 3, S, S) float32     0…1, 0 where there is none
``depth``           (B, 1, S, S) float32     cm, 0 in the background
``landmarks68``     (B, 68, 2) float32       (x, y) on the grid, see below
``visible68``       (B, 68) float32          0 or 1
``dense``           (B, 468, 3) float32      (x, y) on the grid and z in its unit, negative towards the camera
``dense_visible``   (B, 468) float32         0 or 1
``identity``        (B, K) float32           face model's coefficients
``expression``      (B, E) float32           face model's weights
``gaze``            (B, 2, 2) float32        radians, left eye first, (pitch, yaw)
``rotation``        (B, 3, 3) float32        head to camera
``translation``     (B, 3) float32           cm
``focal``           (B,) float32             in widths
``person``          (B,) int64               number of the sitter
``face``            (B,) float32             1 where there is a face; all labels of a picture without one are 0
==================  =======================  =========================================================================

and of the pair: ``flow`` (B, 2, S, S) float32, for each pixel of driving the offset (x, y) on the grid to the same
point in source, and ``flow_visible`` (B, 1, S, S) float32.

Of a pair's ``Warp``, all float32 but the last: ``warp_image`` (B, 3, S, S) −1…1, ``warp_pncc`` and ``warp_source_pncc``
(B, 3, S, S) 0…1, ``warp_flow`` (B, 2, S, S) offsets on the grid as ``flow``, ``warp_hidden`` (B, 1, S, S) 0…1,
``warp_stretch`` (B, 1, S, S) −4…4, ``warp_part`` (B, S, S) int64 of 0…3.

The grid: −1 and 1 are the *centres* of the first and last pixel, which is ``align_corners=True`` everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.errors import EngineError
from engine.face import model as face_model
from engine.training.sample import Frame, Pair

Batch = dict[str, Tensor]

ROLES = ("cross_source", "source", "driving", "cross")  # the longer name first: keys are told apart by prefix
LABELS = (
    *("image", "matte", "parsing", "pncc", "depth", "landmarks68", "visible68", "dense", "dense_visible"),
    *("identity", "expression", "gaze", "rotation", "translation", "focal", "person", "face"),
)
OF_PAIR = ("flow", "flow_visible")


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


def to_grid(pixels: Any, size: int) -> Any:
    """Pixels (…, 2), centres at +.5, to the grid."""
    return (pixels - 0.5) * (2 / (size - 1)) - 1


def to_pixels(grid: Any, size: int) -> Any:
    """The inverse of :func:`to_grid`."""
    return (grid + 1) * ((size - 1) / 2) + 0.5


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
    if key in OF_PAIR:
        value = getattr(pair, key)
        if value is None:
            raise _missing(key)
        return _grid_flow(value) if key == "flow" else value.astype(np.float32)[None]
    if key.startswith("warp_"):
        if pair.warp is None:
            raise _missing(key)
        return _of_warp(getattr(pair.warp, key[len("warp_") :], None), key)
    role = next((role for role in ROLES if key.startswith(f"{role}_")), None)
    label = key[len(role) + 1 :] if role else key
    if role is None or label not in LABELS:
        raise ValueError(f"no batch has a field {key!r}")
    frame = getattr(pair, role)
    if frame is None:
        raise _missing(key)
    return _label(frame, label, key)


def _of_warp(value: np.ndarray | None, key: str) -> np.ndarray:
    if value is None:
        raise ValueError(f"no batch has a field {key!r}")
    if key == "warp_part":
        return value.astype(np.int64)
    if key == "warp_flow":
        return _grid_flow(value)
    if key == "warp_image":
        return _picture(value)
    if key == "warp_hidden":
        return value[None].astype(np.float32) * np.float32(1 / 255)
    planes = np.atleast_3d(value.astype(np.float32)).transpose(2, 0, 1)
    return np.ascontiguousarray(planes)


def _grid_flow(offsets: np.ndarray) -> np.ndarray:
    """(S, S, 2) pixels to (2, S, S) on the grid."""
    return np.ascontiguousarray(offsets.astype(np.float32).transpose(2, 0, 1) * np.float32(2 / (len(offsets) - 1)))


def _picture(rgb: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32) * np.float32(2 / 255) - 1


def _label(frame: Frame, label: str, key: str) -> np.ndarray:
    value, size = getattr(frame, label), frame.image.shape[0]
    if value is None or (not frame.face and label in _EMPTY):
        if frame.face or label not in _EMPTY:
            raise _missing(key)
        return _EMPTY[label](size)
    if label == "image":
        return _picture(value)
    if label == "matte":
        return value[None].astype(np.float32) * np.float32(1 / 255)
    if label == "pncc":
        return np.ascontiguousarray(value.transpose(2, 0, 1).astype(np.float32))
    if label == "depth":
        depth = value[None].astype(np.float32)
        return np.where(np.isfinite(depth), depth, np.float32(0))
    if label == "landmarks68":
        return to_grid(value, size).astype(np.float32)
    if label == "dense":
        return np.concatenate([to_grid(value[:, :2], size), value[:, 2:] * (2 / (size - 1))], axis=1).astype(np.float32)
    if label in ("parsing", "person"):
        return np.asarray(value, np.int64)
    return np.asarray(value, np.float32)


def _missing(key: str) -> EngineError:
    remedy = "Draw the shards with --warp." if key.startswith("warp_") else "Train it from the studio or its shards."
    return EngineError("missing_label", f"The data have no {key}, which this task needs.", remedy)


def _zeros(*shape: int) -> Any:
    return lambda size: np.zeros([size if n == -1 else n for n in shape], np.float32)


# What a picture without a face is given.
_EMPTY = {
    "matte": _zeros(1, -1, -1), "pncc": _zeros(3, -1, -1), "depth": _zeros(1, -1, -1),
    "parsing": lambda size: np.zeros((size, size), np.int64),
    "landmarks68": _zeros(68, 2), "visible68": _zeros(68), "dense": _zeros(468, 3), "dense_visible": _zeros(468),
    "identity": lambda size: np.zeros(len(face_model.load().identity), np.float32),
    "expression": lambda size: np.zeros(len(face_model.load().expression), np.float32),
    "gaze": _zeros(2, 2), "rotation": _zeros(3, 3), "translation": _zeros(3), "focal": _zeros(),
}  # fmt: skip
