"""What the add-on and the engine say to each other: one JSON object a line. Standard library only; both sides read it.

To the engine (stdin):    ``job`` (a :class:`Job`), ``cancel``, ``exit``. End of file means ``cancel`` then ``exit``.
From the engine (stdout) for one job::

    hello     protocol, version, python, pid              once, before anything is read
    take      folder, name, width, height, total          after the analysis; a take without frames is removed
    progress  phase (wait|analyse|render), done, total, fps, seconds_left (null while unknown);
              ``wait`` while another process analyses the same footage
    frame     frame (output number), file (name), status  the file is whole on disk; ``kept``: it was there before
    warning   code, text, remedy
    error     code, text, remedy                          ends the job; frames already announced stay
    done      frames (asked for and on disk), cancelled, folder (empty without a take), sidecar, device
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

PROTOCOL = 2
VERSION = "0.1.0"  # repeated in blender_manifest.toml and pyproject.toml, which a test compares
MAX_LINE = 32 * 1024 * 1024

DRIVING_KINDS = ("movie", "sequence", "motion", "curves", "none")
MOTION_PRESETS = ("absolute", "relative", "mixed")
MOTION_PARTS = ("expression", "rotation", "translation")
IDENTITIES = ("portrait", "driver")
NO_FACE_POLICIES = ("hold", "reference", "fail")
NEW, LATEST = "new", "latest"  # of Job.take, which may also name a version such as v003
FIRST_FRAME = 1001

_SHOT = re.compile(r"[A-Za-z0-9._-]{1,120}")
_VERSION = re.compile(r"v\d{3,}")
_TAKE = re.compile(r"(?P<shot>[A-Za-z0-9._-]+)_understudy_v(?P<version>\d{3,})")


class ProtocolError(ValueError):
    """An invalid line, or an invalid job in it."""


@dataclass(frozen=True)
class Driving:
    """Where the motion comes from.

    ``kind`` is ``movie`` (``path`` is the file), ``sequence`` (``path`` is the folder, ``files`` the names in order),
    ``motion`` or ``curves`` (``path`` is a ``.motion.npz`` or ``.curves.npz`` file), or ``none`` (for systems that need
    no motion).
    """

    kind: str
    path: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """Everything one take is made from; its JSON form goes into the sidecar and can replay the take.

    ``frames`` alone decides the timing: pairs (output frame number, source frame counted from 0), in output order.
    ``fps`` is a rational. ``output`` is the folder that receives the take's own versioned folder. ``motion`` is a
    preset or {expression|rotation|translation: absolute|relative}; ``expression`` may be a number too, from 0
    (relative) to 1 (absolute). ``neutral_frame`` is a source frame, None for the engine's choice. ``identity`` says
    whose head moves: the ``portrait``'s, or the ``driver``'s as the footage shows it. ``analysed`` is the range
    [start, stop) of source frames that is analysed whatever ``frames`` asks for, so that every part of a take moves
    alike; None is the whole driver. ``take`` is ``new``, ``latest`` or a version such as ``v003``: the take that
    receives the frames.
    """

    system: str
    portraits: tuple[str, ...]
    driving: Driving
    frames: tuple[tuple[int, int], ...]
    fps: tuple[int, int]
    output: str
    shot: str
    motion: str | dict[str, str | float] = "mixed"
    neutral_frame: int | None = None
    detector: str = "builtin"
    no_face: str = "hold"
    identity: str = "portrait"
    options: dict[str, Any] = field(default_factory=dict)
    analysed: tuple[int, int] | None = None
    take: str = NEW

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        """Build a job from untrusted JSON; raises :class:`ProtocolError` naming the first field that is wrong."""
        known = cls.__dataclass_fields__
        unknown = sorted(set(data) - set(known) - {"type"})
        if unknown:
            raise ProtocolError(f"unknown job field {unknown[0]!r}")
        try:
            driving = data["driving"]
            job = cls(
                system=_text(data, "system"),
                portraits=tuple(_strings(data["portraits"], "portraits")),
                driving=Driving(
                    _text(driving, "kind"),
                    _text({"path": "", **driving}, "path"),
                    tuple(_strings(driving.get("files", ()), "files")),
                ),
                frames=tuple((_integer(a, "frames"), _integer(b, "frames")) for a, b in data["frames"]),
                fps=(_integer(data["fps"][0], "fps"), _integer(data["fps"][1], "fps")),
                output=_text(data, "output"),
                shot=_text(data, "shot"),
                motion=data.get("motion", "mixed"),
                neutral_frame=data.get("neutral_frame"),
                detector=_text({"detector": "builtin", **data}, "detector"),
                no_face=data.get("no_face", "hold"),
                identity=data.get("identity", "portrait"),
                options=data.get("options", {}),
                analysed=_range(data.get("analysed"), "analysed"),
                take=_text({"take": NEW, **data}, "take"),
            )
        except ProtocolError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:
            raise ProtocolError(f"malformed job: {fault!r}") from fault
        job.check()
        return job

    def check(self) -> None:
        """Raise :class:`ProtocolError` when a field is out of range."""
        if not self.portraits:
            raise ProtocolError("portraits: at least one is needed")
        if not self.frames:
            raise ProtocolError("frames: at least one is needed")
        numbers = [output for output, _ in self.frames]
        if len(set(numbers)) != len(numbers) or min(numbers) < 0:
            raise ProtocolError("frames: output numbers must be unique and not negative")
        if min(source for _, source in self.frames) < 0:
            raise ProtocolError("frames: source frames are counted from 0")
        if self.fps[0] <= 0 or self.fps[1] <= 0:
            raise ProtocolError("fps: both numbers must be positive")
        if not _SHOT.fullmatch(self.shot) or self.shot.strip(".") == "":
            raise ProtocolError(f"shot: {self.shot!r} may hold only letters, digits, '.', '_' and '-'")
        if self.driving.kind not in DRIVING_KINDS:
            raise ProtocolError(f"driving: unknown kind {self.driving.kind!r}")
        if any("/" in name or "\\" in name or name in ("", ".", "..") for name in self.driving.files):
            raise ProtocolError("driving: files must be plain names inside the folder")
        if self.no_face not in NO_FACE_POLICIES:
            raise ProtocolError(f"no_face: one of {', '.join(NO_FACE_POLICIES)}")
        if self.identity not in IDENTITIES:
            raise ProtocolError(f"identity: {self.identity!r} is not one of {', '.join(IDENTITIES)}")
        if self.identity == "driver" and self.driving.kind == "none":
            raise ProtocolError("identity: there is no driver, so its head cannot move")
        if self.neutral_frame is not None and (type(self.neutral_frame) is not int or self.neutral_frame < 0):
            raise ProtocolError("neutral_frame: a source frame counted from 0, or null")
        if self.take not in (NEW, LATEST) and not _VERSION.fullmatch(self.take):
            raise ProtocolError(f"take: {self.take!r} is neither {NEW}, {LATEST} nor a version such as v003")
        if self.analysed is not None:
            start, stop = self.analysed
            if not 0 <= start < stop:
                raise ProtocolError("analysed: a range [start, stop) of source frames counted from 0, or null")
            if any(not start <= source < stop for _, source in self.frames):
                raise ProtocolError("analysed: every source frame of frames must lie within")
        if not isinstance(self.options, dict):
            raise ProtocolError("options: an object")
        if isinstance(self.motion, str):
            valid = self.motion in MOTION_PRESETS
        else:
            valid = isinstance(self.motion, dict) and all(_is_mode(*pair) for pair in self.motion.items())
        if not valid:
            raise ProtocolError(
                f"motion: {self.motion!r} is neither a preset nor a part → absolute|relative table (expression: or 0…1)"
            )


def encode(message: dict[str, Any]) -> str:
    """One message as one line, ASCII only, with its newline."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n"


