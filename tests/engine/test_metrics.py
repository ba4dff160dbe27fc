"""The judge itself: hand-computed values, a second opinion on SSIM, and metrics that see what they are named for."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from engine.evaluation import metrics, signals
from engine.evaluation.metrics import Sample

SIZE = 200


def face(mouth: float = 0.0, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """468 points in the image plane inside a box of 60×80 around (100, 100), then turned; the eyes are 40 apart."""
    points = np.zeros((468, 3))
    points[:, :2] = np.random.default_rng(3).uniform((-30, -40), (30, 40), (468, 2))
    points[0, :2], points[1, :2] = (-30, -40), (30, 40)
    points[[33, 133, 362, 263], :2] = (-20, -10), (-8, -10), (8, -10), (20, -10)  # corners of the eyes
    points[[159, 145, 386, 374], :2] = (-14, -12), (-14, -8), (14, -12), (14, -8)  # lids
    points[[105, 334, 10, 152], :2] = (-14, -20), (14, -20), (0, -40), (0, 40)  # brows, forehead, chin
    points[[61, 291, 13, 14], :2] = (-10, 20), (10, 20), (0, 18), (0, 18 + 40 * mouth)  # lips
    a, b, c = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    tilt = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return points @ (turn @ nod @ tilt).T + np.array([100, 100, 0])


def moved(x: float, y: float = 0.0) -> np.ndarray:
    return face() + np.array([x, y, 0])


def grey(level: int, size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def sample(index: int = 0, output: np.ndarray | None = None, driving: np.ndarray | None = None) -> Sample:
    """Points in two grey frames."""
    return Sample(index, grey(100), grey(100), output, driving)


def value(metric: metrics.Metric, *samples: Sample) -> float | None:
    for one in samples:
        metric.update(one)
    return metric.value()


def test_expression_signals_by_hand() -> None:
    signal = dict(zip(signals.EXPRESSION, signals.expression(face(mouth=0.25)), strict=True))
    assert signal == pytest.approx({"mouth": 0.25, "width": 0.5, "eyes": 0.1, "brow": 0.2})


@pytest.mark.parametrize("angles", [(20, 0, 0), (-35, 0, 0), (0, -15, 0), (0, 12, 0), (0, 0, 30)])
def test_pose_reads_back_the_angles_of_a_turned_face(angles: tuple[float, float, float]) -> None:
    assert signals.pose(face(0.1, *angles)) == pytest.approx(angles, abs=1e-6)


def test_signals_do_not_depend_on_where_the_face_is_or_how_large() -> None:
    small, large = face(0.2, 10, 5, 3), face(0.2, 10, 5, 3) * 2.5 + np.array([40, -7, 11])
    assert signals.expression(large) == pytest.approx(signals.expression(small))
    assert signals.pose(large) == pytest.approx(signals.pose(small))
    assert signals.diagonal(large) == pytest.approx(2.5 * signals.diagonal(small))


def test_l1_and_psnr_by_hand() -> None:
    pair = Sample(0, grey(100), grey(151), None, None)
    assert value(metrics.L1(), pair) == pytest.approx(51 / 255)
    assert value(metrics.PSNR(), pair) == pytest.approx(20 * np.log10(5))
    assert value(metrics.PSNR(), Sample(0, grey(9), grey(9), None, None)) == pytest.approx(90)


def test_ssim_of_two_flat_frames_by_hand() -> None:
    x, y, c1 = 100 / 255, 151 / 255, 1e-4
    assert metrics.ssim(grey(100), grey(151)) == pytest.approx((2 * x * y + c1) / (x * x + y * y + c1))


@pytest.mark.parametrize("noise", [2, 20, 90])
def test_ssim_agrees_with_scikit_image(noise: int) -> None:
    random = np.random.default_rng(noise)
    ramp = np.add.outer(np.arange(75), np.arange(64))[..., None] + np.array([0, 40, 80])
    a = ramp.astype(np.uint8)
    b = np.clip(ramp + random.normal(0, noise, a.shape), 0, 255).astype(np.uint8)
    second = structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert isinstance(second, float)
    assert metrics.ssim(a, b) == pytest.approx(second, abs=1e-6)


def test_frames_are_compared_at_the_size_of_the_driver() -> None:
    random = np.random.default_rng(0)
    driving = random.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    enlarged = driving.repeat(2, axis=0).repeat(2, axis=1)
    assert value(metrics.L1(), Sample(0, enlarged, driving, None, None)) == 0
    points = face()[:, :3] * 0.1
    twice = Sample(0, enlarged, driving, points * 2, points)
    assert value(metrics.Landmarks(), twice) == pytest.approx(0)


def test_landmark_difference_is_a_percentage_of_the_face_diagonal() -> None:
    diagonal = np.hypot(60, 80)
    deeper = moved(3) + np.array([0, 0, 50])  # depth does not count
    assert value(metrics.Landmarks(), sample(0, deeper, face())) == pytest.approx(1.5 / diagonal * 100)


def test_pose_and_expression_errors_are_means_over_their_signals() -> None:
    assert value(metrics.PoseError(), sample(0, face(yaw=6), face())) == pytest.approx(2, abs=1e-6)
    assert value(metrics.ExpressionError(), sample(0, face(mouth=0.4), face())) == pytest.approx(0.1)


@pytest.mark.parametrize(("signal", "sign"), [("mouth", 1), ("yaw", -1)])
def test_correlation_follows_the_signal_it_is_named_for(signal: str, sign: int) -> None:
    phase = np.linspace(0, 6, 20)
    samples = [
        sample(i, face(0.2 + 0.1 * np.sin(t), 10 * np.cos(t)), face(0.3 + 0.2 * np.sin(t), -5 * np.cos(t)))
        for i, t in enumerate(phase)
    ]
    assert value(metrics.Correlation(signal), *samples) == pytest.approx(sign, abs=1e-3)


def test_a_static_output_has_no_correlation() -> None:
    samples = [sample(i, face(0.2), face(0.1 * i)) for i in range(6)]
    assert value(metrics.Correlation("mouth"), *samples) is None


def test_missing_counts_only_faces_that_the_driver_has() -> None:
    samples = [sample(0, None, face()), sample(1, None, None), sample(2, face(), face()), sample(3, face(), None)]
    assert value(metrics.Missing(), *samples) == 1
    assert value(metrics.PoseError(), *samples) == 0
    assert value(metrics.PoseError(), sample(0, None, face())) is None


def test_jitter_is_the_acceleration_the_driver_does_not_have() -> None:
    diagonal = np.hypot(60, 80)
    moving = [moved(i * i) for i in range(6)]
    assert value(metrics.Jitter(), *(sample(i, p, p) for i, p in enumerate(moving))) == pytest.approx(0, abs=1e-9)
    steady = [sample(i, face(), p) for i, p in enumerate(moving)]
    assert value(metrics.Jitter(), *steady) == pytest.approx(2 / diagonal * 100)
    shaking = [sample(i, moved(0, 1 if i % 2 else -1), face()) for i in range(6)]
    assert value(metrics.Jitter(), *shaking) == pytest.approx(4 / diagonal * 100)


def test_jitter_does_not_reach_across_a_gap() -> None:
    jump = [sample(i, moved(i), face()) for i in (0, 1, 10, 11)]
    assert value(metrics.Jitter(), *jump) is None
    lost = [sample(0, face(), face()), sample(1, None, face()), sample(2, face(), face())]
    assert value(metrics.Jitter(), *lost) is None
