"""Shadows of the key light by depth maps from the lamp (Williams, "Casting curved shadows on curved surfaces", 1978),
softened by several samples (Reeves et al., "Rendering antialiased shadows with depth maps", 1987)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.training.studio.renderer import surfaces
from engine.training.studio.renderer.shading import Points
from engine.training.studio.renderer.vectors import of_scene, transformed, unit
from engine.training.studio.stage.scene import Material, Scene

_FAR = 400.0  # cm from the head to the lamp
_REACH = 32.0  # cm round the head that cast shadows and receive them
_PLACES = ((0, 0), (-2, -1), (-1, 2), (2, 1), (1, -2))  # distances in texels of the samples …
_EDGE = 2  # … which stay this far from its edge
_LIFT, _SLACK = 0.06, 0.1  # cm along the normal and towards the lamp, against self-shadowing
_HAIR = 0.6  # of the light is blocked by hair and other layers with alpha
_NO_SHADOW = (Material.GLASS, Material.LASH)


@dataclass(frozen=True)
class Shadows:
    """``depth`` (2, B · side · side) cm as the lamps see it, of what is opaque and of hair; ``turn`` (B, 3, 3) from
    camera to lamp, ``middle`` (B, 3) the point at which the lamp looks."""

    side: int
    depth: Tensor
    turn: Tensor
    middle: Tensor

    def places(self, points: Points) -> Tensor:
        """Points in the lamp's view, and the least depth of an occluder that leaves them lit: (4, P), to be
        interpolated."""
        normal, scene = unit(points.normal), points.scene
        towards = transformed(self.turn[:, 2:], normal, scene).clamp(0.25, 1)
        slant = (1 - towards * towards).sqrt() / towards  # cm by which a surface falls away over 1 cm of the map
        middle = of_scene((self.turn @ self.middle[:, :, None])[:, :, 0], scene)
        x, y, z = (transformed(self.turn, points.position + normal * _LIFT, scene) - middle)[:, None]
        depth = _FAR - z
        return torch.cat([x, y, depth, depth - (_SLACK + slant * (2.5 * 2 * _REACH / self.side))])

    def lit(self, places: Tensor, scene: Tensor) -> Tensor:
        """Share of the key light that reaches ``places`` (4, P) in scenes (P,): (P,) 0…1."""
        side = self.side
        x, y, depth, farthest = places
        scale = (_FAR / _REACH / 2 * side) / depth
        column, row = ((side / 2 + s * scale).clamp_(_EDGE, side - 1 - _EDGE).int() for s in (x, -y))
        index = torch.add(column, row, alpha=side)
        if self.depth.shape[1] > side * side:
            index += scene.int() * (side * side)
        reach = torch.zeros_like(places[:2])
        for down, right in _PLACES:
            reach += self.depth.index_select(1, index + (down * side + right)) > farthest
        opaque, hair = reach
        return (opaque / len(_PLACES)) * torch.add(1 - _HAIR, hair, alpha=_HAIR / len(_PLACES))


def shadows(scenes: Sequence[Scene], side: int, rasteriser: str, device: torch.device) -> Shadows:
    """Depth maps of the scenes' lamps, ``side`` texels wide."""
    rows, turns, middles, start = [], [], [], 0
    for number, scene in enumerate(scenes):
        towards = scene.light.key_direction / np.linalg.norm(scene.light.key_direction)
        right = np.cross([0.0, 1.0, 0.0] if abs(towards[1]) < 0.95 else [1.0, 0.0, 0.0], towards)
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(towards, right), towards]).astype(np.float32)
        middle = (scene.head.vertices.min(axis=0) + scene.head.vertices.max(axis=0)) / 2
        for mesh in scene.meshes:
            x, y, z = ((mesh.vertices - middle) @ turn.T).T
            depth = _FAR - z
            scale = _FAR / _REACH / 2 / depth
            place = np.stack([0.5 + x * scale, 0.5 - y * scale], axis=1).astype(np.float32)
            casts = surfaces.seen(mesh, place, depth)
            casts = casts[~np.isin(mesh.material[casts], _NO_SHADOW)]
            triangles = mesh.triangles[casts].astype(np.int64) + start
            image = np.full(len(triangles), number + (len(scenes) if mesh.layer else 0))
            rows.append((place, depth.astype(np.float32), triangles, image))
            start += len(depth)
        turns.append(turn)
        middles.append(middle.astype(np.float32))
    maps = torch.full((2 * len(scenes) * side * side,), torch.inf, device=device)
    if rows:
        place, depth, triangles, image = (
            torch.from_numpy(np.concatenate(parts)).to(device) for parts in zip(*rows, strict=True)
        )
        drawn = surfaces.draw(place, depth, triangles, image, 2 * len(scenes), side, rasteriser)
        maps[drawn.pixel] = drawn.depth
    turn, middle = (torch.from_numpy(np.stack(values)).to(device) for values in (turns, middles))
    return Shadows(side, maps.view(2, -1), turn, middle)
