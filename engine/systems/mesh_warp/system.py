"""``mesh_warp``: no network, only the fitted head moving the portrait's own pixels. The baseline of every system."""

from __future__ import annotations

from engine.compositing.warped_portrait import WarpedPortrait
from engine.systems.base import Portrait, Subject, System


class MeshWarp(System):
    """The first portrait is drawn; further ones sharpen the subject's identity."""

    name = "mesh_warp"

    def prepare(self, portraits: list[Portrait]) -> Subject:
        return WarpedPortrait(portraits[0])
