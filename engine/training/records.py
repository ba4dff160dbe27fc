"""Frames as fixed-size binary records: where each label of a sample lies in a shard."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.training.sample import Frame, Warp

# S is the picture's side, K and E the face model's identities and expressions.
FRAME_FIELDS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "image": ("u1", ("S", "S", 3)),
    "matte": ("u1", ("S", "S")),
    "parsing": ("u1", ("S", "S")),
    "pncc": ("<f2", ("S", "S", 3)),
    "depth": ("<f2", ("S", "S")),
    "landmarks68": ("<f4", (68, 2)),
    "visible68": ("?", (68,)),
    "dense": ("<f4", (468, 3)),
    "dense_visible": ("?", (468,)),
    "identity": ("<f4", ("K",)),
    "expression": ("<f4", ("E",)),
    "gaze": ("<f4", (2, 2)),
    "rotation": ("<f4", (3, 3)),
    "translation": ("<f4", (3,)),
    "focal": ("<f4", ()),
}
MOTION_FIELDS = {"flow": ("<f2", ("S", "S", 2)), "flow_visible": ("?", ("S", "S"))}
WARP_FIELDS = {
    "image": ("u1", ("S", "S", 3)),
    "pncc": ("<f2", ("S", "S", 3)),
    "source_pncc": ("<f2", ("S", "S", 3)),
    "flow": ("<f2", ("S", "S", 2)),
    "hidden": ("u1", ("S", "S")),
    "stretch": ("<f2", ("S", "S")),
    "part": ("u1", ("S", "S")),
}
FIELDS = (*FRAME_FIELDS, *MOTION_FIELDS, "warp")
MAX_SIZE = 4096

Parts = Mapping[str, Frame | Warp | np.ndarray | None]


@dataclass(frozen=True)
class Layout:
    """What a record holds: a frame for each name of ``frames``, and the ``fields`` of FIELDS that are kept of them.

    ``size`` is the pictures' side in pixels, ``identity`` and ``expression`` the lengths of those coefficients.
    A frame or label that one sample lacks is noted as unknown in its record.
    """

    frames: tuple[str, ...]
    fields: tuple[str, ...]
    size: int
    identity: int
    expression: int

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Layout:
        """Raises KeyError, TypeError or ValueError for what :meth:`to_json` never wrote."""
        layout = cls(
            tuple(map(str, data["frames"])),
            tuple(map(str, data["fields"])),
            *(int(data[name]) for name in ("size", "identity", "expression")),
        )
        if not layout.frames or not set(layout.fields) <= set(FIELDS) or "image" not in layout.fields:
            raise ValueError(f"its fields are {layout.fields}")
        if not (0 < layout.size <= MAX_SIZE and 0 <= layout.identity <= 1 << 16 and 0 <= layout.expression <= 1 << 16):
            raise ValueError("its dimensions are impossible")
        return layout

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """One record."""
        labels = [(name, kind, self._shape(shape)) for name, (kind, shape) in self._kept(FRAME_FIELDS).items()]
        frame = np.dtype([("known", "<u4"), ("person", "<i8"), ("face", "?"), *labels], align=True)
        motion = [(name, kind, self._shape(shape)) for name, (kind, shape) in self._kept(MOTION_FIELDS).items()]
        pictures = [(name, kind, self._shape(shape)) for name, (kind, shape) in WARP_FIELDS.items()]
        warp = [("warp", np.dtype(pictures, align=True))] if "warp" in self.fields else []
        return np.dtype([("known", "<u4"), *((name, frame) for name in self.frames), *motion, *warp], align=True)

    def pack(self, parts: Parts) -> np.ndarray:
        """One record () of frames and motion fields by name; what it has no room for is left out."""
        record = np.zeros((), self.dtype)
        known = 0
        for bit, name in enumerate(self._parts):
            part = parts.get(name)
            if part is None:
                continue
            known |= 1 << bit
            if isinstance(part, Frame):
                self._pack_frame(record[name], part)
            elif isinstance(part, Warp):
                for label in WARP_FIELDS:
                    _put(record[name], label, getattr(part, label))
            else:
                _put(record, name, part)
        record["known"] = known
        return record

    def unpack(self, record: np.ndarray) -> dict[str, Any]:
        """The parts of a record () that are known, copied."""
        known = int(record["known"])
        return {name: self._part(record[name], name) for bit, name in enumerate(self._parts) if known >> bit & 1}

    @functools.cached_property
    def _parts(self) -> tuple[str, ...]:
        """What a record may know, in the order of its bits."""
        return (*self.frames, *self._kept(MOTION_FIELDS), *(["warp"] if "warp" in self.fields else []))

    def _part(self, record: np.ndarray, name: str) -> Frame | Warp | np.ndarray:
        if name in self.frames:
            return self._frame(record)
        if name == "warp":
            return Warp(**{label: record[label].copy() for label in WARP_FIELDS})
        return record.copy()

    def _pack_frame(self, record: np.ndarray, frame: Frame) -> None:
        known = 0
        for bit, name in enumerate(self._kept(FRAME_FIELDS)):
            value = getattr(frame, name)
            if value is not None:
                known |= 1 << bit
                _put(record, name, value)
        record["known"], record["person"], record["face"] = known, frame.person, frame.face

    def _frame(self, record: np.ndarray) -> Frame:
        known = int(record["known"])
        labels: dict[str, Any] = {
            name: record[name].copy() for bit, name in enumerate(self._kept(FRAME_FIELDS)) if known >> bit & 1
        }
        if "focal" in labels:
            labels["focal"] = float(labels["focal"])
        return Frame(person=int(record["person"]), face=bool(record["face"]), **labels)

    def _kept(self, table: dict[str, Any]) -> dict[str, Any]:
        return {name: spec for name, spec in table.items() if name in self.fields}

    def _shape(self, shape: tuple[int | str, ...]) -> tuple[int, ...]:
        sides = {"S": self.size, "K": self.identity, "E": self.expression}
        return tuple(sides[n] if isinstance(n, str) else n for n in shape)


def _put(record: np.ndarray, name: str, value: Any) -> None:
    """NumPy would stretch a label of the wrong shape over its place."""
    if np.shape(value) != record[name].shape:
        raise ValueError(f"{name} is {np.shape(value)}, its place in the record {record[name].shape}")
    record[name] = value
