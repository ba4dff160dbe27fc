"""The container of motion and curves on disk: a NumPy ``.npz`` with a JSON header. Standard library and numpy only.

Blender's Python can run this file by itself. The archive holds ``header.json`` and one ``NAME.npy`` an array, and
``np.load`` opens it. The header's ``format`` and ``version`` say what the arrays are:

``understudy-motion`` 1
    header: ``frames`` T, ``start`` (number of the first frame, from 0), ``rate`` [numerator, denominator],
    ``neutral_frame``, ``expressions`` (E names), ``mouth`` (M names, may be missing), ``tracked`` (null for motion that
    comes from no footage)
    header, if the footage is cut: ``shots`` ([start, neutral frame] each)
    arrays: ``expression`` (T, E), ``rotation`` (T, 3, 3), ``translation`` (T, 3), ``gaze`` (T, 2, 2), ``valid`` (T,),
    and, where M is not 0, ``mouth`` (T, M)

``understudy-curves`` 1
    header: ``frames``, ``start``, ``rate``, ``neutral_frame`` (or null), and ``channels`` (C names) or ``size`` [W, H]
    arrays: ``samples`` (T, C), or ``landmarks68`` (T, 68, 2)

:mod:`engine.motion.motion` and :mod:`engine.motion.curves` say what the numbers mean.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

MOTION, CURVES = "understudy-motion", "understudy-curves"
VERSIONS = {MOTION: 1, CURVES: 1}
MAX_FRAMES = 300_000  # more than three hours of film
MAX_BYTES = 1 << 31  # of one file, unpacked

_HEADER = "header.json"
_MAX_HEADER = 1 << 20
_MAX_MEMBERS = 32
_MAX_PER_FRAME = 1 << 16  # bytes: no valid file reaches this
_FLOAT, _FLAG = ("<f4", "<f8"), "|u1"
_EARLIER = b"UNDERSTUDY PERFORMANCE"
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(kind: str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """The bytes of a file of ``kind``. Equal content gives equal bytes; numbers are stored as float32."""
    header = {"format": kind, "version": VERSIONS[kind], **header}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        _add(file, _HEADER, json.dumps(header, indent=1, allow_nan=False).encode())
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            stored = np.ascontiguousarray(array, np.uint8 if array.dtype == bool else np.float32)
            member = io.BytesIO()
            np.lib.format.write_array(member, stored, (1, 0), allow_pickle=False)
            _add(file, f"{name}.npy", member.getvalue())
    return buffer.getvalue()


def unpack(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays, float64 and finite but of any name and shape, of an untrusted file.

    Raises ValueError with a reason to show when the file is not of ``kind``, damaged or too large, OSError when it
    cannot be read. Nothing is unpacked before the archive's directory shows that it fits.
    """
    with open(path, "rb") as file:
        if file.read(len(_EARLIER)) == _EARLIER:
            raise ValueError("it is a performance file of an earlier version")
    try:
        with zipfile.ZipFile(path) as archive:
            names, size = _directory(archive)
            header = json.loads(archive.read(_HEADER))
            _check_header(header, kind)
            if size > _MAX_PER_FRAME * (header["frames"] + 1):
                raise ValueError("it holds more than its header says")
            return header, {name.removesuffix(".npy"): _array(archive, name, header["frames"]) for name in names}
    except zipfile.BadZipFile as fault:
        raise ValueError(f"it is not a motion file, or damaged ({fault})") from fault
    except (RuntimeError, EOFError, LookupError, ArithmeticError, MemoryError, zlib.error, struct.error) as fault:
        raise ValueError(f"it is damaged ({fault})") from fault


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
    file.writestr(info, data)


def _directory(archive: zipfile.ZipFile) -> tuple[list[str], int]:
    """The names of all arrays and the unpacked size of all members; zipfile never unpacks more than is stated there."""
    members = archive.infolist()
    names = [info.filename for info in members]
    if _HEADER not in names or len(set(names)) != len(names) or len(names) > _MAX_MEMBERS:
        raise ValueError("it is not a motion file")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members):
        raise ValueError("it is compressed in an unknown way")
    size = sum(info.file_size for info in members)
    if archive.getinfo(_HEADER).file_size > _MAX_HEADER or size > MAX_BYTES:
        raise ValueError("it is too large")
    return [name for name in names if name != _HEADER], size


def _check_header(header: Any, kind: str) -> None:
    if not isinstance(header, dict) or header.get("format") != kind:
        raise ValueError(f"it does not hold {kind}")
    if header["version"] != VERSIONS[kind]:
        raise ValueError(f"its version is {header['version']}, this engine reads {VERSIONS[kind]}")
    frames = header["frames"]
    if type(frames) is not int or not 0 < frames <= MAX_FRAMES:
        raise ValueError(f"its header says {frames!r} frames, allowed are 1 to {MAX_FRAMES}")


def _array(archive: zipfile.ZipFile, name: str, frames: int) -> np.ndarray:
    """A member as float64; refused are objects, a shape that its bytes do not fill, NaN and infinity.

    Only one byte a frame may be a whole number: more would take eight times the memory of the file.
    """
    data = io.BytesIO(archive.read(name))
    if np.lib.format.read_magic(data) != (1, 0):
        raise ValueError(f"its {name} is no plain array")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(data)
    raw = data.getbuffer()[data.tell() :]
    known = dtype.str in _FLOAT or (dtype.str == _FLAG and shape == (frames,))
    if fortran or not known or math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"its {name} is no plain array")
    array = np.frombuffer(raw, dtype).reshape(shape).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"its {name} holds values that are not finite")
    return array
