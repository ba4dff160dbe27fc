"""``identity_matched``: ``mesh_warp``'s frame, mended by a network that compares PNCCs of the portrait's own identity.

What the portrait shows stays the portrait's; the network moves it a little and fills in what geometry alone cannot
know: the inside of the mouth, what comes into view when the head turns, closing lids, the silhouette.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine import runtime, weights
from engine.compositing.native import Canvas, head_share, modelled, paintable, tempered
from engine.compositing.shut_lids import ShutLids
from engine.compositing.warped_portrait import WarpedPortrait
from engine.errors import EngineError
from engine.face.camera import Pose
from engine.face.maths import smoothstep
from engine.geometry.conditions import EYE, MOUTH, SKIN, Conditioner, Conditions
from engine.geometry.flow import GeometryFlow
from engine.geometry.framing import Square, framed
from engine.motion.motion import MotionFrame
from engine.systems.base import Portrait, Subject, System

FILES = {"fast": "identity_matched", "paper": "identity_matched_paper"}  # what the names of their weights begin with
SOURCE = "source.onnx"
FRAME = {"learned": "frame.onnx", "analytic": "frame_analytic.onnx"}  # by how places of the portrait are found
_ANSWERS = ("offset", "mask", "generated")
_GIVEN = ("pncc", "warped", "flow", "hidden", "stretch", "parts")  # what a network may be told of a frame
_STILL, _MOVING = 0.001, 0.008  # of the square's side: so far moves what rests, and what is no longer as portrayed


class IdentityMatched(System):
    """The first portrait is drawn; further ones sharpen the subject's identity. Its options: :mod:`engine.catalog`."""

    name = "identity_matched"

    def __init__(self, options: dict[str, Any]) -> None:
        """Raises EngineError ``missing_network`` where the networks it needs are not there."""
        super().__init__(options)
        stem = Path(options["weights"] or weights.FOLDER / FILES[options["size"]])
        names = (SOURCE, FRAME[options["correspondence"]]) if options["residual"] else ()
        self._own_pncc = options["pncc"] == "rebuilt"
        self.weights = tuple(stem.with_name(f"{stem.name}_{name}") for name in names)
        missing = [path for path in self.weights if not path.is_file()]
        if missing:
            raise EngineError(
                "missing_network",
                f"identity_matched needs the network {missing[0]}, which is not there.",
                "Install Understudy again, or choose another system."
                if options["size"] == "fast" and not options["weights"]
                else "Train and export it (docs/identity_matched.md), or leave the option out.",
            )

    def prepare(self, portraits: list[Portrait]) -> Subject:
        warped = WarpedPortrait(portraits[0])
        if not self.weights:
            return warped
        source, frame = self.weights
        return MendedPortrait(portraits[0], warped, source, frame, self._own_pncc)


