"""People of the studio, without assets: the same seed is the same person, labels say what the geometry does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.training.studio import sheet
from engine.training.studio.assembly import build
from engine.training.studio.library.items import Library, Split
from engine.training.studio.library.library import load
from engine.training.studio.people.acting import Moment
from engine.training.studio.people.sitter import Sitter, projection, sample_sitter
from engine.training.studio.people.traits import sample_traits
from engine.training.studio.randomness import draws
from engine.training.studio.renderer.render import TRAINING
from engine.training.studio.stage.scene import Parsing
from engine.training.studio.stage.stage import Stage, sample_stage


@pytest.fixture(scope="module")
def library() -> Library:
    return load(None)


@pytest.fixture(scope="module")
def sitter(library: Library) -> Sitter:
    return sample_sitter(library, Split.TRAIN, 5, 0, texture=128)


@pytest.fixture(scope="module")
def stage(library: Library) -> Stage:
    return sample_stage(library.environments, draws(5, "stage"))


def _still(library: Library, gaze: float = 0.0, **weights: float) -> Moment:
    expression = np.zeros(len(library.model.expression_names), np.float32)
    for name, weight in weights.items():
        expression[library.model.expression_index(name)] = weight
    return Moment(expression, np.full((2, 2), gaze), np.eye(3), np.zeros(3), np.eye(3), np.zeros(3))


def test_the_same_seed_gives_the_same_sheet(library: Library) -> None:
    first, again, other = (sheet.people(library, Split.TRAIN, seed, 2, 48, TRAINING) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_a_labelled_sheet_holds_eight_pictures_a_person(library: Library) -> None:
    assert sheet.labelled(library, Split.TRAIN, 3, 1, 48, TRAINING).shape == (48, 8 * 48, 3)


def test_splits_share_no_skin_and_no_surroundings(library: Library) -> None:
    train, held = library.choices(Split.TRAIN), library.choices(Split.HELD_OUT)
    for kind in ("skins", "environments"):
        ids = [{item.id for item in getattr(choices, kind)} for choices in (train, held)]
        assert ids[0] and ids[1] and not ids[0] & ids[1]


def test_identity_is_the_nearest_head_of_the_face_model(library: Library) -> None:
    wanted = draws(1, "identity").normal(0, 1, len(library.model.identity)).astype(np.float32)
    found = projection(library, library.model.neutral(wanted))
    assert np.abs(found - wanted).mean() < 0.05


def test_gaze_turns_the_eyes_about_their_centres(library: Library, sitter: Sitter, stage: Stage) -> None:
    ahead, up = (build(sitter, _still(library, gaze), stage).head.vertices for gaze in (0.0, 0.3))
    for eye, centre in zip(library.anatomy.eyes, sitter.eye_centres):
        front = eye.vertices[sitter.neutral[eye.vertices, 2].argmax()]
        arm = sitter.neutral[front] - centre
        assert up[front, 1] - ahead[front, 1] == pytest.approx(np.linalg.norm(arm) * np.sin(0.3), rel=0.1)


def test_shoulders_stay_while_the_head_turns(library: Library, sitter: Sitter, stage: Stage) -> None:
    still = _still(library)
    turn = np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])
    turned = Moment(still.expression, still.gaze, turn, np.zeros(3), np.eye(3), np.zeros(3))
    ahead, aside = (build(sitter, m, stage, still).head.vertices for m in (still, turned))
    lowest, nose = sitter.neutral[:, 1].argmin(), sitter.neutral[:, 2].argmax()
    assert np.abs(ahead[lowest] - aside[lowest]).max() < 1e-3
    assert np.abs(ahead[nose] - aside[nose]).max() > 5


def test_lips_close_no_further_than_the_jaw_is_open(library: Library, sitter: Sitter, stage: Stage) -> None:
    scene = build(sitter, _still(library, mouthClose=0.9, jawOpen=0.2), stage)
    assert scene.head.expression[library.model.expression_index("mouthClose")] == pytest.approx(0.2)


def test_the_mouth_is_dark_inside_and_darker_shut(library: Library, sitter: Sitter, stage: Stage) -> None:
    deep = library.model.vertices_of("tongue")
    light = [build(sitter, _still(library, jawOpen=w), stage).meshes[0].occlusion[deep].mean() for w in (0.0, 0.8)]
    assert light[0] < 0.5 * light[1] < 0.5


def test_a_skin_knows_its_lips_and_brows(sitter: Sitter) -> None:
    painted = sitter.textures[0].parsing
    assert painted is not None
    assert {Parsing.LIP, Parsing.BROW} <= set(np.unique(painted).tolist())


def test_traits_go_together() -> None:
    people = [sample_traits(draws(2, "traits", k), masculine=0.0) for k in range(400)]
    young, old = [p for p in people if p.age < 30], [p for p in people if p.age > 60]
    assert np.mean([p.wrinkles for p in old]) > 0.2 > np.mean([p.wrinkles for p in young])
    assert np.mean([p.grey for p in old]) > 0.4 > np.mean([p.grey for p in young])
    assert all(p.stubble == 0 for p in people if p.feminine)
    assert max(p.hair_colour.mean() for p in people if p.melanin > 0.5 and p.grey == 0) < 0.1
    men = [np.mean([sample_traits(draws(2, "sex", k), shape).feminine for k in range(200)]) for shape in (-1.5, 1.5)]
    assert men[0] > 0.75 and men[1] < 0.25


@pytest.mark.skipif("UNDERSTUDY_ASSETS" not in os.environ, reason="UNDERSTUDY_ASSETS names no folder of assets")
def test_assets_are_carried_onto_the_face_model() -> None:
    library = load(Path(os.environ["UNDERSTUDY_ASSETS"]))
    for split, source in ((Split.TRAIN, "first-head"), (Split.HELD_OUT, "second-head")):
        sitter = sample_sitter(library, split, 1, 0, texture=128)
        assert sitter.sources["head"] == source
        left = np.linalg.norm(library.model.neutral(sitter.identity) - sitter.neutral, axis=1)
        face = library.model.vertices[:, 2] > 5
        assert left[face].mean() < 0.12  # cm that the face model cannot say of a face
    assert not {h.id for h in library.choices(Split.TRAIN).hair} & {h.id for h in library.choices(Split.HELD_OUT).hair}


def test_a_folder_without_assets_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="head_lod0.npz"):
        load(tmp_path)