def decode(line: str) -> dict[str, Any]:
    """One line as a message; raises :class:`ProtocolError` on anything that is not an object with a ``type``."""
    if len(line) > MAX_LINE:
        raise ProtocolError("message longer than 32 MiB")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise ProtocolError(f"not JSON: {line[:120]!r}") from fault
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError(f"not a message: {line[:120]!r}")
    return message


def clean_shot(text: str) -> str:
    """A shot name that film pipelines accept: every run of other characters becomes one ``_``; never empty."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")[:80].strip("._-")
    return cleaned or "shot"


def take_name(shot: str, version: int) -> str:
    return f"{shot}_understudy_v{version:03d}"


def take_version(name: str, shot: str) -> int | None:
    """The version in a take's name if it is a take of ``shot``, else None."""
    match = _TAKE.fullmatch(name)
    return int(match["version"]) if match and match["shot"] == shot else None


def frame_name(take: str, frame: int) -> str:
    return f"{take}.{frame:04d}.png"


def parse_frames(text: str) -> list[int]:
    """Frame numbers of ``1001-1100x2,1200``, sorted and unique; raises ValueError that says what is wrong."""
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?", part)
        if not match:
            raise ValueError(f"{part!r} is not a frame, a range like 1001-1100 or a stepped range like 1001-1100x2")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        step = int(match[3]) if match[3] else 1
        if last < first or step < 1 or last - first > 10_000_000:
            raise ValueError(f"{part!r}: the last frame must not precede the first, and the step is 1 or more")
        numbers.update(range(first, last + 1, step))
    return sorted(numbers)


def _is_mode(part: Any, mode: Any) -> bool:
    if part == "expression" and type(mode) in (int, float):
        return 0 <= mode <= 1
    return part in MOTION_PARTS and mode in ("absolute", "relative")


def _text(data: dict[str, Any], key: str) -> str:
    value = data[key]
    if not isinstance(value, str) or "\0" in value:
        raise ProtocolError(f"{key}: a text is needed")
    return value


def _strings(values: Any, key: str) -> list[str]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) and "\0" not in v for v in values):
        raise ProtocolError(f"{key}: a list of texts is needed")
    return list(values)


def _range(value: Any, key: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ProtocolError(f"{key}: a pair of whole numbers is needed, or null")
    return _integer(value[0], key), _integer(value[1], key)


def _integer(value: Any, key: str) -> int:
    if type(value) is not int:
        raise ProtocolError(f"{key}: whole numbers are needed, got {value!r}")
    return value
