"""Frames as fixed-size binary records: where each label of a sample lies in a shard."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.geometry import frame_inputs
from engine.geometry.fields import Field
from engine.training.sample import LABELS, OF_PAIR, Frame

FIELDS = (*LABELS, *OF_PAIR)
MAX_SIZE = 4096

Parts = Mapping[str, Frame | np.ndarray | Mapping[str, np.ndarray] | None]


@dataclass(frozen=True)
class Layout:
    """What a record holds: a frame for each name of ``frames``, those ``fields`` of :data:`FIELDS` that are kept, and
    the frame ``inputs`` that are kept.

    ``size`` is the pictures' side in pixels, ``identity`` and ``expression`` the lengths of those coefficients.
    A frame or label that one sample lacks is noted as unknown in its record.
    """

    frames: tuple[str, ...]
    fields: tuple[str, ...]
    size: int
    identity: int
    expression: int
    inputs: tuple[str, ...] = ()

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Layout:
        """Raises KeyError, TypeError or ValueError for what :meth:`to_json` never wrote."""
        layout = cls(
            tuple(map(str, data["frames"])),
            tuple(map(str, data["fields"])),
            *(int(data[name]) for name in ("size", "identity", "expression")),
            inputs=tuple(map(str, data["inputs"])),
        )
        if not layout.frames or not set(layout.fields) <= set(FIELDS) or "image" not in layout.fields:
            raise ValueError(f"its fields are {layout.fields}")
        if not set(layout.inputs) <= set(frame_inputs.STORABLE):
            raise ValueError(f"its frame inputs are {layout.inputs}")
        if not (0 < layout.size <= MAX_SIZE and 0 <= layout.identity <= 1 << 16 and 0 <= layout.expression <= 1 << 16):
            raise ValueError("its dimensions are impossible")
        return layout

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """One record."""
        frame = [("known", "<u4"), ("person", "<i8"), ("face", "?"), *self._columns(self._labels)]
        parts = [("known", "<u4"), *((name, np.dtype(frame, align=True)) for name in self.frames)]
        parts += self._columns(self._motion)
        if self.inputs:
            parts.append(("inputs", np.dtype(self._columns(self._inputs), align=True)))
        return np.dtype(parts, align=True)

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
            elif isinstance(part, Mapping):
                for label in self.inputs:
                    _put(record[name], label, part[label])
            else:
                _put(record, name, part)
        record["known"] = known
        return record

    def unpack(self, record: np.ndarray) -> dict[str, Any]:
        """The parts of a record () that are known, copied."""
        known = int(record["known"])
        return {name: self._part(record[name], name) for bit, name in enumerate(self._parts) if known >> bit & 1}

    @functools.cached_property
    def _labels(self) -> dict[str, Field]:
        return {name: field for name, field in LABELS.items() if name in self.fields}

    @functools.cached_property
    def _motion(self) -> dict[str, Field]:
        return {name: field for name, field in OF_PAIR.items() if name in self.fields}

    @functools.cached_property
    def _inputs(self) -> dict[str, Field]:
        return {name: frame_inputs.FIELDS[name] for name in self.inputs}

    @functools.cached_property
    def _parts(self) -> tuple[str, ...]:
        """What a record may know, in the order of its bits."""
        return (*self.frames, *self._motion, *(["inputs"] if self.inputs else []))

    def _part(self, record: np.ndarray, name: str) -> Frame | np.ndarray | dict[str, np.ndarray]:
        if name in self.frames:
            return self._frame(record)
        if name == "inputs":
            return {label: record[label].copy() for label in self.inputs}
        return record.copy()

    def _pack_frame(self, record: np.ndarray, frame: Frame) -> None:
        known = 0
        for bit, name in enumerate(self._labels):
            value = getattr(frame, name)
            if value is not None:
                known |= 1 << bit
                _put(record, name, value)
        record["known"], record["person"], record["face"] = known, frame.person, frame.face

    def _frame(self, record: np.ndarray) -> Frame:
        known = int(record["known"])
        labels: dict[str, Any] = {
            name: record[name].copy() for bit, name in enumerate(self._labels) if known >> bit & 1
        }
        if "focal" in labels:
            labels["focal"] = float(labels["focal"])
        return Frame(person=int(record["person"]), face=bool(record["face"]), **labels)

    def _columns(self, fields: dict[str, Field]) -> list[Any]:
        sides = {"S": self.size, "K": self.identity, "E": self.expression}
        return [(name, field.kind.dtype, field.dims(sides)) for name, field in fields.items()]


def _put(record: np.ndarray, name: str, value: Any) -> None:
    """NumPy would stretch a label of the wrong shape over its place."""
    if np.shape(value) != record[name].shape:
        raise ValueError(f"{name} is {np.shape(value)}, its place in the record {record[name].shape}")
    record[name] = value
