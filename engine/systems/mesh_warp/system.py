"""``mesh_warp``: no network, only the fitted head moving the portrait's own pixels. The baseline of every system."""

from __future__ import annotations

from typing import Any

from engine.compositing.warped_portrait import WarpedPortrait
from engine.errors import EngineError
from engine.systems.base import Portrait, Subject, System


class MeshWarp(System):
    """The first portrait is drawn; further ones sharpen the subject's identity."""

    name = "mesh_warp"
    needs_performance = True

    def __init__(self, options: dict[str, Any]) -> None:
        if options:
            raise EngineError("bad_option", f"mesh_warp has no option {next(iter(options))!r}.", "Leave it out.")
        super().__init__(options)

    def prepare(self, portraits: list[Portrait]) -> Subject:
        return WarpedPortrait(portraits[0])