class MendedPortrait(Subject):
    """One portrait and what the network remembers of it."""

    def __init__(
        self, portrait: Portrait, warped: WarpedPortrait, source: Path, frame: Path, own_pncc: bool = True
    ) -> None:
        """``source`` and ``frame``: the two halves of the network; ``own_pncc`` false shows it the driver's."""
        self.size = warped.size
        self._own_pncc = own_pncc
        self._rgb, self._warped = portrait.rgb, warped
        assert portrait.face is not None
        self._face = portrait.face
        square = head_square(portrait)
        self._path, self._session = frame, runtime.kept(frame)
        side = _side(self._session, frame, "pncc")
        self._condition = Conditioner(warped.build, square, side)
        self._canvas = Canvas(square, side)
        self._knows_warp = "warped" in self._session.inputs
        self._lids = ShutLids(portrait.rgb, warped.build.source, square) if self._knows_warp else None
        self._known = self._remembered(source, side)
        for name, shape in self._session.inputs.items():
            if name not in _GIVEN and (name not in self._known or self._known[name].shape[1:] != shape):
                raise _unfit(frame, f"it takes {name} {shape}, which {source.name} does not give")

    @property
    def networks(self) -> str:
        return self._session.describe()

    def draw(self, motion: MotionFrame | None) -> np.ndarray:
        assert motion is not None
        frame, flow = self._warped.trace(motion)
        conditions = self._conditions(flow, motion)
        share = self._share(conditions, motion)
        if share.any():
            frame = self._answered(frame, conditions, share)
        if self._lids is not None:
            self._lids.mend(frame, flow, Pose(motion.rotation, motion.translation), conditions.lids)
        return frame

    def _answered(self, frame: np.ndarray, conditions: Conditions, share: np.ndarray) -> np.ndarray:
        """``frame`` as the network has it, a new one, as far as it has a ``share`` (S, S) 0…1 in it."""
        given = self._known | _feeds(conditions, self._picture(frame))
        answer = self._session.run({name: given[name] for name in self._session.inputs})
        if lacking := [name for name in _ANSWERS if name not in answer]:
            raise _unfit(self._path, f"it gives no {' and no '.join(lacking)}")
        offset, mask, generated = (answer[name][0] for name in _ANSWERS)
        if not self._knows_warp:
            return self._canvas.mend(frame, self._rgb, offset, mask, generated, share)  # it moves the portrait itself
        mask = share * paintable(conditions) * mask
        generated = tempered(generated, given["warped"][0], conditions)
        return self._canvas.mend(frame, frame, share * offset, mask, generated, detailed=modelled(conditions))

    def _share(self, conditions: Conditions, motion: MotionFrame) -> np.ndarray:
        """(S, S) float32 0…1: how much the network has to say; nothing while the face is as in the portrait."""
        pose = Pose(motion.rotation, motion.translation)
        head = head_share(self._condition.square, self._condition.size, self._face.camera, pose)
        return head * np.float32(smoothstep(np.asarray((conditions.motion - _STILL) / (_MOVING - _STILL))))

    def _conditions(self, flow: GeometryFlow, motion: MotionFrame) -> Conditions:
        known = self._condition(flow)
        if self._own_pncc or motion.driver is None:
            return known
        head = self._warped.place(replace(motion, identity=motion.driver))
        return replace(known, pncc=self._condition.pncc(head, Pose(motion.rotation, motion.translation)))

    def _remembered(self, path: Path, side: int) -> dict[str, np.ndarray]:
        """What the first half says of the portrait, by name."""
        session = runtime.kept(path)
        given = {"source": self._picture(self._rgb), "source_pncc": _planes(self._condition.source_pncc())}
        if session.inputs != dict.fromkeys(given, (3, side, side)):
            raise _unfit(path, f"it does not take {' and '.join(given)} of {side} pixels")
        return session.run(given)

    def _picture(self, rgb: np.ndarray) -> np.ndarray:
        """The head's square of a frame (H, W, 3) uint8 as (1, 3, S, S) in −1…1."""
        return _planes(self._condition.square.cut(rgb, self._condition.size)) * np.float32(2 / 255) - 1


def head_square(portrait: Portrait) -> Square:
    """Whole pixels, inside the portrait: the head, its hair and a little of the shoulders, as the studio frames it."""
    assert portrait.face is not None
    whole, (height, width) = framed(portrait.face.camera, portrait.face.pose), portrait.rgb.shape[:2]
    side = min(round(whole.side), width, height)
    less = (whole.side - side) / 2
    left, top = (
        int(np.clip(round(at + less), 0, length - side)) for at, length in zip((whole.left, whole.top), (width, height))
    )
    return Square(left, top, side)


def _feeds(known: Conditions, warped: np.ndarray) -> dict[str, np.ndarray]:
    """What the network is told of a frame, by the names that it may ask for."""
    return {
        "pncc": _planes(known.pncc),
        "warped": warped,
        "flow": _planes(known.flow) * np.float32(2 / (len(known.flow) - 1)),  # on the grid
        "hidden": _planes(known.hidden),
        "stretch": _planes(known.stretch),
        "parts": _planes(np.dstack([known.part == part for part in (SKIN, EYE, MOUTH)])),
    }


def _planes(picture: np.ndarray) -> np.ndarray:
    """(S, S) or (S, S, C) as (1, C, S, S) float32."""
    return np.ascontiguousarray(np.atleast_3d(picture).transpose(2, 0, 1)[None], np.float32)


def _side(session: runtime.Session, path: Path, name: str) -> int:
    """Of the pictures that a network takes under ``name``."""
    shape = session.inputs.get(name, ())
    if len(shape) != 3 or shape[1] != shape[2]:
        raise _unfit(path, f"it takes no square pictures {name}")
    return shape[1]


def _unfit(path: Path, reason: str) -> EngineError:
    return EngineError(
        "bad_network",
        f"{path} is no network of identity_matched: {reason}.",
        "Give files that were exported together, or install Understudy again.",
    )
