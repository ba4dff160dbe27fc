"""Whether a PNG file is whole, told from its two ends without decoding it."""

from __future__ import annotations

import os
from pathlib import Path

_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_TAIL = b"\0\0\0\0IEND\xaeB`\x82"


def is_whole_png(path: Path, size: tuple[int, int] | None = None) -> bool:
    """True when ``path`` begins as a PNG of ``size`` (width, height; any if None) and ends as one must."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_HEAD) + 8)
            file.seek(-len(_TAIL), os.SEEK_END)
            tail = file.read()
    except OSError:
        return False  # missing, unreadable, or shorter than its last chunk
    if not head.startswith(_HEAD) or tail != _TAIL:
        return False
    stated = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    return size is None or stated == size
