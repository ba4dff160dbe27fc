"""The system around its networks: where they mend a frame and where not, options, and what is offered."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import systems
from engine import weights as shipped
from engine.compositing.native import Canvas, head_share, paintable, tempered
from engine.errors import EngineError
from engine.face.maths import rotation_from_vector
from engine.geometry.frame_inputs import EYE, MOUTH, FrameInputs, PortraitInputs
from engine.geometry.framing import Square, head_square
from engine.motion.motion import MotionFrame
from engine.systems.base import Portrait, Subject
from tests.engine.faces import portrait_face, portrait_rgb
from tests.engine.faces import weights as expression_weights

SIZE = 32
SHAPE = (120, 180)
SQUARE = Square(30, 10, 96)
BOX = np.s_[10:106, 30:126]


@pytest.fixture
def frame() -> np.ndarray:
    """Fine grain, of which nothing is left at a third of its size."""
    return np.random.default_rng(1).integers(60, 190, (*SHAPE, 3), np.uint8)


def answer(mask: float = 0.0, colour: float = 0.0, pixels: tuple[float, float] = (0.0, 0.0)):
    """Offset, mask and generated; ``pixels`` of the network's picture."""
    offset = np.broadcast_to(np.reshape(pixels, (2, 1, 1)) * 2 / (SIZE - 1), (2, SIZE, SIZE)).astype(np.float32)
    return offset, np.full((1, SIZE, SIZE), mask, np.float32), np.full((3, SIZE, SIZE), colour, np.float32)


def canvas(square: Square = SQUARE) -> Canvas:
    return Canvas(square, SIZE)


def test_what_is_not_mended_stays_as_sharp_as_it_was(frame: np.ndarray) -> None:
    np.testing.assert_array_equal(canvas().mend(frame, frame, *answer()), frame)
    np.testing.assert_array_equal(canvas().mend(frame, frame, *answer(mask=0, colour=1)), frame)


def test_nothing_is_changed_beyond_the_square_nor_at_its_edge(frame: np.ndarray) -> None:
    out = canvas().mend(frame, frame, *answer(mask=1, colour=1, pixels=(4, -3)))
    inside = np.zeros(SHAPE, bool)
    inside[BOX] = True
    np.testing.assert_array_equal(out[~inside], frame[~inside])
    inside[11:105, 31:125] = False  # all but the outermost pixels of the square
    np.testing.assert_array_equal(out[inside], frame[inside])
    assert (out[40:80, 60:100] == 255).all()
    flat = np.full_like(frame, 100)
    row = canvas().mend(flat, flat, *answer(mask=1, colour=1))[58, 28:60, 0].astype(int)
    assert row[0] == 100 and row[-1] == 255 and np.diff(row).min() >= 0 and np.diff(row).max() < 40, "it comes slowly"


def test_the_frame_s_own_edge_stays_too(frame: np.ndarray) -> None:
    """What would be looked up there lies beyond it."""
    out = canvas(Square(0, 0, 120)).mend(frame, frame, *answer(mask=1, colour=1, pixels=(-4, 3)))
    np.testing.assert_array_equal(out[[0, -1]], frame[[0, -1]])
    np.testing.assert_array_equal(out[:, 0], frame[:, 0])
    assert (out[12:108, 12:108] == 255).all() and (out[:, 120:] == frame[:, 120:]).all()


def test_its_flow_moves_the_frame_s_own_pixels(frame: np.ndarray) -> None:
    """Two pixels of the network's picture are six of the frame's."""
    out = canvas().mend(frame, frame, *answer(pixels=(2, -1)))
    np.testing.assert_array_equal(out[40:80, 60:90], frame[37:77, 66:96])


def test_the_mask_takes_away_fine_detail_only_as_far_as_it_paints(frame: np.ndarray) -> None:
    """Half painted in the frame's mean colour: the mean stays, half of the detail too."""
    middle = np.s_[45:75, 60:95]
    colour = float(frame.mean()) / 127.5 - 1
    out = canvas().mend(frame, frame, *answer(mask=0.5, colour=colour))
    assert out[middle].std() / frame[middle].std() == pytest.approx(0.5, abs=0.03)
    assert out[middle].mean() == pytest.approx(frame[middle].mean(), abs=2)
    out = canvas().mend(frame, frame, *answer(mask=1, colour=colour))
    assert out[middle].std() < 1


