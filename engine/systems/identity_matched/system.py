"""``identity_matched``: a network that compares PNCCs of the portrait's own identity, and mends ``mesh_warp``'s frame.

The network moves the portrait's pixels a little and generates what geometry cannot know: the inside of the mouth, what
comes into view when the head turns, closing lids, the silhouette.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine import runtime, weights
from engine.compositing.native import Canvas, head_share, modelled, movement, paintable, tempered
from engine.errors import EngineError
from engine.geometry.frame_inputs import EYE, MOUTH, SKIN, FrameInputs, PortraitInputs
from engine.systems.base import Subject, System, WarpedSubject

FILES = {"fast": "identity_matched", "paper": "identity_matched_paper"}  # what the names of their weights begin with
SOURCE = "source.onnx"
FRAME = {"learned": "frame.onnx", "analytic": "frame_analytic.onnx"}  # by the option ``correspondence``
_SOURCE_INPUTS = {"source": "source_image", "source_pncc": "source_pncc"}  # the network's names of the arrays
_FRAME_INPUTS = ("pncc", "warped", "flow", "hidden", "stretch", "parts")
_OUTPUTS = ("offset", "mask", "generated")


class IdentityMatched(System):
    """The first portrait is drawn; further ones sharpen the subject's identity. Its options: :mod:`engine.catalog`."""

    name = "identity_matched"

    def __init__(self, options: dict[str, Any]) -> None:
        """Raises EngineError ``missing_network`` where the networks it needs are missing."""
        super().__init__(options)
        stem = Path(options["weights"] or weights.FOLDER / FILES[options["size"]])
        names = (SOURCE, FRAME[options["correspondence"]]) if options["residual"] else ()
        self.weights = tuple(stem.with_name(f"{stem.name}_{name}") for name in names)
        missing = [path for path in self.weights if not path.is_file()]
        if missing:
            raise EngineError(
                "missing_network",
                f"identity_matched needs the network {missing[0]}, which is missing.",
                "Install Understudy again, or choose another system."
                if options["size"] == "fast" and not options["weights"]
                else "Train and export it (docs/cards/identity_matched.md), or leave the option out.",
            )

    @property
    def side(self) -> int:
        """Raises EngineError ``bad_network``."""
        if not self.weights:
            return super().side
        path = self.weights[1]
        shape = runtime.kept(path).inputs.get("pncc", ())
        if len(shape) != 3 or shape[1] != shape[2]:
            raise _unfit(path, "it takes no square pictures pncc")
        return shape[1]

    def subject(self, portraits: list[PortraitInputs]) -> Subject:
        if not self.weights:
            return WarpedSubject(portraits)
        return MendedPortrait(portraits, *self.weights, self.options["pncc"] == "rebuilt")


class MendedPortrait(Subject):
    """One portrait and what the network remembers of it."""

    def __init__(self, portraits: list[PortraitInputs], source: Path, frame: Path, own_pncc: bool) -> None:
        """``source`` and ``frame`` are the two halves of the network; ``own_pncc`` False shows it the driver's code."""
        super().__init__(portraits)
        portrait = portraits[0]
        self._portrait, self._path = portrait, frame
        self._session = runtime.kept(frame)
        self._pncc = "pncc" if own_pncc else "driver_pncc"
        self._canvas = Canvas(portrait.square, portrait.side)
        self._knows_warp = "warped" in self._session.inputs
        self._known = self._remembered(source)
        for name, shape in self._session.inputs.items():
            if name not in _FRAME_INPUTS and (name not in self._known or self._known[name].shape[1:] != shape):
                raise _unfit(frame, f"it takes {name} {shape}, which {source.name} does not give")

    @property
    def networks(self) -> str:
        return self._session.describe()

    def draw(self, inputs: FrameInputs) -> np.ndarray:
        share = head_share(self._portrait.square, self._portrait.side, self._portrait.face.camera, inputs.pose)
        share = share * movement(inputs["flow"], inputs["parts"])
        if not share.any():
            return inputs["frame"].copy()
        frame = self._mended(inputs, share)
        inputs.finish(frame)
        return frame

    def _mended(self, inputs: FrameInputs, share: np.ndarray) -> np.ndarray:
        """The frame as the network answers, blended by ``share`` (S, S) 0…1 with mesh_warp's."""
        told = self._known | self._told(inputs)
        answer = self._session.run({name: told[name] for name in self._session.inputs})
        if lacking := [name for name in _OUTPUTS if name not in answer]:
            raise _unfit(self._path, f"it gives no {' and no '.join(lacking)}")
        offset, mask, generated = (answer[name][0] for name in _OUTPUTS)
        frame, parts, hidden = inputs["frame"], inputs["parts"], inputs["hidden"]
        if not self._knows_warp:  # the network moves the portrait itself
            return self._canvas.mend(frame, self._portrait.rgb, offset, mask, generated, share)
        mask = share * paintable(parts, hidden, inputs["lids"]) * mask
        generated = tempered(generated, told["warped"][0], parts, hidden)
        return self._canvas.mend(frame, frame, share * offset, mask, generated, detailed=modelled(parts))

    def _told(self, inputs: FrameInputs) -> dict[str, np.ndarray]:
        """What the network's frame half may be told, (1, C, S, S) float32 by the network's names."""
        parts = np.stack([inputs["parts"] == part for part in (SKIN, EYE, MOUTH)])[None].astype(np.float32)
        told = {name: inputs.tensor(name) for name in ("warped", "flow", "hidden", "stretch")}
        return {**told, "pncc": inputs.tensor(self._pncc), "parts": parts}

    def _remembered(self, path: Path) -> dict[str, np.ndarray]:
        """What the network's source half says of the portrait, by name."""
        session, side = runtime.kept(path), self._portrait.side
        if session.inputs != dict.fromkeys(_SOURCE_INPUTS, (3, side, side)):
            raise _unfit(path, f"it does not take {' and '.join(_SOURCE_INPUTS)} of {side} pixels")
        return session.run({name: self._portrait.tensor(array) for name, array in _SOURCE_INPUTS.items()})


def _unfit(path: Path, reason: str) -> EngineError:
    return EngineError(
        "bad_network",
        f"{path} is no network of identity_matched: {reason}.",
        "Give files that were exported together, or install Understudy again.",
    )
