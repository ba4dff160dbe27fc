"""What the studio's people wear: chosen to suit them, sitting where it should, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from engine.face import model as face_model
from engine.face.model import FaceModel
from engine.raster import opencv
from engine.training.studio.assembly import placed
from engine.training.studio.body.piece import Layer, Posture, head_share
from engine.training.studio.hair import beard, scalp
from engine.training.studio.hair import cards as hair
from engine.training.studio.people import dressing
from engine.training.studio.people.acting import moment, rotation
from engine.training.studio.people.dressing import Outfit, Wardrobe
from engine.training.studio.people.traits import Traits, sample_traits
from engine.training.studio.randomness import draws
from engine.training.studio.stage.scene import Parsing
from engine.training.studio.wardrobe import garments, headwear
from engine.training.studio.wardrobe.glasses import sample_glasses


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return face_model.load()


@pytest.fixture(scope="module")
def people() -> list[tuple[Traits, Outfit]]:
    chosen = []
    for k in range(400):
        random = draws(8, "person", k)
        traits = sample_traits(random, random.normal())
        chosen.append((traits, dressing.choose((), random, traits)))
    return chosen


def _share(people: list[tuple[Traits, Outfit]], of, among) -> float:
    """How many of those that ``among`` accepts ``of`` accepts too."""
    hits = [of(traits, outfit) for traits, outfit in people if among(traits, outfit)]
    assert len(hits) > 20
    return float(np.mean(hits))


def _posture(head: np.ndarray, yaw: float = 0.0, body: float = 0.0) -> Posture:
    place = np.array([0, 0, -100.0])
    return Posture(head, rotation(yaw, 0, 0), place, rotation(body, 0, 0), place)


def test_outfits_suit_their_wearers(people: list[tuple[Traits, Outfit]]) -> None:
    def bearded(traits: Traits, outfit: Outfit) -> bool:
        return outfit.beard != "none"

    assert _share(people, bearded, lambda t, o: t.feminine > 0.5) == 0
    assert 0.2 < _share(people, bearded, lambda t, o: t.feminine < 0.5 and t.age > 30) < 0.7

    def bald(traits: Traits, outfit: Outfit) -> bool:
        return outfit.hair in ("bald", "balding", "thinning")

    old, young = (_share(people, bald, lambda t, o, s=s: t.feminine < 0.5 and s * (t.age - 45) > 0) for s in (1, -1))
    assert old > 1.5 * young
    coiled = {"afro", "short afro", "curly", "long curly"}
    dark, fair = (
        _share(people, lambda t, o: o.hair in coiled, lambda t, o, s=s: s * (t.melanin - 0.5) > 0.2) for s in (1, -1)
    )
    assert dark > 3 * fair
    assert _share(people, lambda t, o: o.glasses is not None, lambda t, o: t.age > 55) > 1.3 * _share(
        people, lambda t, o: o.glasses is not None, lambda t, o: t.age < 30
    )
    assert _share(people, lambda t, o: o.headwear is not None, lambda t, o: True) < 0.2


def test_hair_greys_with_age(people: list[tuple[Traits, Outfit]]) -> None:
    def grey(traits: Traits, outfit: Outfit) -> bool:
        return traits.grey > 0.5

    young, middle, old = (
        _share(people, grey, lambda t, o, a=a, b=b: a <= t.age < b) for a, b in ((16, 40), (40, 60), (60, 99))
    )
    assert young < 0.1 and young <= middle < old and old > 0.4


def test_the_same_draws_dress_the_same(model: FaceModel) -> None:
    wardrobes = []
    for _ in range(2):
        random = draws(9, "dressed")
        traits = sample_traits(random, 0.0)
        outfit = dressing.choose((), random, traits)
        wardrobes.append(dressing.dress(model, model.vertices, outfit, traits))
    for a, b in zip(wardrobes[0].pieces, wardrobes[1].pieces):
        assert np.array_equal(a.vertices, b.vertices) and np.array_equal(a.uv, b.uv)
    for a, b in zip(wardrobes[0].textures, wardrobes[1].textures):
        assert np.array_equal(a.rgba, b.rgba)


def _dressed(model: FaceModel, seed: int, **worn) -> tuple[np.ndarray, Wardrobe]:
    random = draws(seed, "sitter")
    neutral = model.neutral(random.normal(0, 0.8, len(model.identity)))
    traits = sample_traits(random, random.normal())
    plain = {"headwear": None, "glasses": None, "beard": "none", "hair": "bald"}
    outfit = replace(dressing.choose((), random, traits), **(plain | worn))
    return neutral, dressing.dress(model, neutral, outfit, traits)


def test_every_piece_is_a_sound_mesh(model: FaceModel) -> None:
    worn = [{"hair": name} for name in hair.STYLES] + [{"beard": name} for name in beard.SHAPES]
    worn += [{"garment": name} for name in garments.CUTS]
    worn += [{"headwear": kind, "hair": "long"} for kind in headwear.KINDS]
    worn += [{"glasses": sample_glasses(draws(k, "glasses"))} for k in range(4)]
    for seed, things in enumerate(worn):
        neutral, wardrobe = _dressed(model, seed, **things)
        for mesh in wardrobe.meshes(_posture(neutral, 0.4, 0.2), 5):
            count = len(mesh.vertices)
            assert np.isfinite(mesh.vertices).all() and mesh.triangles.min() >= 0 and mesh.triangles.max() < count, (
                things
            )
            assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-3), (mesh.name, things)
            assert mesh.uv.shape == (len(mesh.triangles), 3, 2) and mesh.uv.min() >= 0 and mesh.uv.max() <= 1, mesh.name
            assert mesh.occlusion.shape == (count,) and mesh.occlusion.min() > 0 and mesh.occlusion.max() <= 1
            assert mesh.texture.min() >= 5 and mesh.texture.max() < 5 + len(wardrobe.textures)
            assert mesh.layer in list(Layer)


def test_hair_seldom_hides_the_eyes(model: FaceModel, people: list[tuple[Traits, Outfit]]) -> None:
    hidden = []
    for k, (traits, outfit) in enumerate(people[:60]):
        random = draws(k, "head")
        neutral = model.neutral(random.normal(0, 0.8, len(model.identity)))
        wardrobe = dressing.dress(model, neutral, replace(outfit, glasses=None), traits)
        eyes = model.landmarks68.at(neutral)[36:48]
        covered = np.zeros((64, 64))
        for piece in wardrobe.pieces:
            if piece.parsing not in (Parsing.HAIR, Parsing.HEADWEAR):
                continue
            pixels = (32 + 2 * (piece.vertices[:, :2] * [1, -1] + [0, 3])).astype(np.float32)
            found = opencv.rasterise(pixels, (60 - piece.vertices[:, 2]).astype(np.float32), piece.triangles, (64, 64))
            at = (piece.uv[found.triangle] * found.barycentric[..., None]).sum(axis=1)
            rgba = wardrobe.textures[piece.texture].rgba
            size = np.array(rgba.shape[1::-1])
            column, row = np.minimum(at * size, size - 1).astype(int).T
            before = found.depth < 60 - eyes[:, 2].mean() + 1
            covered = np.maximum(covered, found.image(np.where(before, rgba[row, column, 3] / 255, 0)))
        x, y = (32 + 2 * (eyes[:, :2] * [1, -1] + [0, 3])).astype(int).T
        hidden.append(covered[y, x].mean() > 0.25)
    assert np.mean(hidden) < 0.08


def test_headwear_is_wound_as_its_normals_say(model: FaceModel) -> None:
    for kind in headwear.KINDS:
        for geometry in headwear.made(model, kind):
            piece = geometry.piece
            a, b, c = (piece.vertices[piece.triangles[:, k]].astype(float) for k in range(3))
            wound = np.cross(b - a, c - a)
            along = (wound * piece.normals[piece.triangles].sum(axis=1)).sum(axis=1)
            assert (along > -1e-6).all() and (along > 1e-6).mean() > 0.9, kind


def test_hair_leaves_the_forehead_and_reaches_the_nape(model: FaceModel) -> None:
    marks = model.landmarks68.at(model.vertices)
    assert (scalp.hairline(marks[17:]) < 0).all()  # brows, eyes, nose and mouth
    back = np.array([[0, 6, -9.3], [0, 14.5, -1], [7.3, 7, -1.5], [0, -3, -7.0]])
    assert (scalp.hairline(back) > 0).all()
    top_of_a_bald_head = scalp.hairline(back[1:2], crown=7.5)
    assert (top_of_a_bald_head < 0).all() and (scalp.hairline(back[3:], crown=7.5) > 0).all()


def test_collars_close_upon_the_neck_however_it_turns(model: FaceModel) -> None:
    for seed, name in enumerate(garments.CUTS):
        neutral, wardrobe = _dressed(model, seed, garment=name)
        posture = _posture(neutral, np.radians(50), np.radians(15))
        body = wardrobe.pieces[0]
        skin = posture.place(neutral, head_share(model.vertices))
        hem = body.mesh(posture, 0).vertices[: garments.COLUMNS]
        surface = skin[np.unique(model.triangles[model.triangles_of("skin")])]
        assert cKDTree(surface).query(hem)[0].max() < 1.7, name  # vertices of the neck lie about 1.5 cm apart


def test_beards_move_with_the_mouth_and_hats_do_not(model: FaceModel) -> None:
    neutral, wardrobe = _dressed(model, 3, beard="full", hair="bald", headwear="beanie")
    jaw = np.zeros(len(model.expression_names), np.float32)
    jaw[model.expression_index("jawOpen")] = 1
    still, opened = (wardrobe.meshes(_posture(head), 0) for head in (neutral, model.deform(neutral, jaw)))
    moved = {a.name: float(np.abs(a.vertices - b.vertices).max()) for a, b in zip(still, opened)}
    assert moved["beard full"] > 1.0 and moved["beanie"] == 0


def test_clothes_stay_when_the_head_turns(model: FaceModel) -> None:
    neutral, wardrobe = _dressed(model, 4, hair="short", garment="crew")
    straight, turned = (wardrobe.meshes(_posture(neutral, yaw), 0) for yaw in (0.0, 0.8))
    for a, b in zip(straight, turned):
        low = a.vertices[:, 1] < -16
        if a.name.startswith("garment"):
            assert np.abs(a.vertices - b.vertices)[low].max() < 1e-3
        else:
            assert np.abs(a.vertices - b.vertices).max() > 1


def test_a_stage_frames_the_head_and_holds_still_through_a_take() -> None:
    from engine.geometry.framing import HEAD_MIDDLE
    from engine.training.studio.library.library import load
    from engine.training.studio.stage.stage import sample_stage

    environments = load().environments
    widths = []
    for k in range(60):
        random = draws(k, "stage")
        stage, framed, other = sample_stage(environments, random), moment(random), moment(random)
        turn, place, _, _ = placed(stage, framed, framed)
        middle = turn @ HEAD_MIDDLE + place
        assert np.allclose(middle, [*stage.shift, -stage.distance], atol=1e-9)
        again = placed(stage, other, framed)[1] - other.translation
        assert np.allclose(again, place - framed.translation)  # the camera does not follow
        widths.append(stage.distance / stage.focal)
        assert np.isfinite(stage.background).all() and stage.background.min() >= 0
    assert min(widths) < 27 and max(widths) > 40
