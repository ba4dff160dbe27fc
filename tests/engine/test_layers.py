"""A portrait in layers: whole at rest, without tears or ghosts when its head turns, and steady in between."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest

from engine.compositing.layers.fill import push_pull, reflect_detail
from engine.compositing.layers.outline import HeadOutline, fit_outline
from engine.compositing.layers.portrait import Layers
from engine.compositing.plate import background_plate
from engine.compositing.tiles import TILE, Tiles
from engine.face.camera import Pose
from engine.geometry.flow import FlowBuilder
from engine.geometry.source_geometry import SourceGeometry
from engine.tracking.person_matte import person_matte
from tests.engine.faces import portrait_face, portrait_rgb, turn


@functools.cache
def matte() -> np.ndarray:
    return person_matte(portrait_rgb())


@functools.cache
def layered() -> tuple[FlowBuilder, HeadOutline, Layers]:
    source = SourceGeometry(portrait_face(), matte())
    outline = fit_outline(source, portrait_rgb(), matte())
    build = FlowBuilder(source)
    return build, outline, Layers(portrait_rgb(), build, outline)


def drawn(degrees: float) -> np.ndarray:
    """The portrait with its head turned, before eyes and mouth, (H, W, 3) float32."""
    build, _, layers = layered()
    pose = portrait_face().pose
    return layers.draw(build.posed(build.source.vertices, Pose(pose.rotation @ turn(degrees), pose.translation)))


def test_at_rest_it_is_the_portrait() -> None:
    difference = np.abs(drawn(0) - portrait_rgb()).max(axis=2)
    # Lids and lips look at their margin's skin; eyes and mouth are painted over them.
    assert np.percentile(difference, 99) < 1
    far_from_face = cv2.dilate(layered()[1].mask.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert difference[cv2.resize(far_from_face.astype(np.uint8), difference.shape[::-1]) > 0].max() < 1


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_a_turned_head_leaves_the_background_alone(degrees: float) -> None:
    rgb, frame = portrait_rgb(), drawn(degrees)
    wide = cv2.dilate((matte() > 0.01).astype(np.uint8), np.ones((61, 61), np.uint8)) == 0
    assert wide.sum() > 1000
    assert np.abs(frame - rgb)[wide].max() < 2


def test_what_the_head_uncovers_is_not_the_head_again() -> None:
    """Behind the far cheek of a turned head the plate or the body shows, not a second cheek."""
    build, outline, _ = layered()
    pose = portrait_face().pose
    head = build.posed(build.source.vertices, Pose(pose.rotation @ turn(30), pose.translation))
    covered = cv2.dilate(head.drawn[0].image(np.ones(len(head.drawn[0].pixel), np.uint8)), np.ones((31, 31), np.uint8))
    uncovered = (outline.mask & (covered == 0)).astype(np.uint8)
    where = cv2.resize(uncovered, portrait_rgb().shape[1::-1]) > 0
    if where.sum() < 50:
        pytest.skip("nothing is uncovered at this turn")
    assert np.abs(drawn(30) - portrait_rgb())[where].mean() > 10


def test_frames_change_steadily_with_the_turn() -> None:
    frames = [drawn(degrees) for degrees in np.arange(0, 12, 1.0)]
    steps = [np.abs(b - a).mean() for a, b in zip(frames, frames[1:])]
    assert max(steps) < 1.4 * np.median(steps)


def test_the_mesh_follows_the_outline_of_the_head() -> None:
    """Hardly any of the head's pixels lie further from the mesh than before."""
    plain = SourceGeometry(portrait_face(), matte())
    build, outline, _ = layered()

    def outside(source: SourceGeometry) -> float:
        fragments, _, _ = FlowBuilder(source).rasterised(source.pixels, source.depth)
        drawn = fragments.image(np.ones(len(fragments.pixel), np.uint8))
        return float((outline.mask & (drawn == 0)).sum() / outline.mask.sum())

    assert outside(build.source) < outside(plain)
    assert outline.mask.dtype == bool and 0.05 < outline.mask.mean() < 0.8


def test_the_plate_has_no_person_and_keeps_the_rest() -> None:
    rgb = portrait_rgb()
    plate = background_plate(rgb, matte())
    away = cv2.dilate((matte() > 0.01).astype(np.uint8), np.ones((81, 81), np.uint8)) == 0
    person = matte() > 0.99
    assert np.abs(plate - rgb)[away].max() < 1 and np.abs(plate - rgb)[person].mean() > 15


def test_holes_are_filled_from_around_and_the_rest_is_kept() -> None:
    picture = np.full((40, 60, 3), 50, np.float32)
    picture[:, 30:] = 150
    known = np.ones((40, 60), np.float32)
    known[15:25, 10:50] = 0
    filled = push_pull(np.where(known[..., None] > 0, picture, 0), known)
    assert np.abs(filled - picture)[known > 0].max() < 1
    assert filled[20, 12].mean() == pytest.approx(50, abs=25) and filled[20, 47].mean() == pytest.approx(150, abs=25)
    noise = np.random.default_rng(0).normal(0, 3, picture.shape).astype(np.float32)
    detailed = reflect_detail(filled, filled + noise, known > 0, 1 - known)
    assert detailed[17:19, 12:48].std() > filled[17:19, 12:48].std()


@pytest.mark.parametrize("shape", [(100, 70), (64, 64), (20, 33)])
def test_tiles_cover_a_frame_once_and_find_what_touches_them(shape: tuple[int, int]) -> None:
    low = (shape[0] // 2, shape[1] // 2)
    tiles = Tiles(low, shape)
    frame, whole = np.zeros((*shape, 3), np.float32), np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    every = tiles.touched(np.ones(low, bool))
    assert every.all()
    for stack in tiles.stacks(every):
        stack.put(frame, stack.cut(whole))
    assert np.array_equal(frame, whole)
    mark = np.zeros(low, bool)
    mark[low[0] // 2, low[1] // 2] = True
    touched = tiles.touched(mark)
    assert touched.any() and (touched.sum() <= 4 or min(shape) < TILE)
