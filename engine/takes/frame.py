"""One frame of a take on disk. A tag in each PNG says which take it belongs to and what it was drawn from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.media.png_text import read_text

KEYWORD = "Understudy"  # of the PNG's text
MISSING, TORN, FOREIGN = "missing", "torn", "foreign"
DRAWN = ("ok", "held", "reference")  # the statuses of MotionFrame: all frames that need not be drawn again


@dataclass(frozen=True)
class FrameTag:
    """``fingerprint`` is the take's, ``source`` the source frame, ``status`` one of ``DRAWN``."""

    fingerprint: str
    source: int
    status: str

    def text(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> FrameTag | None:
        try:
            tag = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        sound = isinstance(tag.fingerprint, str) and type(tag.source) is int and tag.status in DRAWN
        return tag if sound else None


@dataclass(frozen=True)
class FrameState:
    """``status`` is one of ``DRAWN``, ``missing``, ``torn`` or ``foreign``; ``reason`` says why it is foreign."""

    status: str
    reason: str = ""


def inspect(path: Path, fingerprint: str, source: int, to_end: bool) -> FrameState:
    """What is on disk where a frame of ``fingerprint``, drawn from ``source``, should be.

    ``to_end`` reads the whole file, so that damage anywhere is seen; otherwise only its tag.
    """
    try:
        text, whole = read_text(path, KEYWORD, to_end)
    except FileNotFoundError:
        return FrameState(MISSING)
    except OSError as fault:
        return FrameState(FOREIGN, f"it cannot be read ({fault.strerror or fault})")
    tag = None if text is None else FrameTag.parse(text)
    if tag is None:
        return FrameState(FOREIGN, "it carries no tag of this engine") if whole else FrameState(TORN)
    if tag.fingerprint != fingerprint:
        return FrameState(FOREIGN, "it belongs to another take")
    if tag.source != source:
        return FrameState(FOREIGN, f"it was drawn from source frame {tag.source}, not {source}")
    return FrameState(tag.status if whole else TORN)
