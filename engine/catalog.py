"""Every reenactment system and face detector, described once. Standard library only; the add-on reads it too.

The registry, the command line, the panel, ``doctor``, export and the docs take names, labels, options and weight files
from here. A new system is one entry in :data:`SYSTEMS` and one folder in ``engine/systems``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class OptionError(ValueError):
    """An option that its system does not have, or a value that it does not take."""


@dataclass(frozen=True)
class Option:
    """One typed option. ``kind`` is ``bool``, ``choice``, ``number`` or ``path``; its default is of that kind.

    ``choices`` are (value, label, tooltip) of a ``choice``; ``minimum`` and ``maximum`` are the inclusive bounds of a
    ``number``. A ``keyframed`` option may change from frame to frame; a panel may hide an ``advanced`` one.
    """

    name: str
    kind: str
    default: Any
    label: str
    tooltip: str
    choices: tuple[tuple[str, str, str], ...] = ()
    minimum: float = 0.0
    maximum: float = 1.0
    keyframed: bool = False
    advanced: bool = False

    @property
    def accepts(self) -> str:
        """The allowed values, for people."""
        if self.kind == "choice":
            return " or ".join(value for value, _, _ in self.choices)
        if self.kind == "number":
            return f"a number from {self.minimum:,.10g} to {self.maximum:,.10g}"
        return {"bool": "true or false", "path": "a path"}[self.kind]

    def check(self, value: Any) -> Any:
        """``value`` if it is allowed; raises :class:`OptionError`."""
        if self.kind == "number":
            allowed = type(value) in (int, float) and self.minimum <= value <= self.maximum
        elif self.kind == "choice":
            allowed = isinstance(value, str) and value in {choice for choice, _, _ in self.choices}
        else:
            allowed = isinstance(value, bool if self.kind == "bool" else str)
        if not allowed:
            raise OptionError(f"{self.name}: {value!r} is not {self.accepts}")
        return value


@dataclass(frozen=True)
class SystemInfo:
    """A system, described without importing it.

    ``entry`` is ``module:class``. ``number`` is what .blend files store for the choice; it never changes. ``weights``
    are the files in the weights folder that it draws with by default. ``needs`` names the arrays of
    :data:`engine.geometry.frame_inputs.FIELDS` that it reads, and ``window`` how many frames of motion it sees on both
    sides of the one it draws. ``portraits`` is the most that it draws from, None for no limit; further ones only
    sharpen the fitted identity. ``driven`` says whether it follows a motion at all.
    """

    name: str
    label: str
    description: str
    number: int
    entry: str
    options: tuple[Option, ...] = ()
    needs: tuple[str, ...] = ()
    window: int = 0
    portraits: int | None = 1
    weights: tuple[str, ...] = ()
    driven: bool = True

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options with their values, defaults filled in; raises :class:`OptionError` naming the first wrong one."""
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                offered = f"it has {', '.join(known)}" if known else "it has none"
                raise OptionError(f"{self.name} has no option {name!r}; {offered}")
        return {name: option.check(options.get(name, option.default)) for name, option in known.items()}


@dataclass(frozen=True)
class DetectorInfo:
    """A face detector; ``weights`` are files that it needs, ``number`` is what .blend files store for the choice."""

    name: str
    label: str
    description: str
    number: int
    entry: str
    weights: tuple[str, ...] = ()


