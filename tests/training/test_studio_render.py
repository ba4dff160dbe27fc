"""The studio's pictures: two rasterisers draw the same, layers are composited by depth, light does what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from engine.face import model as face_model
from engine.raster import cull, opencv, torch_scatter
from engine.training.studio.renderer.render import FULL, TRAINING, Picture, Profile, render, render_many
from engine.training.studio.stage.scene import HeadState, Lens, Light, Material, Mesh, Parsing, Scene, Texture
from tests.training.simple_scene import card, scene

SIZE = 128


def triangles(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loose triangles that cross each other: pixels (3·count, 2), depth, triangles."""
    random = np.random.default_rng(seed)
    pixels = (random.uniform(-10, 110, (count, 1, 2)) + random.normal(0, 12, (count, 3, 2))).reshape(-1, 2)
    return (
        pixels.astype(np.float32),
        random.uniform(40, 90, 3 * count).astype(np.float32),
        np.arange(3 * count).reshape(-1, 3),
    )


def tensors(pixels: np.ndarray, depth: np.ndarray, corners: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(pixels), torch.from_numpy(depth), torch.from_numpy(corners)


def test_the_torch_rasteriser_draws_what_opencv_draws() -> None:
    pixels, depth, corners = triangles(300, seed=1)
    expected = opencv.rasterise(pixels, depth, corners, (100, 120))
    drawn = torch_scatter.rasterise(*tensors(pixels, depth, corners), (100, 120)).numpy()
    one, other = (f.image(f.triangle, -1) for f in (expected, drawn))
    same = one == other
    assert same.mean() > 0.999 and len(expected.pixel) > 8000
    for name in ("depth", "barycentric"):
        a, b = (f.image(getattr(f, name))[same] for f in (expected, drawn))
        assert np.abs(a - b).max() < 0.02


def test_a_ragged_batch_draws_each_picture_as_if_alone() -> None:
    parts = [triangles(count, seed=count) for count in (5, 80, 1)]
    starts = np.cumsum([0] + [len(pixels) for pixels, _, _ in parts])
    batch = (
        np.concatenate([pixels for pixels, _, _ in parts]),
        np.concatenate([depth for _, depth, _ in parts]),
        np.concatenate([corners + start for (_, _, corners), start in zip(parts, starts)]),
    )
    image = torch.repeat_interleave(torch.arange(4), torch.tensor([5, 80, 0, 1]))  # the third picture is empty
    drawn = torch_scatter.rasterise(*tensors(*batch), (100, 120), image, 4).numpy()
    stacked = drawn.image(drawn.depth, np.inf).reshape(4, 100, 120)
    for k, part in zip((0, 1, 3), parts):
        alone = torch_scatter.rasterise(*tensors(*part), (100, 120)).numpy()
        assert np.array_equal(stacked[k], alone.image(alone.depth, np.inf))
    assert np.isinf(stacked[2]).all()


@pytest.mark.parametrize("profile", [TRAINING, FULL])
@pytest.mark.parametrize("yaw", [-50, 10])
def test_the_rasterisers_agree_but_for_silhouettes(profile: Profile, yaw: int) -> None:
    posed = scene(yaw, 8, seed=4, jaw=0.6, lens=Lens(read_noise=0.01, seed=3))
    one, other = (render(posed, 256, profile, rasteriser) for rasteriser in ("opencv", "torch"))
    differs = (np.abs(one.image.astype(int) - other.image) > 2).any(axis=2)
    assert differs.mean() <= 0.005
    assert not (differs & ~near_an_edge(one)).any()
    assert (one.parsing == other.parsing).mean() > 0.995


def near_an_edge(picture: Picture) -> np.ndarray:
    """Pixels beside a jump in depth, a change of class or of coverage."""
    depth = np.where(np.isfinite(picture.depth), picture.depth, 1e3)
    edge = ndimage.maximum_filter(depth, 3) - ndimage.minimum_filter(depth, 3) > 0.15
    for field in (picture.parsing, picture.matte):
        edge |= ndimage.maximum_filter(field, 3) != ndimage.minimum_filter(field, 3)
    return edge


def test_scenes_drawn_together_are_the_same_as_alone() -> None:
    scenes = [scene(-30, seed=1), scene(20, seed=2, hair=False, jaw=0.4)]
    for together, one in zip(render_many(scenes, 96, FULL, "cpu"), scenes, strict=True):
        alone = render(one, 96, FULL, "torch")
        assert np.abs(together.image.astype(int) - alone.image).max() <= 1
        for name in ("parsing", "depth", "pncc", "matte"):
            assert np.array_equal(getattr(together, name), getattr(alone, name)), name


def stack(*cards: tuple[Mesh, Texture], light: float = 1.0, lens: Lens | None = None) -> Scene:
    """Cards before a black wall in even light: a white one would show 1."""
    harmonics = np.zeros((9, 3), np.float32)
    harmonics[0] = light / 0.282095
    nothing = np.zeros(3, np.float32)
    lamp = Light(
        harmonics,
        np.zeros((2, 4, 3), np.float32),
        np.eye(3, dtype=np.float32),
        np.array([0, 0, 1], np.float32),
        nothing,
    )
    head = HeadState(
        np.zeros((1, 3), np.float32), nothing, nothing, np.zeros((2, 2)), np.eye(3), np.array([0, 0, -60], np.float32)
    )
    meshes, textures = zip(*sorted(cards, key=lambda c: c[0].layer))
    return Scene(meshes, textures, lamp, np.zeros((4, 4, 3), np.float32), 2.0, head, lens or Lens())


def shown(light: float) -> float:
    """The display value of linear light: the tone curve and the gamma, worked by hand."""
    x = 0.6 * light
    return 255 * (x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)) ** (1 / 2.2)


