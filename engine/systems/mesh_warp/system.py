"""``mesh_warp``: no network, only the fitted head moving the portrait's own pixels. The baseline of every system."""

from __future__ import annotations

from engine.geometry.frame_inputs import PortraitInputs
from engine.systems.base import Subject, System, WarpedSubject


class MeshWarp(System):
    """The first portrait is drawn; further ones sharpen the subject's identity."""

    name = "mesh_warp"

    def subject(self, portraits: list[PortraitInputs]) -> Subject:
        return WarpedSubject(portraits)
