"""Labels of a rendered picture: a :class:`engine.training.sample.Frame`, and the flow between two pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from engine.face import model as face_model
from engine.face.model import Anchors, FaceModel
from engine.training.sample import Frame
from engine.training.studio.renderer.render import Picture
from engine.training.studio.stage.scene import Mesh

_SLACK_CM = 0.15  # depth by which two views of one surface may differ …
_SLACK_PIXELS = 2.0  # … plus this many pixel widths, for slanted surfaces


def frame(picture: Picture, person: int, model: FaceModel | None = None) -> Frame:
    """The picture with all its labels."""
    model = model or face_model.load()
    scene, size, head = picture.scene, picture.size, picture.scene.head
    landmarks68, visible68, _ = _landmarks(picture, model.landmarks68)
    dense, dense_visible, dense_depth = _landmarks(picture, model.dense)
    centre = -float(head.translation[2])
    z = (dense_depth - centre) * (scene.focal * size / centre)
    return Frame(
        image=picture.image,
        person=person,
        matte=picture.matte,
        parsing=picture.parsing,
        pncc=picture.pncc,
        depth=picture.depth.astype(np.float16),
        landmarks68=landmarks68,
        visible68=visible68,
        dense=np.column_stack([dense, z]).astype(np.float32),
        dense_visible=dense_visible,
        identity=head.identity.astype(np.float32),
        expression=head.expression.astype(np.float32),
        gaze=head.gaze.astype(np.float32),
        rotation=head.rotation.astype(np.float32),
        translation=head.translation.astype(np.float32),
        focal=float(scene.focal),
    )


def flow(driving: Picture, source: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of ``driving`` lies in ``source`` and whether it is seen in both: (S, S, 2) float16 offsets in
    pixels and (S, S) bool, as :class:`engine.training.sample.Pair` has them.

    Meshes of one name and size in both scenes are one surface (meshes of the same name match in order); all
    else, and the background, has no flow: 0, unseen.
    Pixels are also unseen within a pixel of an edge behind which the source shows something else.
    """
    size = driving.size
    if source.size != size:
        raise ValueError("flow is between pictures of one size")
    there = dict(zip(_names(source.scene.meshes), (mesh.vertices for mesh in source.scene.meshes), strict=True))
    first, known, moved, start = [], [], [], 0
    for name, mesh in zip(_names(driving.scene.meshes), driving.scene.meshes, strict=True):
        vertices = there.get(name)
        known.append(vertices is not None and len(vertices) == len(mesh.vertices))
        first.append(start)
        if known[-1]:
            moved.append(vertices)
            start += len(mesh.vertices)
    offset = np.zeros((size * size, 2), np.float16)
    visible = np.zeros(size * size, bool)
    if moved:
        chosen = np.flatnonzero(np.array(known).take(driving.mesh))
        corners = (driving.corners + np.array(first).take(driving.mesh)[:, None]).take(chosen, axis=0)
        weights = driving.barycentric.take(chosen, axis=0)
        vertices = np.concatenate(moved).astype(np.float32, copy=False)
        points = np.einsum("pkd,pk->pd", vertices.take(corners, axis=0), weights)
        pixels, depth = source.scene.project(points, size)
        place = driving.pixel.take(chosen)
        offset[place] = pixels - np.column_stack([place % size, place // size]).astype(np.float32) - np.float32(0.5)
        visible[place] = _is_seen(source, pixels, depth)
    return offset.reshape(size, size, 2), visible.reshape(size, size)


def _names(meshes: Sequence[Mesh]) -> list[tuple[str, int]]:
    """The name of each mesh, and the number of earlier meshes of that name."""
    before: Counter[str] = Counter()
    names = []
    for mesh in meshes:
        names.append((mesh.name, before[mesh.name]))
        before[mesh.name] += 1
    return names


def _is_seen(picture: Picture, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Points (P, 2) at ``depth`` (P,) that are the labelled surface at all four pixels around them, (P,) bool."""
    size = picture.size
    x, y = (pixels - np.float32(0.5)).T
    inside = (x >= 0) & (y >= 0) & (x < size - 1) & (y < size - 1)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x, y = x - column, y - row
    seen, first = picture.depth.reshape(-1), row * size + column
    with np.errstate(invalid="ignore"):  # the background has infinite depth, and so has its interpolation
        a, b, c, d = (seen.take(first + step) for step in (0, 1, size, size + 1))
        upper, lower = a + (b - a) * x, c + (d - c) * x
        surface = upper + (lower - upper) * y
        slack = _SLACK_CM + depth * np.float32(_SLACK_PIXELS / (picture.scene.focal * size))
        return inside & (np.abs(depth - surface) < slack)


def _landmarks(picture: Picture, anchors: Anchors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (P, 2) float32, whether they are seen (P,) and depth (P,) cm of points on the face.

    A landmark is seen if a pixel next to it shows a surface at its depth: lids and lips are
    too thin, and outlines too sharp, to test its own pixel only.
    """
    scene, size = picture.scene, picture.size
    pixels, depth = scene.project(anchors.at(scene.head.vertices), size)
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    column, row = np.clip(np.floor(pixels), 0, size - 1).astype(np.int64).T
    steps = np.array([-1, 0, 1])
    rows, columns = (np.clip(middle[:, None] + steps, 0, size - 1) for middle in (row, column))
    around = picture.depth[rows[:, :, None], columns[:, None, :]].reshape(len(depth), 9)
    slack = 2 * (_SLACK_CM + _SLACK_PIXELS * depth / (scene.focal * size))
    return pixels, inside & (np.abs(around - depth[:, None]).min(axis=1) < slack), depth
