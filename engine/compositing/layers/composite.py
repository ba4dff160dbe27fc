"""The layers of one frame put together at the portrait's own resolution, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from engine.compositing.layers.materials import Materials
from engine.compositing.tiles import Stack, Tiles

_STILL = 1 / 256  # portrait pixels: less moves no value by more than one level
_SOLID = 0.98  # coverage from which the shell counts as whole
_SEEN = 1e-3  # weights below change nothing
_REACH = np.ones((5, 5), np.uint8)  # flow pixels that blurring and enlarging mix in


@dataclass(frozen=True)
class FrameMaps:
    """One frame at flow resolution (h, w). Offsets are in portrait pixels from a pixel to the place it looks up.

    ``body`` (h, w, 2) offset; ``shell`` (h, w, 3) offset and coverage; ``mesh`` (h, w, 4) offset, opacity and how
    ``poor`` what it looks up is; ``atlas`` (h, w, 2) pixels of the atlas; ``before`` (h, w) 0…1 where the shell lies
    before the mesh; ``far`` 0…1 how far the head has turned.
    """

    body: np.ndarray
    shell: np.ndarray
    mesh: np.ndarray
    atlas: np.ndarray
    before: np.ndarray
    far: float


class Composite:
    """Body over plate, shell over both, mesh on top; where nothing moves, the portrait's own bytes."""

    def __init__(
        self,
        rgb: np.ndarray,
        plate: np.ndarray,
        matte: np.ndarray,
        given: Materials,
        atlas: np.ndarray,
        hole: np.ndarray,
    ) -> None:
        """``rgb`` (H, W, 3) uint8, ``plate`` (H, W, 3) float32 the background, ``matte`` (H, W) float32, ``atlas`` the
        completed texture; ``hole`` (h, w) bool where the body is not the portrait's own."""
        self._rgb, self._plate, self._given, self._atlas = rgb, plate, given, atlas
        self._own = np.dstack([given.own[..., :3], given.certain])
        self._firm = np.ascontiguousarray(given.own[..., 3])
        self._matte = np.ascontiguousarray(matte)
        self._tiles = Tiles(hole.shape, rgb.shape[:2])
        self._hole = cv2.dilate(hole.astype(np.uint8), _REACH) > 0
        sure = ((given.certain >= 1 - _SEEN) & (matte >= 1 - _SEEN)).astype(np.float32)
        self._sure = cv2.erode(cv2.resize(sure, hole.shape[::-1], interpolation=cv2.INTER_AREA), np.ones((5, 5))) >= 1
        self._scale = hole.shape[1] / rgb.shape[1]

    def __call__(self, maps: FrameMaps) -> np.ndarray:
        """The frame (H, W, 3) float32."""
        tiles = self._tiles
        shell = cv2.dilate((maps.shell[..., 2] > 0).astype(np.uint8), _REACH) > 0
        mesh = cv2.dilate((maps.mesh[..., 2] > 0).astype(np.uint8), _REACH) > 0
        moved = np.maximum(np.abs(maps.body[..., 0]), np.abs(maps.body[..., 1])) > _STILL
        under = tiles.touched(moved | self._hole)
        has_shell, has_mesh = tiles.touched(shell), tiles.touched(mesh)
        has_poor, has_front = tiles.touched(maps.mesh[..., 3] > _SEEN), tiles.touched(maps.before > _SEEN)
        whole = has_mesh & ~tiles.touched(~self._only_mesh(maps))
        frame = self._rgb.astype(np.float32)
        for stack in tiles.stacks(whole):
            stack.put(frame, stack.look(self._rgb, stack.enlarged(maps.mesh)))
        mixed = (under | has_shell | has_mesh) & ~whole
        turned = _turned(self._given, maps.far)
        for flags in product((False, True), repeat=4):
            marks = mixed.copy()
            for wanted, has in zip(flags, (has_shell, has_mesh, has_poor, has_front)):
                marks &= has == wanted
            for stack in tiles.stacks(marks):
                stack.put(frame, self._mixed(stack, maps, turned, *flags))
        return frame

    def _only_mesh(self, maps: FrameMaps) -> np.ndarray:
        """(h, w) bool: the opaque mesh over all else, and what it looks up is surely the head's."""
        rows, columns = np.indices(self._hole.shape, np.float32)
        at = columns + maps.mesh[..., 0] * self._scale, rows + maps.mesh[..., 1] * self._scale
        sure = cv2.remap(self._sure.astype(np.uint8), *at, cv2.INTER_NEAREST) > 0
        opaque = (maps.mesh[..., 2] >= 1 - _SEEN) & (maps.mesh[..., 3] <= _SEEN) & (maps.before <= _SEEN) & sure
        return cv2.erode(opaque.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0

    def _mixed(
        self, stack: Stack, maps: FrameMaps, hair: np.ndarray, has_shell: bool, has_mesh: bool, poor: bool, front: bool
    ) -> np.ndarray:
        frame = _over(stack.look(self._given.body, stack.enlarged(maps.body)), stack.cut(self._plate))
        behind = frame
        if has_shell:
            shell = stack.enlarged(maps.shell)
            covered = np.where(shell[..., 2:] > _SOLID, 1, shell[..., 2:])
            frame = _over(stack.look(hair, shell) * covered, frame)
        if has_mesh:
            colour, alpha = self._mesh(stack, maps, poor)
            if has_shell and front and maps.far > 0:
                # The shell lies before the mesh here: only its firm part, since a loose matte would draw its rim.
                behind = behind + alpha * (colour - behind)
                own = stack.look(self._own, shell, cv2.INTER_LINEAR)[..., :3]
                firm = np.clip(stack.look(self._firm, shell, cv2.INTER_LINEAR), 0, 1)[..., None]
                behind += firm * covered * (own - behind)
            frame = frame + alpha * (colour - frame)
            if has_shell and front and maps.far > 0:
                frame += stack.enlarged(maps.before)[..., None] * (behind - frame)
        return frame

    def _mesh(self, stack: Stack, maps: FrameMaps, poor: bool) -> tuple[np.ndarray, np.ndarray]:
        """Colour and alpha of the head's mesh."""
        mesh = stack.enlarged(maps.mesh)
        colour = stack.look(self._rgb, mesh).astype(np.float32)
        person = np.clip(stack.look(self._matte, mesh, cv2.INTER_LINEAR), 0, 1)[..., None]
        if maps.far > 0:
            own = stack.look(self._own, mesh, cv2.INTER_LINEAR)
            colour += np.float32(maps.far) * (1 - own[..., 3:]) * (own[..., :3] - colour)
        if poor:
            share = np.clip(mesh[..., 3:], 0, 1)
            at = stack.enlarged(maps.atlas) - np.float32(0.5)
            texture = cv2.remap(self._atlas, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            colour += share * (texture - colour)
            person = np.maximum(person, share)
        return colour, mesh[..., 2:3] * person


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Premultiplied ``above`` (H, W, 4) over ``below`` (H, W, 3)."""
    return above[..., :3] + below * (1 - np.clip(above[..., 3:], 0, 1))


def _turned(given: Materials, far: float) -> np.ndarray:
    """The shell of a head that has turned ``far`` 0…1."""
    if far in (0, 1):
        return given.shell_turned if far else given.shell
    return given.shell + np.float32(far) * (given.shell_turned - given.shell)