def test_what_is_painted_keeps_drawn_detail_where_both_show_the_same(frame: np.ndarray) -> None:
    """Lit a little otherwise, teeth keep their edges; what shows something else keeps nothing."""
    middle, everywhere = np.s_[45:75, 60:95], np.ones((SIZE, SIZE), np.float32)

    def painted(lighter: float, detailed: np.ndarray) -> np.ndarray:
        colour = (float(frame.mean()) + lighter) / 127.5 - 1
        return canvas().mend(frame, frame, *answer(mask=1, colour=colour), detailed=detailed)[middle].astype(float)

    own, kept = frame[middle].astype(float), painted(15, everywhere)
    assert kept.mean() == pytest.approx(frame.mean() + 15, abs=3)
    assert np.corrcoef(kept.ravel(), own.ravel())[0, 1] > 0.9 and kept.std() > 0.7 * own.std()
    assert painted(15, 0 * everywhere).std() < 1
    assert painted(-100, everywhere).std() < 1


def test_a_small_frame_is_mended_by_a_large_network() -> None:
    frame = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 255, (40, 40, 3), np.uint8), (0, 0), 3)
    small = Canvas(Square(8, 8, 24), SIZE)
    np.testing.assert_array_equal(small.mend(frame, frame, *answer()), frame)
    assert (small.mend(frame, frame, *answer(mask=1, colour=-1))[16:24, 16:24] == 0).all()


def test_the_head_is_framed_within_the_portrait() -> None:
    square, (height, width) = _square(), portrait_rgb().shape[:2]
    assert square.left == int(square.left) and square.top == int(square.top) and square.side == int(square.side)
    assert 0 <= square.left <= width - square.side and 0 <= square.top <= height - square.side
    points = portrait_face().observation.landmarks68 - [square.left, square.top]
    assert points.min() > 0.1 * square.side and points.max() < 0.9 * square.side


def test_the_head_is_mended_and_not_its_shoulders() -> None:
    face, square = portrait_face(), _square()
    share = head_share(square, 64, face.camera, face.pose)
    assert share.shape == (64, 64) and share.dtype == np.float32

    def at(head: tuple[float, float, float]) -> float:
        pixel, _ = face.camera.project(face.pose.apply(np.array(head)))
        x, y = ((pixel - [square.left, square.top]) * 64 / square.side).astype(int)
        return float(share[y, x])

    assert at((0, 14, 0)) == at((7, 0, 0)) == 1 and at((-9, -15, 0)) == at((9, -15, 0)) == 0
    assert 0.2 < at((0, -11.5, 0)) < 0.8
    assert at((11.5, -10.5, 0)) < 0.1 and at((0, -10, 0)) > 0.8  # beside a jaw may be a shoulder, below it is a neck


def test_only_what_the_portrait_does_not_show_is_painted() -> None:
    hidden, part = np.zeros((64, 64), np.float32), np.ones((64, 64), np.uint8)
    hidden[10:14, 10:14], part[40:44, 40:44] = 1, MOUTH
    lids = np.zeros((64, 64), bool)
    lids[50:54, 20:24] = True
    share = paintable(part, hidden, lids)
    assert share.dtype == np.float32 and share.shape == (64, 64) and share.min() >= 0 and share.max() <= 1
    assert share[10:14, 10:14].min() > 0.9 and share[40:44, 40:44].min() > 0.9 and 0.05 < share[9, 15] < 1
    assert share[25, 25] == share[60, 10] == 0 and share[50:54, 20:24].min() > 0.9


def test_what_the_portrait_shows_is_painted_in_colours_that_are_around() -> None:
    """Not what is hidden widely, nor the mouth, of which it may show nothing."""
    hidden, part = np.zeros((64, 64), np.float32), np.ones((64, 64), np.uint8)
    hidden[:, 40:], hidden[21, 9], part[50:58, 8:20] = 1, 1, MOUTH
    warped = np.full((3, 64, 64), 0.5, np.float32)
    warped[:, 30] = 0.2
    black = tempered(np.full((3, 64, 64), -1, np.float32), warped, part, hidden)
    assert black.dtype == np.float32 and black.shape == (3, 64, 64)
    assert (black[:, :, 60] == -1).all() and (black[:, 52:56, 10:18] == -1).all()
    assert black[:, 21, 9] == pytest.approx(0.5, abs=0.01) and black[:, 31, 9] == pytest.approx(0.2)
    mild = np.full((3, 64, 64), 0.3, np.float32)
    assert tempered(mild, warped, part, hidden)[:, 31, 9] == pytest.approx(0.3)


def moved(turn: float = 0.0, **expression: float) -> MotionFrame:
    """The portrait's own state, but for a turn in radians and a face that is made."""
    fit = portrait_face()
    pose = rotation_from_vector(np.array([0, turn, 0])) @ fit.pose.rotation
    made = np.clip(fit.expression + expression_weights(fit.model, **expression), 0, 1)
    return MotionFrame(made, pose, fit.pose.translation, fit.gaze, np.zeros_like(fit.offsets), "ok")


