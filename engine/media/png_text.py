"""A text inside a PNG file, beside its pixels, and whether such a file is whole. No decoding."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = len(_SIGNATURE) + 25  # the first chunk, IHDR, has 13 bytes of data
_MAX_TEXT = 1 << 16  # bytes; a longer text is not ours


def with_text(png: bytes, keyword: str, text: str) -> bytes:
    """The bytes of a PNG file with a tEXt chunk after its header. ``text`` is Latin-1."""
    body = b"tEXt" + keyword.encode("latin-1") + b"\0" + text.encode("latin-1")
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:_HEADER_END] + chunk + png[_HEADER_END:]


def read_text(path: Path, keyword: str, to_end: bool) -> tuple[str | None, bool]:
    """The first text under ``keyword`` (None without one), and whether the file is whole as far as it was read.

    ``to_end`` reads every chunk and checks it; otherwise reading ends at the text. Raises OSError.
    """
    text, wanted = None, keyword.encode("latin-1") + b"\0"
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return None, False
        while (chunk := _chunk(file)) is not None:
            kind, data = chunk
            if kind == b"tEXt" and text is None and data.startswith(wanted):
                text = data[len(wanted) :].decode("latin-1")
                if not to_end:
                    return text, True
            if kind == b"IEND":
                return text, True
    return text, False


def _chunk(file: BinaryIO) -> tuple[bytes, bytes] | None:
    """Kind of the next chunk, and its data unless that is too long for a text; None where the file is cut or damaged.

    The stated length may lie: no more than a block is read at once.
    """
    length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
    data = block = file.read(min(length, _MAX_TEXT))
    checksum, left = zlib.crc32(block, zlib.crc32(kind)), length - len(block)
    while block and left:
        block = file.read(min(left, _MAX_TEXT))
        checksum, left = zlib.crc32(block, checksum), left - len(block)
    if left or file.read(4) != checksum.to_bytes(4, "big"):
        return None
    return kind, data if length <= _MAX_TEXT else b""
