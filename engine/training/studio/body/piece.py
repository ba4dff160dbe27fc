"""Pieces of hair and clothes: geometry that is built once for a sitter, follows the head, and is posed per picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from engine.face.maths import smoothstep
from engine.training.studio.body.pattern import Pattern
from engine.training.studio.stage.scene import Material, Mesh, Parsing


class Layer(IntEnum):
    """The layers of a scene's meshes."""

    OPAQUE = 0
    LASHES = 1
    HAIR = 2  # the body of the hair, and beards
    WISPS = 3  # loose hair over it
    GLASS = 4


@dataclass(frozen=True)
class Posture:
    """Pose of head and body in one picture: ``face`` (N, 3) the head with its expression, in head space;
    ``rotation``, ``translation`` and ``body_rotation``, ``body_translation`` from head space to camera space."""

    face: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    body_rotation: np.ndarray
    body_translation: np.ndarray

    def place(self, points: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Head-space points (n, 3) → camera space; ``share`` (n,) of each follows the head, the rest the body."""
        by_head = points @ self.rotation.T + self.translation
        by_body = points @ self.body_rotation.T + self.body_translation
        return (by_body + share[:, None] * (by_head - by_body)).astype(np.float32)

    def turn(self, directions: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Unit directions (n, 3), rotated likewise."""
        turned = directions @ self.body_rotation.T
        turned = turned + share[:, None] * (directions @ self.rotation.T - turned)
        return unit(turned).astype(np.float32)


def head_share(points: np.ndarray) -> np.ndarray:
    """(n,) how much points (n, 3) of the mean head follow the head's motion: 1 from the jaw up, 0 on the shoulders."""
    return smoothstep((points[:, 1] - 0.12 * points[:, 2] + 13) / 7).astype(np.float32)


@dataclass(frozen=True)
class Piece:
    """Geometry in a sitter's head space, ``vertices`` (n, 3) cm and all else as in ``scene.Mesh``; ``texture`` is an
    index into the wardrobe's textures. ``share`` (n,) is :func:`head_share`; ``follow`` (n / each, N) adds the face's
    displacement from ``neutral`` (N, 3) to what sits on it, ``each`` vertices moving together."""

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    texture: int
    material: Material
    parsing: Parsing
    layer: Layer
    share: np.ndarray
    occlusion: np.ndarray
    tangents: np.ndarray | None = None
    follow: sparse.csr_matrix | None = None
    each: int = 1
    neutral: np.ndarray | None = None

    def mesh(self, posture: Posture, first_texture: int) -> Mesh:
        """The piece in camera space."""
        vertices = self.vertices
        if self.follow is not None and self.neutral is not None:
            vertices = vertices + (self.follow @ (posture.face - self.neutral)).repeat(self.each, axis=0)
        count = len(self.triangles)
        return Mesh(
            name=self.name,
            vertices=posture.place(vertices, self.share),
            triangles=self.triangles,
            normals=posture.turn(self.normals, self.share),
            uv=self.uv,
            texture=np.full(count, first_texture + self.texture),
            material=np.full(count, self.material),
            parsing=np.full(count, self.parsing),
            occlusion=self.occlusion,
            tangents=None if self.tangents is None else posture.turn(self.tangents, self.share),
            layer=int(self.layer),
        )


@dataclass(frozen=True)
class Geometry:
    """One piece on the mean head, and the weights by which every ``each``-th of its vertices follows the skin;
    ``pattern`` is the one its texture is coloured from, or None."""

    piece: Piece
    follow: sparse.csr_matrix
    pattern: Pattern | None = None
    each: int = 1

    def fitted(self, shift: np.ndarray, texture: int) -> Piece:
        """The piece on a sitter whose head differs from the mean by ``shift`` (N, 3)."""
        moved = self.follow @ shift
        vertices = self.piece.vertices + (moved.repeat(self.each, axis=0) if self.each > 1 else moved)
        return replace(self.piece, vertices=vertices.astype(np.float32), texture=texture)


@dataclass(frozen=True)
class Surface:
    """The skin of a head, on which pieces lie: ``vertices`` (n, 3), unit ``normals``, ``index`` in the model."""

    vertices: np.ndarray
    normals: np.ndarray
    index: np.ndarray
    tree: cKDTree

    def over(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The skin's normal (n, 3) below points (n, 3), their height above it and their distance from it, cm."""
        distance, near = self.tree.query(points, k=4)
        weight = 1 / (distance + 0.05)
        weight /= weight.sum(axis=1, keepdims=True)
        normal = unit(np.einsum("nk,nkd->nd", weight, self.normals[near]))
        foot = np.einsum("nk,nkd->nd", weight, self.vertices[near])
        return normal, ((points - foot) * normal).sum(axis=1), distance[:, 0]

    def outside(self, points: np.ndarray, clearance: np.ndarray | float, reach: float = 4.0) -> np.ndarray:
        """Points (n, 3) moved outwards until they are ``clearance`` cm off the skin; those farther than ``reach`` from
        it stay."""
        normal, height, distance = self.over(points)
        push = np.where(distance < reach, np.maximum(clearance - height, 0), 0)
        return points + push[:, None] * normal


def binding(surface: Surface, points: np.ndarray, vertex_count: int, neighbours: int = 6) -> sparse.csr_matrix:
    """(n, N) weights over the model's vertices by which ``points`` (n, 3) near a surface follow it."""
    distance, near = surface.tree.query(points, k=neighbours)
    weight = 1 / (distance**2 + 0.3 * distance[:, -1:] ** 2 + 0.05)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), neighbours)
    entries = weight.ravel().astype(np.float32), (rows, surface.index[near].ravel())
    return sparse.csr_matrix(entries, shape=(len(points), vertex_count))


def grid_triangles(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """(T, 3) triangles of a grid of vertices in row-major order; ``closed`` joins the last column to the first."""
    r, c = np.mgrid[0 : rows - 1, 0 : columns if closed else columns - 1]
    a, b = r * columns + c, r * columns + (c + 1) % columns
    d, e = a + columns, b + columns
    return np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, e], -1).reshape(-1, 3)])


def grid_uv(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """(T, 3, 2) texture coordinates for :func:`grid_triangles`: u along a row, v from row to row."""
    steps = columns if closed else columns - 1
    r, c = np.mgrid[0 : rows - 1, 0:steps]
    u0, u1, v0, v1 = c / steps, (c + 1) / steps, r / (rows - 1), (r + 1) / (rows - 1)
    a, b, d, e = (np.stack(p, -1) for p in ((u0, v0), (u1, v0), (u0, v1), (u1, v1)))
    first, second = np.stack([a, d, b], 2), np.stack([b, d, e], 2)
    return np.concatenate([first.reshape(-1, 3, 2), second.reshape(-1, 3, 2)]).astype(np.float32)


def grid_normals(points: np.ndarray, closed: bool = False) -> np.ndarray:
    """Unit normals (R, C, 3) of a grid of points, by central differences."""
    if closed:
        along = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    else:
        along = np.gradient(points, axis=1)
    return unit(np.cross(np.gradient(points, axis=0), along))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 3) at length 1."""
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)