def linear(grey: int) -> float:
    """sRGB (IEC 61966-2-1) to linear light."""
    return ((grey / 255 + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_layers_are_composited_in_order_of_depth_whatever_their_number(order: tuple[int, int]) -> None:
    near, far = card("near", 40, 200, 102, order[0]), card("far", 50, 120, 153, order[1])
    wall = card("wall", 60, 60, 255, 0)
    picture = render(stack(wall, near, far), 16)
    light = 0.4 * linear(200) + 0.6 * (0.6 * linear(120) + 0.4 * linear(60))
    assert np.abs(picture.image.astype(float) - shown(light)).max() <= 2
    assert (picture.matte == 255).all()
    assert np.allclose(picture.depth, 50, atol=0.01)  # 0.4 is less than half, 0.4 + 0.6 · 0.6 more


def test_what_lies_behind_the_opaque_is_not_seen() -> None:
    picture = render(stack(card("wall", 45, 60, 255, 0), card("behind", 50, 255, 255, 1)), 16)
    assert np.abs(picture.image.astype(float) - shown(linear(60))).max() <= 2


def test_the_matte_is_what_the_layers_cover_together() -> None:
    picture = render(stack(card("wall", 90, 0, 255, 0, half=0), card("a", 40, 9, 102, 1), card("b", 50, 9, 51, 2)), 16)
    assert np.abs(picture.matte.astype(int) - round(255 * (1 - 0.6 * 0.8))).max() <= 1
    assert (picture.parsing == Parsing.HAIR).all()  # 0.52 is more than half
    assert np.allclose(picture.depth, 50, atol=0.01)


def test_hair_is_seen_through_the_gaps_of_hair_in_its_own_layer() -> None:
    """Two opaque cards before a pale wall, of one layer; the nearer one has a hole."""
    near, whole = card("near", 40, 40, 255, 1)
    far, behind = card("far", 45, 120, 255, 1)
    holed = np.broadcast_to(whole.rgba[:1, :1], (16, 16, 4)).copy()
    holed[4:12, 4:12, 3] = 0
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)[near.triangles]
    near = replace(near, uv=uv, vertices=near.vertices * np.array([0.1, 0.1, 1], np.float32), texture=np.full(2, 1))
    far = replace(far, texture=np.full(2, 2))
    wall, pale = card("wall", 60, 250, 255, 0)
    hair = tuple(replace(mesh, material=np.full(2, Material.HAIR)) for mesh in (near, far))
    seen = stack((wall, pale), (hair[0], Texture(holed)), (hair[1], behind))
    for rasteriser in ("opencv", "torch"):
        picture = render(seen, 32, rasteriser=rasteriser)
        assert abs(picture.depth[16, 16] - 45) < 0.01 and (picture.matte == 255).all()
        assert abs(picture.depth[16, 4] - 40) < 0.01
    covered = stack((wall, pale), (hair[0], Texture(holed)))
    assert np.allclose(render(covered, 32).depth[16, 16], 60, atol=0.01)  # nothing else to be seen


def test_triangles_behind_a_wall_are_found_and_no_others() -> None:
    pixels, depth, corners = triangles(400, seed=8)
    random = np.random.default_rng(3)
    wall = ndimage.zoom(random.uniform(30, 80, (5, 6)), 20, order=0).astype(np.float32)[:98, :117]
    wall[30:50, 40:80] = np.inf
    nearest = depth[corners].min(axis=1)
    hidden = cull.hidden(pixels.T[:, corners.T], nearest, wall)
    assert 20 < hidden.sum() < 350
    for k in range(len(corners)):
        alone = opencv.rasterise(pixels, depth, corners[k : k + 1], wall.shape)
        assert not hidden[k] or (alone.depth > wall.reshape(-1)[alone.pixel]).all()


def test_triangles_over_wanted_pixels_are_found_and_few_others() -> None:
    pixels, _, corners = triangles(400, seed=9)
    wanted = np.zeros((98, 117), bool)
    wanted[10:14, 20:26] = wanted[60, 90] = wanted[97, 116] = True
    kept = np.zeros(len(corners), bool)
    kept[cull.over(pixels.T[:, corners.T], wanted)] = True
    assert 10 < kept.sum() < 300
    low, high = pixels[corners].min(axis=1), pixels[corners].max(axis=1)
    centres = np.argwhere(wanted)[:, ::-1] + 0.5
    inside = ((centres >= low[:, None]) & (centres <= high[:, None])).all(axis=2).any(axis=1)
    assert kept[inside].all() and (kept & ~inside).sum() < 5


def test_the_full_profile_smooths_a_silhouette() -> None:
    half = 3.3  # at depth 40 and focal 2, the square ends at 16 · (0.5 + 0.165) = 10.64 pixels
    small = card("square", 40, 200, 255, 0, half)
    coarse, fine = (render(stack(small), 16, profile).matte[8] for profile in (TRAINING, FULL))
    assert set(np.unique(coarse)) == {0, 255}
    assert fine[10] == 128 and fine[9] == 255 and fine[11] == 0


def test_a_head_throws_its_shadow_in_the_full_profile_only() -> None:
    lit = scene(0, hair=False, key=2.5)
    from_above = replace(lit.light, key_direction=np.array([0, 0.94, 0.34], np.float32))
    lit = replace(lit, light=from_above)
    full, flat = render(lit, 128, FULL), render(lit, 128, Profile(2, False))
    darker = flat.image.mean(axis=2) - full.image.mean(axis=2)
    assert darker.min() > -2
    chin = lit.project(face_model.load().landmarks68.at(lit.head.vertices), 128)[0][8].astype(int)
    assert darker[chin[1] + 6 : chin[1] + 12, chin[0] - 5 : chin[0] + 6].mean() > 10
    assert abs(darker[20:40, 50:78].mean()) < 4  # the forehead sees the lamp


def test_the_lens_is_repeatable_and_its_seed_matters() -> None:
    def taken(seed: int) -> np.ndarray:
        lens = Lens(1.1, (1, 0.95, 0.9), 0.004, 0.2, 0.03, 0.02, 70, seed)
        return render(scene(10, seed=1, lens=lens), 64).image

    assert np.array_equal(taken(1), taken(1))
    assert not np.array_equal(taken(1), taken(2))


def test_noise_has_the_spread_it_is_asked_for() -> None:
    lens = Lens(read_noise=0.02, seed=5)
    clean, noisy = (render(stack(card("w", 40, 120, 255, 0), lens=x), 256).image.astype(float) for x in (Lens(), lens))
    assert abs((noisy - clean).std() / 255 - 0.02) < 0.001
    assert abs((noisy - clean).mean()) < 0.6  # the clean picture is rounded


def test_exposure_and_tint_multiply_light() -> None:
    lens = Lens(exposure=0.5, tint=(1.0, 0.8, 0.6))
    pixel = render(stack(card("w", 40, 200, 255, 0), lens=lens), 16).image[8, 8]
    assert np.abs(pixel - [shown(linear(200) * 0.5 * t) for t in lens.tint]).max() <= 2


def test_one_texture_is_shrunk_to_what_is_seen() -> None:
    """A fine chequerboard far away is grey, not noise."""
    mesh, _ = card("board", 60, 0, 255, 0, half=15)
    board = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)[mesh.triangles]
    texture = Texture(np.dstack([board, board, board, np.full_like(board, 255)]))
    picture = render(stack((replace(mesh, uv=uv), texture)), 32)
    assert picture.image[4:-4, 4:-4].std() < 2
    assert abs(picture.image[16, 16, 0] - shown(linear(128))) <= 3
