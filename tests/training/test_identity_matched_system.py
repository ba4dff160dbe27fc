"""``identity_matched`` from end to end with untrained networks, exported as trained ones are."""

from __future__ import annotations

import functools
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from engine import runtime, systems
from engine.errors import EngineError
from engine.face.maths import rotation_from_vector
from engine.face.subject import FaceFit, fit_portraits
from engine.geometry.framing import head_square
from engine.media.image import encode_png, read_image
from engine.motion.motion import MotionFrame
from engine.pipeline import render
from engine.protocol import Driving, Job
from engine.systems.base import Portrait
from engine.systems.identity_matched.network.generator import Generator
from engine.tracking.registry import create as create_detector
from engine.training.export import onnx
from engine.training.tasks import create
from tests.engine.faces import SAMPLE, portrait_rgb, weights

SIZE = 64


def export(folder: Path, name: str, says_something: bool) -> str:
    """The system's option ``weights``. A network that has just been made changes nothing; else it answers at random."""
    torch.manual_seed(5)
    task = create("identity_matched", {}, "a test")
    generator = next(part for part in vars(task).values() if isinstance(part, Generator))
    if says_something:
        for layer in (generator.offsets, generator.colours):
            torch.nn.init.normal_(layer.weight, std=0.3)
    for part, graph in task.export(SIZE).items():
        (folder / f"{name}_{part}.onnx").write_bytes(onnx(graph))
    return str(folder / name)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> str:
    return export(tmp_path_factory.mktemp("silent"), "silent", False)


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> str:
    return export(tmp_path_factory.mktemp("loud"), "loud", True)


@functools.cache
def wide() -> np.ndarray:
    """The portrait with room around, so that the head's square ends inside it."""
    return cv2.copyMakeBorder(portrait_rgb(), 40, 120, 120, 120, cv2.BORDER_REFLECT_101)


@functools.cache
def face() -> FaceFit:
    with closing(create_detector("builtin")) as detector:
        return fit_portraits([(Path("wide.png"), wide())], detector)[0]


def portrait() -> Portrait:
    return Portrait(Path("wide.png"), wide(), face())


def motion() -> MotionFrame:
    fit = face()
    turned = fit.pose.rotation @ rotation_from_vector(np.array([0, 0.2, 0]))
    expression = np.clip(fit.expression + weights(fit.model, jawOpen=0.6), 0, 1)
    return MotionFrame(expression, turned, fit.pose.translation, fit.gaze, np.zeros_like(fit.offsets), "ok")


def drawn(system: str = "identity_matched", **options: object) -> np.ndarray:
    subject = systems.create(system, options).prepare([portrait()])
    with closing(subject):
        return subject.draw(subject.inputs(motion()))


@functools.cache
def plain() -> np.ndarray:
    return drawn("mesh_warp")


def test_a_network_that_says_nothing_leaves_mesh_warp_s_frame(silent: str) -> None:
    assert np.abs(drawn(weights=silent).astype(int) - plain()).mean() < 0.5


@pytest.mark.parametrize("correspondence", ["learned", "analytic"])
def test_only_the_head_s_square_is_mended(loud: str, correspondence: str) -> None:
    changed = np.abs(drawn(weights=loud, correspondence=correspondence).astype(int) - plain()).max(axis=2)
    square = head_square(face().camera, face().pose)
    left, top, side = (round(value) for value in (square.left, square.top, square.side))
    assert left > 0 and top > 0 and left + side < wide().shape[1] and top + side < wide().shape[0]
    inside = np.zeros(changed.shape, bool)
    inside[top : top + side, left : left + side] = True
    assert changed[~inside].max() == 0 and np.quantile(changed[inside], 0.75) > 5
    inside[top + 1 : top + side - 1, left + 1 : left + side - 1] = False
    assert changed[inside].max() == 0, "nothing begins at the square's edge"


def test_both_correspondences_are_heard(loud: str) -> None:
    learned, analytic = (drawn(weights=loud, correspondence=name) for name in ("learned", "analytic"))
    assert np.abs(learned.astype(int) - analytic).max() > 2


