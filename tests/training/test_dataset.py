"""The studio as a source of pairs: the same from a seed, other people in other splits, labels that belong together."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import EngineError
from engine.face import model as face_model
from engine.training import cli
from engine.training.batch import collate
from engine.training.sample import LABELS, Frame
from engine.training.shards import ShardSamples
from engine.training.studio.dataset import Options, StudioSamples
from engine.training.studio.library.items import Split
from engine.training.studio.library.library import load
from engine.training.studio.people.expressions import index
from engine.training.studio.renderer import labels
from engine.training.studio.renderer.render import render
from tests.engine.heads import known
from tests.engine.test_shards import contents

SIZE = 96


@pytest.fixture(scope="module")
def studio() -> StudioSamples:
    return StudioSamples(seed=11)


def assert_same(a: Frame, b: Frame) -> None:
    for field in fields(Frame):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), field.name)


def test_a_seed_and_a_number_make_a_pair_whatever_came_before(studio: StudioSamples) -> None:
    first = studio.pair(2, SIZE)
    studio.pair(5, SIZE)
    for again in (studio.pair(2, SIZE), StudioSamples(seed=11).pair(2, SIZE)):
        assert_same(first.source, again.source)
        assert_same(first.driving, again.driving)
        np.testing.assert_array_equal(known(first.flow), known(again.flow))
    other = StudioSamples(seed=12).pair(2, SIZE)
    assert not np.array_equal(other.source.image, first.source.image)


def test_every_label_is_there_and_two_frames_are_one_person(studio: StudioSamples) -> None:
    pairs = [studio.pair(number, SIZE) for number in range(10)]
    for pair in pairs:
        assert pair.source.known() == pair.driving.known() == {*LABELS, "person", "face"}
        assert pair.source.person == pair.driving.person
        np.testing.assert_array_equal(known(pair.source.identity), known(pair.driving.identity))
    assert len({pair.source.person for pair in pairs}) == 8  # and then the first of them again
    model, frame = face_model.load(), pairs[0].driving
    head = model.deform(model.neutral(known(frame.identity)), known(frame.expression))
    points = model.landmarks68.at(head) @ known(frame.rotation).T + known(frame.translation)
    assert frame.focal is not None
    x, y = SIZE / 2 + points[:, :2].T * [[1], [-1]] * frame.focal * SIZE / -points[:, 2]
    error = np.hypot(x - known(frame.landmarks68)[:, 0], y - known(frame.landmarks68)[:, 1])
    assert np.median(error) < 0.02 * SIZE  # the coefficients tell what the picture shows


def test_flow_leads_to_the_same_surface(studio: StudioSamples) -> None:
    moved = 0
    for number in range(12):
        pair = studio.pair(number, SIZE)
        if pair.source is pair.driving or np.array_equal(pair.source.image, pair.driving.image):
            assert known(pair.flow)[known(pair.flow_visible)].max(initial=0) < 0.01
            continue
        flow, visible = known(pair.flow).astype(np.float32), known(pair.flow_visible)
        rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
        there = cv2.remap(
            known(pair.source.pncc).astype(np.float32), columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR
        )
        here = known(pair.driving.pncc).astype(np.float32)
        both = visible & (here > 0).any(axis=2) & (there > 0).any(axis=2)
        if both.sum() > 200:
            moved += 1
            assert np.median(np.abs(there - here)[both]) < 0.02
    assert moved >= 5


def test_what_is_held_out_is_never_trained_on() -> None:
    train, held = (StudioSamples(seed=11, split=split) for split in ("train", "held-out"))
    assert train.describe() != held.describe()
    assert not np.array_equal(train.pair(0, SIZE).source.image, held.pair(0, SIZE).source.image)
    one, other = (load().choices(split) for split in Split)
    for kind in ("skins", "environments"):  # and with assets hair, and a whole source of heads
        ids = [{item.id for item in getattr(choices, kind)} for choices in (one, other)]
        assert ids[0] and ids[1] and not ids[0] & ids[1], kind


def test_several_source_frames_show_the_person_in_other_moments(studio: StudioSamples) -> None:
    """The first, and the driving frame, are those of one source frame alone."""
    one, three = studio.pair(3, 64), StudioSamples(seed=11, options=Options(sources=3)).pair(3, 64)
    assert_same(one.source, three.source)
    assert_same(one.driving, three.driving)
    assert one.sources == (one.source,) and len(three.sources) == 3
    for frame in three.others:
        assert frame.person == one.source.person
        np.testing.assert_array_equal(known(frame.identity), known(one.source.identity))
        assert not np.allclose(known(frame.expression), known(one.source.expression))
    batch = collate([three, three], ["sources_image", "source_image", "sources_landmarks68"])
    assert batch["sources_image"].shape == (2, 3, 3, 64, 64) and batch["sources_landmarks68"].shape == (2, 3, 68, 2)
    np.testing.assert_array_equal(batch["sources_image"][:, 0], batch["source_image"])


def test_the_same_motion_on_another_person() -> None:
    samples = StudioSamples(seed=11, options=Options(cross=True))
    for number in (0, 3, 7):
        pair = samples.pair(number, 64)
        assert pair.cross is not None and pair.cross_source is not None
        assert pair.cross.person == pair.cross_source.person != pair.driving.person
        np.testing.assert_allclose(known(pair.cross.expression), known(pair.driving.expression), atol=1e-6)
        np.testing.assert_allclose(known(pair.cross.rotation), known(pair.driving.rotation), atol=1e-6)
        assert np.abs(known(pair.cross.identity) - known(pair.driving.identity)).max() > 0.1


def test_a_person_is_met_again_elsewhere() -> None:
    def scenery(apart: bool) -> list[float]:
        """How much the surroundings of both frames of some pairs differ, of 255."""
        samples, found = StudioSamples(seed=11, options=Options(apart=apart)), []
        for number in range(4):
            pair = samples.pair(number, 64)
            assert pair.source.person == pair.driving.person
            empty = (known(pair.source.matte) == 0) & (known(pair.driving.matte) == 0)
            change = pair.source.image[empty].astype(float) - pair.driving.image[empty]
            found.append(float(np.abs(change).mean()))
        return found

    assert min(scenery(True)) > 15 > 8 > max(scenery(False))


def test_as_many_pairs_as_are_asked_for_end_in_a_blink() -> None:
    def drawn(share: float) -> list[tuple[float, float]]:
        """How far the eyes are shut in either frame of some pairs."""
        takes = [StudioSamples(seed=11, options=Options(blinks=share))._take(number) for number in range(60)]
        return [(here.expression[lids].min(), there.expression[lids].min()) for _, _, here, there in takes]

    lids = list(index("eyeBlink"))
    usual, some, all_of_them = (np.array(drawn(share)) for share in (0.0, 0.3, 1.0))
    np.testing.assert_array_equal(usual[:, 0], all_of_them[:, 0])  # portraits stay as they are
    assert np.median(all_of_them[:, 1]) > 0.7 and np.median(usual[:, 1]) < 0.2
    assert 0.15 < (some[:, 1] != usual[:, 1]).mean() < 0.45


def test_pictures_of_nobody_have_no_labels() -> None:
    samples = StudioSamples(seed=11, options=Options(negatives=1.0, loose=0.5))
    images = [frame.image for n in range(4) for frame in (samples.pair(n, 64).source, samples.pair(n, 64).driving)]
    assert len({image.tobytes() for image in images}) == len(images)
    nobody = samples.pair(0, 64).source
    assert not nobody.face and nobody.known() == {"image", "person", "face"}


def test_missing_assets_are_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError):
        StudioSamples(tmp_path / "nowhere")
    asked = ["--out", str(tmp_path / "out"), "--count", "1", "--assets", str(tmp_path / "nowhere")]
    assert cli.main(["shards", *asked]) == 1
    said = capsys.readouterr().err
    assert "nowhere" in said and "Traceback" not in said and not (tmp_path / "out").exists()


def test_shards_of_the_studio_are_the_studio(tmp_path: Path, studio: StudioSamples) -> None:
    asked = ["--count", "6", "--size", str(SIZE), "--seed", "11", "--workers", "2"]
    for name in ("a", "b"):
        assert cli.main(["shards", "--out", str(tmp_path / name), *asked]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    now, true = ShardSamples(tmp_path / "a").pair(4, SIZE), studio.pair(4, SIZE)
    np.testing.assert_array_equal(now.driving.image, true.driving.image)
    np.testing.assert_array_equal(known(now.flow), known(true.flow))


def test_two_meshes_of_one_name_each_have_their_own_flow(studio: StudioSamples) -> None:
    scene = studio.scenes(0)[0]
    head = scene.meshes[0]
    moved = replace(head, vertices=head.vertices + np.array([0.5, 0, 0], np.float32))
    twice = [replace(scene, meshes=meshes) for meshes in ((head, moved), (moved, head))]
    pictures = [render(scene, 64) for scene in twice]
    flow, visible = labels.flow(pictures[1], pictures[0])
    swapped = np.linalg.norm(flow[visible].astype(float), axis=1)
    assert visible.sum() > 100 and np.median(swapped) > 0.3 * scene.focal * 64 * 0.5 / -head.vertices[:, 2].mean()