def test_a_face_at_rest_is_left_as_it_is() -> None:
    """By the networks that are shipped; and the more it moves, the more they may say, without a jump."""
    with closing(_prepared("identity_matched")) as ours:
        plain, steps = _prepared("mesh_warp"), (0.0, 0.004, 0.01, 0.02, 0.04, 0.06)
        frames = [moved(turn) for turn in steps]
        changes = [np.abs(drawn(ours, frame).astype(int) - drawn(plain, frame)).mean() for frame in frames]
    assert changes[0] == 0 and changes[-1] > 0.1, "the same picture"
    assert max(np.diff(changes)) < 0.6 * changes[-1]


def test_a_blink_alone_is_mended() -> None:
    """Its lids, and little else."""
    motion, names = moved(eyeBlink_L=1, eyeBlink_R=1), ("frame", "parts", "hidden", "lids")
    known = FrameInputs(PortraitInputs(_portrait(), names), motion)
    parts, lids = known["parts"], known["lids"]
    assert (parts == EYE).mean() < 0.1 * lids.mean() and lids.mean() < 0.05, "shut"
    assert paintable(parts, known["hidden"], lids)[lids].min() > 0.9
    with closing(_prepared("identity_matched")) as ours:
        change = np.abs(drawn(ours, motion).astype(int) - known["frame"]).mean(axis=2)
    within = _square().cut(change.astype(np.float32), 256)
    assert within[lids].mean() > 3 * within[~lids].mean()


def test_the_faithful_variant_gives_way_to_the_plain_frame_too(frame: np.ndarray) -> None:
    """What moves the portrait itself leaves the frame where it has nothing to say."""
    base, share = np.full_like(frame, 200), np.zeros((SIZE, SIZE), np.float32)
    share[:, SIZE // 2 :] = 1
    out = canvas().mend(frame, base, *answer(), share)
    np.testing.assert_array_equal(out[:, :70], frame[:, :70])
    assert (out[40:80, 85:110] == 200).all()


@pytest.mark.parametrize("correspondence", ["learned", "analytic"])
def test_shipped_networks_mend_the_head_a_little(correspondence: str) -> None:
    motion = moved(0.35, jawOpen=0.6)
    with closing(_prepared("identity_matched", correspondence=correspondence)) as ours:
        change = np.abs(drawn(ours, motion).astype(int) - drawn(_prepared("mesh_warp"), motion)).mean(axis=2)
    square = _square()
    inside = np.zeros(change.shape, bool)
    inside[square.top : square.top + square.side, square.left : square.left + square.side] = True
    assert change[~inside].max(initial=0) == 0 and 0.3 < change[inside].mean() < 8


def test_shipped_networks_are_small() -> None:
    files = sorted(shipped.FOLDER.glob("identity_matched_*.onnx"))
    assert len(files) == 3 and sum(file.stat().st_size for file in files) <= 12e6


def _portrait() -> Portrait:
    return Portrait(Path("astronaut.png"), portrait_rgb(), portrait_face())


def _square() -> Square:
    return head_square(portrait_face().camera, portrait_face().pose)


def drawn(subject: Subject, motion: MotionFrame) -> np.ndarray:
    return subject.draw(subject.inputs(motion))


def _prepared(name: str, **options: object) -> Subject:
    return systems.create(name, options).prepare([_portrait()])


WRONG = [
    *({"sharpness": 2}, {"residual": "no"}, {"residual": 1}, {"size": "huge"}, {"correspondence": "none"}),
    *({"pncc": "mine"}, {"weights": 3}),
]


@pytest.mark.parametrize("options", WRONG)
def test_wrong_options_are_refused(options: dict) -> None:
    with pytest.raises(EngineError) as caught:
        systems.create("identity_matched", options)
    assert caught.value.code == "bad_option" and next(iter(options)) in caught.value.text


def test_networks_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        systems.create("identity_matched", {"weights": str(tmp_path / "mine")})
    assert caught.value.code == "missing_network" and str(tmp_path / "mine_source.onnx") in caught.value.text


def test_without_its_residual_it_is_mesh_warp(tmp_path: Path) -> None:
    """And needs no network."""
    system = systems.create("identity_matched", {"residual": False, "weights": str(tmp_path / "none")})
    assert system.weights == ()
    assert type(system.prepare([_portrait()])) is type(_prepared("mesh_warp"))


def test_it_is_offered_where_its_networks_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "FOLDER", tmp_path)
    assert systems.names() == ["mesh_warp", "null"]
    for name in ("source", "frame"):
        (tmp_path / f"identity_matched_{name}.onnx").touch()
    assert systems.names() == ["mesh_warp", "identity_matched", "null"]
