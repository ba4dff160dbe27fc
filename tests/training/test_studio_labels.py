"""The labels: coordinate code, landmarks, flow, all exact because the renderer knows."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from engine.face import model as face_model
from engine.geometry.pncc import normalised_coordinates
from engine.training.studio.renderer import labels
from engine.training.studio.renderer.render import render
from engine.training.studio.stage.scene import Parsing, Scene
from tests.training.simple_scene import card, scene

SIZE = 192


def test_the_code_at_a_vertex_is_its_place_on_the_mean_head() -> None:
    model = face_model.load()
    posed = scene(15, 5, seed=3)
    frame = labels.frame(render(posed, SIZE), person=0)
    assert frame.pncc is not None and frame.pncc.dtype == np.float16
    pixels, depth = posed.project(posed.head.vertices, SIZE)
    bare = render(scene(15, 5, seed=3, hair=False), SIZE)
    inner = ((pixels > 1) & (pixels < SIZE - 1)).all(axis=1)
    column, row = np.clip(pixels, 0, SIZE - 1).astype(int).T
    seen = inner & (np.abs(bare.depth[row, column] - depth) < 0.1)
    assert seen.sum() > 500
    known = normalised_coordinates(model)
    error = np.abs(frame.pncc[row, column].astype(float) - known)[seen]
    assert np.median(error) < 0.005 and np.quantile(error, 0.99) < 0.04  # a vertex lies up to half a pixel off
    assert np.array_equal(frame.pncc, bare.pncc)  # hair does not hide the head from its code
    assert ((frame.parsing == Parsing.HAIR) & (frame.pncc.sum(axis=2) > 0)).sum() > 200
    assert (known.min(axis=0) == 0).all() and (known.max(axis=0) == 1).all()


def test_landmarks_turned_away_are_not_seen() -> None:
    away, towards = (labels.frame(render(scene(yaw, seed=2, hair=False), SIZE), 0) for yaw in (60, 0))
    assert towards.visible68 is not None and away.visible68 is not None
    assert towards.visible68.mean() > 0.9
    assert away.visible68[:9].all()  # the subject's right jaw: yaw turned the face to image right
    assert not away.visible68[10:17].any()
    assert away.dense_visible is not None and 0.4 < away.dense_visible.mean() < 0.8


def test_landmarks_lie_where_the_model_says() -> None:
    model = face_model.load()
    posed = scene(-20, 10, seed=5)
    frame = labels.frame(render(posed, 64), 0)
    expected, _ = posed.project(model.landmarks68.at(posed.head.vertices), 64)
    assert frame.landmarks68 is not None and frame.dense is not None
    assert np.allclose(frame.landmarks68, expected, atol=1e-3)
    nose, ear = frame.dense[1, 2], frame.dense[234, 2]  # MediaPipe's tip of the nose and right end of the face
    assert nose < ear and nose < 0


def test_what_stands_before_the_face_hides_its_landmarks() -> None:
    free = scene(0, hair=False)
    screen, texture = card("screen", 40, 90, 255, 0, half=50)
    middle = replace(
        screen, vertices=screen.vertices + np.array([50, 0, 0], np.float32), texture=np.full(2, len(free.textures))
    )
    hidden = replace(free, meshes=(*free.meshes, middle), textures=(*free.textures, texture))
    frame = labels.frame(render(hidden, SIZE), 0)
    assert frame.landmarks68 is not None and frame.visible68 is not None
    right = frame.landmarks68[:, 0] > SIZE / 2 + 2  # image right, behind the screen
    assert not frame.visible68[right].any()
    assert frame.visible68[(frame.landmarks68[:, 0] < SIZE / 2 - 2) & (np.arange(68) > 16)].all()


def moved(offset: tuple[float, float, float]) -> tuple[Scene, Scene]:
    """One scene and the same shifted in camera space by cm."""
    one = scene(12, seed=6)
    shift = np.array(offset, np.float32)
    meshes = tuple(replace(mesh, vertices=(mesh.vertices + shift).astype(np.float32)) for mesh in one.meshes)
    head = replace(one.head, vertices=one.head.vertices + shift, translation=one.head.translation + shift)
    return one, replace(one, meshes=meshes, head=head)


@pytest.mark.parametrize("offset", [(1.5, 0, 0), (0, -2, 0), (0.5, 0.5, 6)])
def test_flow_of_a_known_motion_is_exact(offset: tuple[float, float, float]) -> None:
    source, driving = (render(s, SIZE) for s in moved(offset))
    flow, visible = labels.flow(driving, source)
    assert visible.mean() > 0.3
    row, column = np.nonzero(visible)
    depth = driving.depth[row, column]
    focal = driving.scene.focal * SIZE
    x, y = (column + 0.5 - SIZE / 2) * depth / focal, (SIZE / 2 - row - 0.5) * depth / focal
    there = depth + offset[2]
    expected_x = SIZE / 2 + focal * (x - offset[0]) / there - column - 0.5
    expected_y = SIZE / 2 - focal * (y - offset[1]) / there - row - 0.5
    assert np.abs(flow[visible] - np.stack([expected_x, expected_y], 1)).max() < 0.03
    assert not visible[driving.parsing == Parsing.BACKGROUND].any()


def test_a_picture_warped_by_the_flow_is_the_driving_picture() -> None:
    source, driving = (render(scene(yaw, seed=6, key=0, hair=False), SIZE) for yaw in (-8, 8))
    flow, visible = labels.flow(driving, source)
    at = flow.astype(np.float32) + np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).astype(np.float32)
    source_code, driving_code = (picture.pncc.astype(np.float32) for picture in (source, driving))
    warped = cv2.remap(source_code, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    error = np.abs(warped - driving_code).max(axis=2)[visible]
    assert visible.mean() > 0.3
    assert np.quantile(error, 0.99) < 0.01 and np.median(error) < 0.001
    image = cv2.remap(source.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR).astype(float)
    difference = np.abs(image - driving.image).mean(axis=2)[visible]
    assert np.median(difference) < 4  # light stays where it is while the head turns


def test_what_turns_into_view_is_not_visible_in_the_source() -> None:
    source, driving = (render(scene(yaw, seed=6, hair=False), SIZE) for yaw in (-45, 45))
    _, visible = labels.flow(driving, source)
    head = driving.parsing != Parsing.BACKGROUND
    assert 0.05 < (visible & head).sum() / head.sum() < 0.75
    _, all_of_it = labels.flow(driving, driving)
    assert (all_of_it & head).sum() / head.sum() > 0.8


def test_hair_moves_with_its_own_mesh() -> None:
    source, driving = (render(s, SIZE) for s in moved((1, 0, 0)))
    flow, visible = labels.flow(driving, source)
    hair = (driving.parsing == Parsing.HAIR) & visible
    assert hair.sum() > 50
    expected = -driving.scene.focal * SIZE / driving.depth[hair]
    assert np.abs(flow[hair][:, 0] - expected).max() < 0.03


def test_pictures_of_two_sizes_have_no_flow() -> None:
    with pytest.raises(ValueError, match="one size"):
        labels.flow(render(scene(), 64), render(scene(), 32))


def test_every_size_has_all_labels() -> None:
    for size in (16, 64, 100):
        frame = labels.frame(render(scene(20, seed=1), size), person=4)
        assert frame.image.shape == (size, size, 3) and frame.person == 4
        assert frame.depth is not None and np.isinf(frame.depth).any()
        assert {"pncc", "dense", "gaze", "parsing", "focal"} <= frame.known()