def test_the_driver_s_own_pncc_is_the_same_where_the_driver_is_the_portrait_s_person(loud: str) -> None:
    """And another where it is not: the paper's ablation."""
    with closing(systems.create("identity_matched", {"weights": loud, "pncc": "driving"}).prepare([portrait()])) as own:
        rebuilt = drawn(weights=loud).astype(int)
        nobody_known, same = (own.draw(own.inputs(replace(motion(), driver=who))) for who in (None, face().identity))
        other = own.draw(own.inputs(replace(motion(), driver=face().identity + 2)))
    np.testing.assert_array_equal(nobody_known, rebuilt)
    assert 3 * np.abs(same - rebuilt).mean() < np.abs(other - rebuilt).mean()


def test_the_network_is_told_of_the_head_that_moves(loud: str) -> None:
    """Where the driver's own does: mesh_warp's frame and both codes follow it, rebuilt or not."""
    theirs = replace(motion(), driver=face().identity + 1, identity=face().identity + 1)
    frames = []
    for pncc in ("rebuilt", "driving"):
        system = systems.create("identity_matched", {"weights": loud, "pncc": pncc})
        with closing(system.prepare([portrait()])) as subject:
            own, other = (subject.draw(subject.inputs(moved)).astype(int) for moved in (motion(), theirs))
            assert np.abs(own - other).mean() > 1
            frames.append(other)
    assert np.abs(frames[0] - frames[1]).mean() < np.abs(own - other).mean() / 3


def test_without_its_residual_it_is_mesh_warp(loud: str) -> None:
    np.testing.assert_array_equal(drawn(weights=loud, residual=False), plain())


def test_files_that_do_not_belong_together_are_one_clear_error(loud: str, tmp_path: Path) -> None:
    for a, b in (("frame", "frame"), ("source", "source")):
        (tmp_path / "mixed_source.onnx").write_bytes(Path(f"{loud}_{a}.onnx").read_bytes())
        (tmp_path / "mixed_frame.onnx").write_bytes(Path(f"{loud}_{b}.onnx").read_bytes())
        system = systems.create("identity_matched", {"weights": str(tmp_path / "mixed")})
        with pytest.raises(EngineError) as caught:
            system.prepare([portrait()])
        assert caught.value.code == "bad_network" and "mixed" in caught.value.text


def test_the_next_take_finds_the_networks_open(loud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, opens = drawn(weights=loud), runtime.Session.__init__

    def opened(session: runtime.Session, network: Path, *given: Any) -> None:
        assert not str(network).startswith(loud), f"{network} opened again"
        opens(session, network, *given)

    monkeypatch.setattr(runtime.Session, "__init__", opened)
    np.testing.assert_array_equal(drawn(weights=loud), before)


def test_a_take_records_what_drew_it(loud: str, tmp_path: Path) -> None:
    (tmp_path / "portrait.png").write_bytes(encode_png(portrait_rgb()))
    job = Job(
        system="identity_matched",
        portraits=(str(tmp_path / "portrait.png"),),
        driving=Driving("movie", str(SAMPLE)),
        frames=((1001, 0), (1002, 20)),
        fps=(24000, 1001),
        output=str(tmp_path / "out"),
        shot="shot",
        options={"weights": loud},
    )
    messages: list[dict] = []
    assert render(job, messages.append, lambda: False)
    take = next(Path(m["folder"]) for m in messages if m["type"] == "take")
    record = json.loads((take / f"{take.name}.json").read_text("utf-8"))
    networks = {entry["path"] for entry in record["inputs"] if entry["role"] == "weights"}
    assert {f"{loud}_source.onnx", f"{loud}_frame.onnx"} < networks
    assert "cpu" in record["notes"]["networks"] and record["job"]["options"] == {"weights": loud}
    first, second = (read_image(take / f"{take.name}.{number}.png") for number in (1001, 1002))
    assert first.shape == portrait_rgb().shape and np.abs(first.astype(int) - second).mean() > 1
