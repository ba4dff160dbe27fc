"""Shards: the same bytes from the same seed, whole or refused, resumed after an interruption, smaller on request."""

from __future__ import annotations

import functools
import resource
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.geometry.fields import smaller_flow
from engine.training import shards
from engine.training.records import FIELDS, Layout
from engine.training.resize import smaller_pair
from engine.training.sample import Frame, Pair
from engine.training.shard_writer import build
from engine.training.shards import Records, ShardSamples
from tests.engine.heads import PlainHeads, known

SIZE, COUNT = 64, 24


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several records a shard, several shards a folder."""
    monkeypatch.setattr(shards, "_SHARD_BYTES", 700_000)


class ThreeSources(PlainHeads):
    """Each pair with the sources of the two after it."""

    def pair(self, number: int, size: int) -> Pair:
        pair, *others = (PlainHeads.pair(self, number + k, size) for k in range(3))
        return replace(pair, others=tuple(other.source for other in others))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_equal(a: Frame | None, b: Frame | None) -> None:
    assert (a is None) == (b is None)
    for field in fields(Frame) if a and b else ():
        one, two = getattr(a, field.name), getattr(b, field.name)
        assert (one is None) == (two is None), field.name
        if one is not None:
            np.testing.assert_array_equal(np.float32(one), np.float32(two), field.name)


def test_what_goes_in_comes_out(small: None, folder: Path) -> None:
    build(folder / "all", PlainHeads, COUNT, SIZE, FIELDS)
    samples = ShardSamples(folder / "all")
    assert len(list((folder / "all").glob("*.shard"))) > 2
    for number in (0, 5, 6, COUNT - 1, COUNT + 3):
        was, now = PlainHeads().pair(number % COUNT, SIZE), samples.pair(number, SIZE)
        assert_equal(was.source, now.source)
        assert_equal(was.driving, now.driving)
        assert now.cross is None
        for name in ("flow", "flow_visible"):
            one, two = getattr(was, name), getattr(now, name)
            assert (one is None) == (two is None)
            assert one is None or np.array_equal(one, two)


def test_several_source_frames_are_kept(folder: Path) -> None:
    build(folder / "three", ThreeSources, 2, SIZE, ("image", "landmarks68"), sources=3)
    was, now = ThreeSources().pair(1, SIZE), ShardSamples(folder / "three").pair(1, SIZE)
    assert len(now.sources) == 3 and now.sources[0] is now.source
    for here, there in zip(was.sources, now.sources, strict=True):
        np.testing.assert_array_equal(here.image, there.image)
    assert [frame.image.shape[0] for frame in smaller_pair(now, SIZE // 2).sources] == [SIZE // 2] * 3


def test_shards_of_an_older_format_are_refused(folder: Path) -> None:
    build(folder / "a", PlainHeads, 1, SIZE)
    index = folder / "a" / "shards.json"
    index.write_text(index.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(EngineError, match="version 1 of the format; this engine reads version 2") as caught:
        ShardSamples(folder / "a")
    assert caught.value.code == "old_shards" and "make it again" in caught.value.remedy


def test_only_what_is_asked_for_is_kept(folder: Path) -> None:
    build(folder / "few", PlainHeads, 3, SIZE, ("matte", "image", "landmarks68"))
    pair = ShardSamples(folder / "few").pair(1, SIZE)
    assert pair.source.known() == {"image", "matte", "landmarks68", "person", "face"} and pair.flow is None
    with pytest.raises(EngineError, match="no field mate"):
        build(folder / "none", PlainHeads, 3, SIZE, ("image", "mate"))


def test_a_seed_rebuilds_every_byte_whatever_the_number_of_processes(small: None, folder: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        build(folder / name, functools.partial(PlainHeads, 5), 16, SIZE, workers=workers)
    build(folder / "other", functools.partial(PlainHeads, 6), 16, SIZE)
    assert contents(folder / "one") == contents(folder / "two") != contents(folder / "other")
    assert Records(folder / "one").sha256 == Records(folder / "two").sha256 != Records(folder / "other").sha256


def test_an_interrupted_build_goes_on_where_it_stopped(small: None, folder: Path) -> None:
    build(folder / "whole", PlainHeads, COUNT, SIZE)
    with pytest.raises(RuntimeError):
        build(folder / "parts", functools.partial(PlainHeads, last=13), COUNT, SIZE)
    done = contents(folder / "parts")
    assert 1 < len(done) < len(contents(folder / "whole")) and not any(name.startswith(".") for name in done)
    with pytest.raises(EngineError, match="interrupted"):
        ShardSamples(folder / "parts")
    heard: list[int] = []
    build(folder / "parts", PlainHeads, COUNT, SIZE, on_record=heard.append)
    assert heard[0] > 0 and heard[-1] == COUNT
    assert contents(folder / "parts") == contents(folder / "whole")


def test_a_folder_keeps_to_one_plan(folder: Path) -> None:
    build(folder / "a", PlainHeads, 3, SIZE)
    with pytest.raises(EngineError, match="seed is 3 and not 4"):
        build(folder / "a", functools.partial(PlainHeads, 4), 3, SIZE)


@pytest.mark.parametrize("harm", ["truncated", "changed", "gone", "index", "lying index"])
def test_damage_is_one_clear_error(harm: str, folder: Path) -> None:
    build(folder / "a", PlainHeads, 3, SIZE)
    shard, index = folder / "a" / "00000.shard", folder / "a" / "shards.json"
    if harm == "truncated":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif harm == "changed":
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    elif harm == "gone":
        shard.unlink()
    elif harm == "index":
        index.write_bytes(index.read_bytes()[:-9])
    else:
        index.write_text(index.read_text().replace('"size": 64', '"size": 65'))
    with pytest.raises(EngineError) as caught:
        ShardSamples(folder / "a").pair(0, SIZE)
    assert caught.value.code == "bad_shards"
    assert str(index if "index" in harm else shard) in caught.value.text and "train shards" in caught.value.remedy


def test_a_folder_without_shards_says_how_to_make_them(folder: Path) -> None:
    with pytest.raises(EngineError, match="train shards --out"):
        ShardSamples(folder)


def test_a_full_disk_leaves_finished_shards_whole(small: None, folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(RuntimeError):
        build(folder / "a", functools.partial(PlainHeads, last=13), COUNT, SIZE)
    before = contents(folder / "a")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(EngineError) as caught:
            build(folder / "a", PlainHeads, COUNT, SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.code in ("disk_full", "not_writable") and contents(folder / "a") == before
    build(folder / "a", PlainHeads, COUNT, SIZE)
    assert len(ShardSamples(folder / "a")) == COUNT


def test_smaller_samples_keep_their_meaning(folder: Path) -> None:
    big, small = PlainHeads().pair(2, 128), smaller_pair(PlainHeads().pair(2, 128), 32)
    drawn = PlainHeads().pair(2, 32)
    assert small.driving.image.shape == (32, 32, 3) and small.flow is not None and small.flow_visible is not None
    for mine, true in ((small.source, drawn.source), (small.driving, drawn.driving)):
        assert np.abs(mine.image.astype(int) - true.image).mean() < 4
        assert (np.abs(known(mine.matte).astype(int) - known(true.matte)) > 128).mean() < 0.01
        np.testing.assert_allclose(known(mine.landmarks68), known(true.landmarks68), atol=1e-3)
        np.testing.assert_allclose(known(mine.dense), known(true.dense), atol=1e-3)
        np.testing.assert_array_equal(known(mine.expression), known(true.expression))
        mine_pncc, true_pncc = known(mine.pncc).astype(float), known(true.pncc).astype(float)
        both = (mine_pncc > 0).any(axis=2) & (true_pncc > 0).any(axis=2)
        assert np.median(np.abs(mine_pncc[both] - true_pncc[both])) < 0.02
        mine_depth, true_depth = known(mine.depth).astype(float), known(true.depth).astype(float)
        near = np.isfinite(mine_depth) & np.isfinite(true_depth)
        assert near.sum() > 100 and np.median(np.abs(mine_depth[near] - true_depth[near])) < 0.5
    assert drawn.flow is not None and drawn.flow_visible is not None
    seen = small.flow_visible & drawn.flow_visible
    error = np.linalg.norm(small.flow[seen].astype(float) - drawn.flow[seen], axis=1)
    assert np.median(error) < 0.1 < np.median(np.linalg.norm(drawn.flow[seen].astype(float), axis=1))
    assert smaller_pair(big, 128) is big


def test_flow_is_averaged_where_it_holds_and_scaled() -> None:
    flow = np.zeros((4, 4, 2), np.float16)
    flow[:2, :2] = [[[4, 8], [8, 8]], [[4, 8], [-100, 100]]]
    visible = np.zeros((4, 4), bool)
    visible[:2, :2] = [[True, True], [True, False]]
    smaller, holds = smaller_flow(flow, visible, 2)
    assert holds is not None and holds.tolist() == [[True, False], [False, False]]
    np.testing.assert_allclose(smaller[0, 0], [8 / 3, 4], atol=0.01)  # the mean of (4, 8, 4) and of 8, halved


def test_larger_than_stored_is_refused(folder: Path) -> None:
    build(folder / "a", PlainHeads, 1, SIZE)
    with pytest.raises(EngineError, match="--size 128"):
        ShardSamples(folder / "a").pair(0, 128)


def test_a_label_of_the_wrong_shape_is_never_stretched() -> None:
    layout = Layout(("source",), ("image", "gaze"), 4, 1, 1)
    with pytest.raises(ValueError, match="gaze"):
        layout.pack({"source": Frame(np.zeros((4, 4, 3), np.uint8), 0, gaze=np.zeros(2, np.float32))})


def test_reading_is_within_its_budget(folder: Path) -> None:
    build(folder / "a", PlainHeads, 8, 256)
    samples = ShardSamples(folder / "a")
    for number in range(8):
        samples.pair(number, 256)
    started = time.process_time()
    for number in range(40):
        assert isinstance(samples.pair(number, 256), Pair)
    assert (time.process_time() - started) / 80 < 0.002  # seconds a labelled frame
