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
            if kind == b"tEXt" and text is None and data.startswith(wanted) and len(data) <= _MAX_TEXT:
                text = data[len(wanted) :].decode("latin-1")
                if not to_end:
                    return text, True
            if kind == b"IEND":
                return text, True
    return text, False


def _chunk(file: BinaryIO) -> tuple[bytes, bytes] | None:
    """Kind and data of the next chunk; None where the file is cut or damaged."""
    length = int.from_bytes(file.read(4), "big")
    body = file.read(4 + length)  # a wrong length gives the rest of the file, which is too short
    if len(body) != 4 + length or file.read(4) != zlib.crc32(body).to_bytes(4, "big"):
        return None
    return body[:4], body[4:]