SYSTEMS = (
    SystemInfo(
        name="mesh_warp",
        label="Mesh Warp",
        description="The fitted face model moves the portrait's own pixels; no network",
        number=0,
        entry="engine.systems.mesh_warp.system:MeshWarp",
        needs=("frame",),
    ),
    SystemInfo(
        name="identity_matched",
        label="Identity Matched",
        description="A network repairs Mesh Warp's frame: the mouth, and what comes into view when the head turns",
        number=2,
        entry="engine.systems.identity_matched.system:IdentityMatched",
        weights=("identity_matched_source.onnx", "identity_matched_frame.onnx"),
        needs=(
            *("source_image", "source_pncc", "mesh", "frame", "warped", "pncc", "driver_pncc"),
            *("flow", "hidden", "stretch", "parts", "lids"),
        ),
        options=(
            Option(
                "residual",
                "bool",
                True,
                "Network",
                "Let the network repair the frame. Off: the frame is Mesh Warp's",
            ),
            Option(
                "correspondence",
                "choice",
                "learned",
                "Correspondence",
                "How the network finds the matching place in the portrait",
                choices=(
                    ("learned", "Learned", "By the network's own features"),
                    ("analytic", "Analytic", "By the drawn mesh"),
                ),
            ),
            Option(
                "pncc",
                "choice",
                "rebuilt",
                "Geometry Code",
                "Whose head shape the network sees",
                choices=(
                    ("rebuilt", "Portrait's", "Rebuilt from the portrait's identity"),
                    ("driving", "Driver's", "The driver's own, for comparison"),
                ),
                advanced=True,
            ),
            Option(
                "size",
                "choice",
                "fast",
                "Size",
                "Which of the two networks draws",
                choices=(
                    ("fast", "Fast", "The network that ships"),
                    ("paper", "Paper", "The size of the paper; train and export it first"),
                ),
                advanced=True,
            ),
            Option(
                "weights",
                "path",
                "",
                "Weights",
                "Path of other networks, without the endings _source.onnx and _frame.onnx",
                advanced=True,
            ),
        ),
    ),
    SystemInfo(
        name="null",
        label="Still",
        description="Copies the portrait into every frame, to test everything around a system",
        number=1,
        entry="engine.systems.null.system:Null",
        driven=False,
        options=(
            Option(
                "delay_ms",
                "number",
                0.0,
                "Delay",
                "Milliseconds to wait at each frame",
                maximum=60_000.0,
                advanced=True,
            ),
            Option(
                "fail_at",
                "number",
                -1.0,
                "Fail at",
                "Fail after this many frames; −1 never does",
                minimum=-1.0,
                maximum=1e6,
                advanced=True,
            ),
        ),
    ),
)

DETECTORS = (
    DetectorInfo(
        name="builtin",
        label="Built-in",
        description="MediaPipe's networks, run by the engine; finds small faces and several of them",
        number=0,
        entry="engine.tracking.builtin_detector:BuiltinDetector",
        weights=(
            "mediapipe/face_short_range.onnx",
            "mediapipe/face_full_range.onnx",
            "mediapipe/face_mesh.onnx",
        ),
    ),
    DetectorInfo(
        name="understudy",
        label="Understudy",
        description="The project's own, trained on rendered heads",
        number=2,
        entry="engine.tracking.regressor_detector:RegressorDetector",
        weights=("face_regressor.onnx",),
    ),
    DetectorInfo(
        name="face-alignment",
        label="face-alignment",
        description="Optional, installed apart; fetches two networks (180 MB) from its author on first use. He offers "
        "them under BSD-3-Clause, but does not own the photographs they were trained on (300W-LP, AFLW and others), "
        "whose terms may forbid commercial work: ask before using it for one",
        number=1,
        entry="engine.tracking.face_alignment_detector:FaceAlignmentDetector",
    ),
)


def systems(weights: Path) -> list[SystemInfo]:
    """The systems whose weight files are in the folder ``weights``."""
    return [info for info in SYSTEMS if all((weights / file).is_file() for file in info.weights)]


def detectors(weights: Path) -> list[DetectorInfo]:
    """The detectors whose weight files are in the folder ``weights``."""
    return [info for info in DETECTORS if all((weights / file).is_file() for file in info.weights)]


SYSTEMS_BY_NAME = {info.name: info for info in SYSTEMS}
DETECTORS_BY_NAME = {info.name: info for info in DETECTORS}
# Jobs, motion files and recipes made before name the package whose networks the built-in detector runs.
DETECTORS_BY_NAME["mediapipe"] = DETECTORS_BY_NAME["builtin"]
