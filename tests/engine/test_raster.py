"""The rasteriser: which triangle every pixel centre sees, and exactly where on it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.face.camera import Camera
from engine.raster.opencv import Fragments, depth_image, rasterise

CAMERA = Camera(200, 120)
SHAPE = (120, 200)


def scene(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Loose triangles in front of the camera, steep in depth: positions (3·count, 3) cm, triangles (count, 3)."""
    random = np.random.default_rng(seed)
    centres = random.uniform([-9, -5, -90], [9, 5, -50], (count, 1, 3))
    return (centres + random.normal(0, [3, 3, 12], (count, 3, 3))).reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)


def draw(positions: np.ndarray, triangles: np.ndarray, shape: tuple[int, int] = SHAPE) -> Fragments:
    return rasterise(*CAMERA.project(positions), triangles, shape)


def centres(fragments: Fragments) -> np.ndarray:
    return np.stack([fragments.columns, fragments.rows], axis=1) + 0.5


def inside(corners: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Which pixel centres lie in a triangle (3, 2), and which are too near an edge to say."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    sides = np.empty((3, *shape))
    for side, a, b in zip(sides, corners, np.roll(corners, -1, axis=0)):
        across = (b[0] - a[0]) * (rows - a[1]) - (b[1] - a[1]) * (columns - a[0])
        side[:] = across / np.linalg.norm(b - a)
    return np.abs(np.sign(sides).sum(axis=0)) == 3, np.abs(sides).min(axis=0) < 0.01


def test_barycentrics_are_perspective_correct() -> None:
    positions, triangles = scene(40, seed=1)
    fragments = draw(positions, triangles)
    assert len(fragments.pixel) > 5000
    assert np.allclose(fragments.barycentric.sum(axis=1), 1, atol=1e-5)
    assert fragments.barycentric.min() > -1e-3
    pixels, depth = CAMERA.project(fragments.gather(positions, triangles))
    assert np.abs(pixels - centres(fragments)).max() < 0.02
    assert np.abs(depth - fragments.depth).max() < 0.02


def test_exactly_the_pixels_whose_centre_is_inside_are_drawn() -> None:
    corners = np.array([[20.3, 10.2], [180.7, 40.9], [60.1, 110.6]])
    expected, unsure = inside(corners, SHAPE)
    fragments = rasterise(corners, np.full(3, 50.0), np.array([[0, 1, 2]]), SHAPE)
    drawn = fragments.image(np.ones(len(fragments.pixel))) > 0
    assert expected.sum() > 5000
    assert np.array_equal(drawn[~unsure], expected[~unsure])


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearest_triangle_wins_at_every_pixel_whatever_the_order(order: list[int]) -> None:
    corners = np.array([[10.2, 10.1], [190.3, 15.4], [100.6, 115.7]])
    depth = np.array([[40, 80, 60], [80, 40, 60]])[order].reshape(-1)  # two sheets that cross
    triangles = np.arange(6).reshape(2, 3)
    both = rasterise(np.tile(corners, (2, 1)), depth, triangles, SHAPE)
    alone = [depth_image(corners, depth[3 * k : 3 * k + 3], triangles[:1], SHAPE) for k in range(2)]
    buffer = both.image(both.depth, np.inf)
    assert np.array_equal(buffer, np.minimum(*alone))
    seen = both.image(both.triangle, -1)
    for k in range(2):
        assert (seen == k).sum() > 1000
        assert (alone[k] <= alone[1 - k])[seen == k].all()


def test_both_windings_are_drawn() -> None:
    positions, triangles = scene(1, seed=4)
    one, other = draw(positions, triangles), draw(positions, triangles[:, ::-1])
    assert len(one.pixel) > 100
    assert np.array_equal(one.pixel, other.pixel)
    assert np.allclose(one.barycentric, other.barycentric[:, ::-1], atol=1e-4)


def test_every_one_of_a_hundred_thousand_triangles_is_told_apart() -> None:
    side, cell = 720, 3
    cells = side // cell + 2
    knots = np.arange(cells + 1) * cell - cell
    x, y = np.meshgrid(knots + 0.3, knots + 0.1)
    corner = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([b, c, d], -1)], axis=2).reshape(-1, 3)
    assert len(triangles) > 100_000
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    fragments = rasterise(pixels, np.full(len(pixels), 60.0), triangles, (side, side))

    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    across, down = (columns - x[0, 0]) / cell, (rows - y[0, 0]) / cell
    second = (across % 1) + (down % 1) > 1
    expected = 2 * (down.astype(int) * cells + across.astype(int)) + second
    assert np.array_equal(fragments.image(fragments.triangle, -1), expected)


def test_what_reaches_over_the_edge_is_cut_and_what_is_outside_is_not_seen() -> None:
    corners = np.array([[-150.0, -90.0], [350.0, -90.0], [100.0, 300.0]])
    covering = rasterise(corners, np.full(3, 50.0), np.array([[0, 1, 2]]), SHAPE)
    assert np.array_equal(covering.pixel, np.arange(SHAPE[0] * SHAPE[1]))
    outside = rasterise(corners + [900, 0], np.full(3, 50.0), np.array([[0, 1, 2]]), SHAPE)
    assert len(outside.pixel) == 0


def test_an_empty_scene_is_an_empty_picture() -> None:
    fragments = rasterise(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), int), SHAPE)
    assert len(fragments.pixel) == len(fragments.triangle) == len(fragments.barycentric) == 0
    assert np.array_equal(fragments.image(fragments.depth, 7), np.full(SHAPE, 7, np.float32))
    assert np.isinf(depth_image(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), int), SHAPE)).all()


def test_numbers_and_vectors_are_gathered_alike() -> None:
    positions, triangles = scene(5, seed=6)
    fragments = draw(positions, triangles)
    vectors = fragments.gather(positions, triangles)
    assert vectors.shape == (len(fragments.pixel), 3)
    assert np.allclose(fragments.gather(positions[:, 2], triangles), vectors[:, 2])
    picture = fragments.image(vectors, empty=-5)
    assert picture.shape == (*SHAPE, 3)
    assert np.array_equal(picture[fragments.rows, fragments.columns], vectors)
    assert (picture.reshape(-1, 3)[np.setdiff1d(np.arange(SHAPE[0] * SHAPE[1]), fragments.pixel)] == -5).all()
