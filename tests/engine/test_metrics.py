"""Every metric against values computed by hand, in closed form, or by another library."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from engine.evaluation.extractors.landmarks import ANGLES, Fitting, Landmarker, angles, expression_signals
from engine.evaluation.metrics import pixels
from engine.evaluation.metrics.correlation import Correlation, correlations
from engine.evaluation.metrics.frame_difference import FrameDifference, region_box
from engine.evaluation.metrics.identity import IdentityDistance, IdentitySimilarity, equal_error_rate
from engine.evaluation.metrics.landmarks import (
    ExpressionDistance,
    KeypointDistance,
    MissingKeypoints,
    PoseDistance,
    RotationDistance,
    ShapeDistance,
)
from engine.evaluation.metrics.perceptual import (
    BinDistance,
    PerceptualDistance,
    bin_of,
    frechet,
    layer_distance,
    split_floor,
)
from engine.evaluation.metrics.temporal import Jitter, TemporalWarp
from engine.evaluation.picture import Extractor, Picture, ShotFrame
from engine.face.maths import rotation_from_vector
from engine.tracking.detector import Observation
from tests.engine import dense_signals
from tests.engine.faces import observed, sample_frames


def grey(level: int, size: int = 32) -> Picture:
    return Picture(np.full((size, size, 3), level, np.uint8))


def frame(truth: Picture | None = None, source: Picture | None = None, **fields) -> ShotFrame:
    base = {"shot": "a", "identity": "a", "index": 0, "driver": grey(0)}
    return ShotFrame(**{**base, "source": source or grey(0), "truth": truth, **fields})


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """A head's rotation in degrees, one axis at a time."""
    return rotation_from_vector(np.radians([-pitch, yaw, -roll]))


class Brightness(Extractor):
    """Two layers of a toy network: the mean level as an angle between two channels, at two resolutions."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, picture: Picture) -> list[np.ndarray]:
        self.asked += 1
        angle = picture.rgb.mean() / 255 * np.pi / 2
        layer = np.array([np.cos(angle), np.sin(angle)], np.float32)[:, None, None]
        return [np.broadcast_to(5 * layer, (2, 4, 4)), np.broadcast_to(layer, (2, 2, 2))]


class Level(Extractor):
    def __call__(self, picture: Picture) -> np.ndarray | None:
        level = picture.rgb.mean()
        return None if level == 0 else np.array([level, 100.0])


# Pixels


def test_means_are_of_frames_then_of_shots() -> None:
    score = FrameDifference("L1D")
    for shot, level in (("a", 51), ("a", 102), ("b", 255)):
        score.update(grey(0), frame(grey(level), shot=shot))
    assert score.by_shot() == pytest.approx({"a": 0.3, "b": 1.0})
    assert score.value() == pytest.approx(0.65)
    assert score.count() == 3


def test_ms_ssim_of_flat_pictures_has_only_the_luminance_of_the_coarsest_scale() -> None:
    x, y, c1 = 100 / 255, 151 / 255, 1e-4
    expected = ((2 * x * y + c1) / (x * x + y * y + c1)) ** 0.1333
    assert pixels.ms_ssim(grey(100, 176).rgb, grey(151, 176).rgb) == pytest.approx(expected)
    assert pixels.ms_ssim(grey(100, 175).rgb, grey(151, 175).rgb) is None


def test_ms_ssim_forgives_fine_noise_more_than_ssim_does() -> None:
    random = np.random.default_rng(1)
    ramp = np.add.outer(np.arange(192), np.arange(192))[..., None].repeat(3, 2) / 2
    a = ramp.astype(np.uint8)
    b = np.clip(ramp + random.normal(0, 15, a.shape), 0, 255).astype(np.uint8)
    many = pixels.ms_ssim(a, b)
    assert many is not None and pixels.ssim(a, b) < many < 1
    assert pixels.ms_ssim(a, a) == pytest.approx(1)


@pytest.mark.parametrize("noise", [2, 90])
def test_ssim_agrees_with_scikit_image(noise: int) -> None:
    random = np.random.default_rng(noise)
    ramp = np.add.outer(np.arange(75), np.arange(64))[..., None] + np.array([0, 40, 80])
    a = ramp.astype(np.uint8)
    b = np.clip(ramp + random.normal(0, noise, a.shape), 0, 255).astype(np.uint8)
    second = structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert isinstance(second, float)
    assert pixels.ssim(a, b) == pytest.approx(second, abs=1e-6)


def test_psnr_by_hand() -> None:
    assert pixels.psnr(grey(100).rgb, grey(151).rgb) == pytest.approx(20 * np.log10(5))
    assert pixels.psnr(grey(9).rgb, grey(9).rgb) == pytest.approx(90)


def test_outputs_are_compared_at_the_size_of_the_truth() -> None:
    truth = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    metric = FrameDifference("L1D")
    metric.update(Picture(truth.repeat(2, axis=0).repeat(2, axis=1)), frame(Picture(truth)))
    assert metric.value() == 0


# Networks' features


def test_the_lpips_formula_by_hand() -> None:
    a = np.array([[[3.0, 0.0]], [[4.0, 2.0]]])  # two channels, one row of two places
    b = np.array([[[1.0, 0.0]], [[0.0, -7.0]]])
    # Unit features (.6, .8) and (1, 0) differ by .16 + .64, (0, 1) and (0, -1) by 0 + 4; the mean over places is 2.4.
    assert layer_distance([a], [b]) == pytest.approx(2.4)
    assert layer_distance([a], [b], [np.array([1.0, 0.5])]) == pytest.approx((0.16 + 0.32 + 2) / 2)
    assert layer_distance([a, a], [b, a]) == pytest.approx(2.4)


def test_a_perceptual_distance_looks_once_at_every_picture() -> None:
    eye, truth = Brightness(), grey(255)
    first, second = PerceptualDistance("pdist-syn", eye), PerceptualDistance("pdist-syn", eye)
    output = grey(0)
    for score in (first, second):
        score.update(output, frame(truth))
    assert eye.asked == 2
    assert first.value() == second.value() == pytest.approx(4)  # (1, 0) against (0, 1), in two layers
    assert first.info.replaces == "LPIPS"
    assert PerceptualDistance("LPIPS", eye, [np.ones(2)]).info.replaces is None


def test_frechet_distance_of_normal_distributions_in_closed_form() -> None:
    """Samples with exactly these means and covariances: diagonal ones commute, so the square root is entry by entry."""
    random = np.random.default_rng(0)

    def exactly(mean: list[float], deviations: list[float]) -> np.ndarray:
        x = random.normal(size=(40, 3))
        x -= x.mean(axis=0)
        x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
        return x * deviations + mean

    a, b = exactly([0, 1, 2], [1, 2, 3]), exactly([0, 1, 6], [1, 5, 1])
    assert frechet(a, b) == pytest.approx(16 + 9 + 4)  # |μ₁ − μ₂|² + Σ (σ₁ − σ₂)²
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    assert frechet(a @ turn, b @ turn) == pytest.approx(29)


def test_frechet_distance_agrees_with_the_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    random = np.random.default_rng(5)
    a, b = random.normal(size=(60, 8)) @ random.normal(size=(8, 8)), random.normal(size=(50, 8)) + 0.3
    s, t = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert frechet(a, b) == pytest.approx(expected)
    assert frechet(a[:3], b[:3]) > 0  # fewer pictures than features


def test_the_floor_of_a_set_is_its_one_half_against_the_other() -> None:
    features = np.array([[0.0], [2.0], [2.0], [4.0]])  # halves {0, 2} and {2, 4}: two apart, equally spread
    assert split_floor(features) == pytest.approx(4)
    assert split_floor(features[:3]) is None


def test_identity_metrics_by_hand() -> None:
    similarity, distance = (
        IdentitySimilarity("CSIM", Level()),
        IdentityDistance("syn", Level(), True),
    )
    for output in (grey(100), grey(0)):  # the second has no face
        similarity.update(output, frame(grey(40), source=grey(100)))
        distance.update(output, frame(grey(40)))
    assert similarity.value() == pytest.approx(1) and similarity.count() == 1
    assert distance.value() == pytest.approx(60**2) and distance.count() == 1
    assert similarity.info.replaces is None and IdentitySimilarity("idsim-syn", Level()).info.replaces == "CSIM"


def test_the_equal_error_rate_by_hand() -> None:
    assert equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == 0
    assert equal_error_rate(np.array([0.1, 0.9, 0.8, 0.7]), np.array([0.0, 0.2, 0.2, 0.75])) == pytest.approx(0.25)
    assert equal_error_rate(np.array([0.5]), np.array([0.5])) == pytest.approx(0.5)


def test_an_embedding_says_how_well_it_tells_people_apart() -> None:
    score = IdentitySimilarity("idsim-syn", Level())
    for person, level in (("a", 10), ("b", 200)):
        score.update(grey(100), frame(grey(level), source=grey(level + 1), identity=person))
    assert score.note() == "idsim-syn: equal error rate 0.0% when telling 2 people apart"


# Landmarks


class Marks(Landmarker):
    """A landmarker whose points all lie at (level, level)."""

    def __init__(self, name: str = "builtin", suffix: str = "mp") -> None:
        self.name, self.suffix = name, suffix

    def __call__(self, picture: Picture) -> Observation | None:
        level = picture.rgb.mean()
        return None if level == 0 else Observation(np.full((68, 2), level), None, None, 1.0)


def test_akd_is_in_pixels_of_256() -> None:
    score = KeypointDistance(Marks(), exact=False)
    score.update(grey(10, 128), frame(grey(13, 128)))
    assert score.value() == pytest.approx(6)
    score.update(grey(0, 128), frame(grey(13, 128)))  # no face: missing, not zero
    assert score.count() == 1


def test_akd_takes_the_exact_and_visible_points_where_they_are_known() -> None:
    true, visible = np.full((68, 2), 20.0), np.zeros(68, bool)
    true[0], visible[0] = (11, 14), True
    score = KeypointDistance(Marks(), exact=True)
    score.update(grey(10, 256), frame(grey(99, 256), landmarks68=true, visible68=visible))
    assert score.value() == pytest.approx((1 + 4) / 2)


def test_only_fan_on_both_sides_is_called_akd() -> None:
    named = {
        (name, exact): KeypointDistance(Marks(name, "fan"), exact)
        for name, exact in (("face-alignment", False), ("face-alignment", True))
    }
    assert [(score.info.name, score.info.replaces) for score in named.values()] == [("AKD", None), ("akd-fan", "AKD")]
    assert KeypointDistance(Marks(), False).info.name == "akd-mp"


@pytest.mark.parametrize("suffix", ["mp", "syn"])
def test_what_is_fitted_to_landmarks_says_whose(suffix: str) -> None:
    fitting = Fitting(Marks(suffix=suffix))
    metrics = [kind(fitting) for kind in (ShapeDistance, ExpressionDistance, PoseDistance, RotationDistance)]
    named = {metric.info.name.removesuffix(f"-{suffix}"): metric.info.replaces for metric in metrics}
    assert named == {"shape-id": "CSIM", "aed_exp": "AED (expression)", "apd": "APD", "apd_turn": "APD"}


def test_mkr_counts_faces_that_the_truth_has() -> None:
    score = MissingKeypoints(Marks())
    for output, truth in ((0, 50), (50, 50), (50, 50), (50, 50), (0, 0)):
        score.update(grey(output), frame(grey(truth)))
    assert score.value() == pytest.approx(25) and score.count() == 4


# Angles and bins


@pytest.mark.parametrize("turn", [{"yaw": 30.0}, {"yaw": -50.0}, {"pitch": 20.0}, {"pitch": -15.0}, {"roll": 25.0}])
def test_angles_of_a_rotation_are_those_of_the_points_it_turns(turn: dict[str, float]) -> None:
    points = np.random.default_rng(3).normal(size=(468, 3))
    points[[33, 133, 362, 263]] = (-2, 1, 0), (-0.8, 1, 0), (0.8, 1, 0), (2, 1, 0)
    points[[10, 152]] = (0, 4, 0), (0, -4, 0)
    in_image = (points @ turned(**turn).T) * (1, -1, -1)
    expected = [turn.get(axis, 0.0) for axis in ANGLES]
    assert angles(turned(**turn)) == pytest.approx(expected, abs=1e-6)
    assert dense_signals.pose(in_image) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("angle", "bin_"), [(-60, 0), (-58.01, 0), (-58, 1), (0, 30), (59.9, 59), (60, 59), (60.1, None), (-61, None)]
)
def test_bins_are_two_degrees_wide(angle: float, bin_: int | None) -> None:
    assert bin_of(angle) == bin_


def test_bins_compare_mean_features_of_one_identity() -> None:
    eye = Brightness()
    score = BinDistance("bin-pdist-syn", "yaw", eye, fitting=None)  # type: ignore[arg-type]

    def update(output: int, truth: int | None, yaw: float, identity: str = "a") -> None:
        shown = None if truth is None else grey(truth)
        score.update(grey(output), frame(shown, identity=identity, rotation=turned(yaw)))

    # One bin: outputs black and white average to the diagonal, as do two middle greys; far apart frame by frame.
    for output, yaw in ((0, 10.1), (255, 11.9)):
        update(output, None, yaw)  # no truth: left out
        update(output, 255 - output, yaw)
    assert score.value() == pytest.approx(0, abs=1e-6)
    update(0, 255, 20)  # a second bin, 4 apart
    update(0, 255, 70)  # beyond the bins
    update(0, 255, 0, "b")  # another identity: 4
    assert score.value() == pytest.approx((np.mean([0, 4]) + 4) / 2, abs=1e-6)
    assert score.count() == 4
    assert score.note() == "bin-pdist-syn yaw: 3 bins of 2 people"


def test_a_look_at_the_value_leaves_bins_whole_and_torn_ones_are_refused() -> None:
    """As when a long run writes down what it has: black against white would be 4, their averages are alike."""
    score = BinDistance("bin-pdist-syn", "yaw", Brightness(), fitting=None)  # type: ignore[arg-type]
    for output in (0, 255):
        score.update(grey(output), frame(grey(255 - output), rotation=turned(10.5)))
        looked = score.value()
        assert looked == pytest.approx(4 if output == 0 else 0, abs=1e-6)
    score.update(grey(0), frame(grey(255), identity="b", rotation=turned(10.5)))
    with pytest.raises(ValueError, match="of a do not come together"):
        score.update(grey(0), frame(grey(255), rotation=turned(10.5)))


# Time


def test_twarp_follows_the_flow() -> None:
    random = np.random.default_rng(2)
    first = random.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    second = np.roll(first, 3, axis=1)
    flow = np.zeros((40, 40, 2), np.float32)
    flow[..., 0] = -3
    visible = np.zeros((40, 40), bool)
    visible[:, 3:] = True
    moments = [
        frame(Picture(first), index=0),
        frame(Picture(second), index=1, flow=flow, flow_visible=visible),
    ]
    follows, stands = TemporalWarp(exact=True), TemporalWarp(exact=True)
    for output, one in zip((first, second), moments):
        follows.update(Picture(output), one)
        stands.update(Picture(first), one)
    assert follows.value() == pytest.approx(0, abs=1e-6)
    standing = np.abs(first[:, 3:].astype(float) - np.roll(first, 3, axis=1)[:, 3:]).mean() / 255
    assert stands.value() == pytest.approx(standing, abs=1e-6)
    gap = TemporalWarp(exact=True)
    for one in (moments[0], frame(Picture(second), index=2, flow=flow, flow_visible=visible)):
        gap.update(Picture(first), one)
    assert gap.value() is None


def test_twarp_estimates_the_flow_where_it_is_not_known() -> None:
    y, x = np.mgrid[:96, :96]
    blobs = (127 + 60 * np.sin(x / 5) + 60 * np.cos(y / 6))[..., None].repeat(3, 2)
    first, second = blobs.astype(np.uint8), np.roll(blobs, 2, axis=0).astype(np.uint8)
    follows, stands = TemporalWarp(exact=False), TemporalWarp(exact=False)
    assert follows.info.name == "twarp-dis" and follows.info.replaces == "twarp"
    for index, rgb in enumerate((first, second)):
        one = frame(Picture(rgb), index=index)
        follows.update(Picture(rgb), one)
        stands.update(Picture(first), one)
    moving, still = follows.value(), stands.value()
    assert moving is not None and still is not None
    assert moving < 0.25 * still


def test_jitter_is_the_acceleration_that_the_driver_does_not_have() -> None:
    """The points span 30 by 40 pixels, so their diagonal is 50."""

    class Moved(Landmarker):
        def __init__(self) -> None:
            self.name, self.suffix = "builtin", "mp"

        def __call__(self, picture: Picture) -> Observation | None:
            x = float(picture.rgb[0, 0, 0])
            points = np.resize(np.array([[0.0, 0], [30, 40]]), (68, 2)) + [x, 0]
            return None if x == 255 else Observation(points, None, None, 1.0)

    def jitter(outputs: list[int], drivers: list[int], indices: list[int] | None = None) -> float | None:
        metric = Jitter(Moved())
        for index, output, driver in zip(indices or range(len(outputs)), outputs, drivers):
            metric.update(grey(output), frame(index=index, driver=grey(driver)))
        return metric.value()

    accelerating, still = [0, 1, 4, 9], [5, 5, 5, 5]
    assert jitter(accelerating, accelerating) == pytest.approx(0)
    assert jitter(still, accelerating) == pytest.approx(2 / 50 * 100)
    assert jitter([0, 1, 0, 1], still) == pytest.approx(2 / 50 * 100)
    assert jitter(still, accelerating, [0, 1, 10, 11]) is None  # not across a gap
    assert jitter([5, 255, 5], [5, 5, 5]) is None  # nor across a frame without a face


# Signals and regions of a face


def test_signals_hold_while_the_picture_is_scaled_and_turned() -> None:
    points = observed([sample_frames()[0]])[0].landmarks68
    c, s = np.cos(0.4), np.sin(0.4)
    assert expression_signals(3 * points @ np.array([[c, -s], [s, c]]) + 7) == pytest.approx(expression_signals(points))
    opened = points.copy()
    opened[65:68, 1] += 10  # the lower lip's inner edge
    assert expression_signals(opened)[0] > expression_signals(points)[0]
    assert expression_signals(opened)[1:] == pytest.approx(expression_signals(points)[1:])


def test_correlations_are_each_signals_own() -> None:
    t = np.linspace(0, 6, 30)
    driver = np.stack([np.sin(t), np.cos(t), np.sin(t), np.zeros(30)], axis=1)
    output = np.stack([2 * np.sin(t) + 5, np.zeros(30), -np.sin(t), np.sin(t)], axis=1)
    np.testing.assert_allclose(correlations(np.stack([output, driver], axis=1)), [1, 0, -1, 0], atol=1e-9)


class Reader(Landmarker):
    """Sees mouth and eyes opened as far as a picture's first pixels say, each landmarker by a row of its own."""

    def __init__(self, row: int) -> None:
        self.name, self.suffix, self._row = ("judge", "witness")[row], "syn", row

    def __call__(self, picture: Picture) -> Observation:
        points = _points().copy()
        mouth, eyes = picture.rgb[self._row, :2, 0] / 10
        points[[61, 62, 63], 1] -= mouth
        points[[37, 38, 43, 44], 1] -= eyes
        return Observation(points, None, None, 1.0)


@functools.cache
def _points() -> np.ndarray:
    return observed([sample_frames()[0]])[0].landmarks68


def test_a_signal_counts_where_two_landmarkers_see_it_alike_in_the_driver() -> None:
    """The mouth moves for both; of the eyes the judge sees noise, and to follow that or not is all the same."""
    draws = np.random.default_rng(3)
    mouth, noise = (40 + 30 * np.sin(np.arange(40) / 3)), draws.uniform(10, 90, (3, 40))

    def picture(judge: tuple[float, float], witness: tuple[float, float]) -> Picture:
        rgb = np.zeros((2, 2, 3), np.uint8)
        rgb[0, :, 0], rgb[1, :, 0] = judge, witness
        return Picture(rgb)

    score = Correlation("exp", Fitting(Reader(0)), Fitting(Reader(1)))
    for k in range(40):
        driver = picture((mouth[k], noise[0, k]), (mouth[k], noise[1, k]))
        output = picture((mouth[k], 100 - noise[0, k]), (0, 0))
        score.update(output, ShotFrame("shot", "who", k, driver, driver))
    assert score.value() == pytest.approx(1, abs=0.01)
    assert score.note() == "corr_exp-syn: judge and witness agree on 1 of 4 signals of 1 shots"
    assert score.count() == 40
    asleep = Correlation("exp", Fitting(Reader(0)), Fitting(Reader(1)))
    for k in range(40):
        driver = picture((0, noise[0, k]), (0, noise[1, k]))
        asleep.update(driver, ShotFrame("shot", "who", k, driver, driver))
    assert asleep.value() is None and asleep.by_shot() == {} and asleep.count() == 0


def test_the_far_cheek_is_on_the_side_that_is_turned_away() -> None:
    points = observed([sample_frames()[0]])[0].landmarks68
    shape = sample_frames()[0].shape
    nose = points[30, 0]
    for shift, left in ((-0.2, True), (0.2, False)):
        turned = points.copy()
        turned[27:36, 0] += shift * (points[16, 0] - points[0, 0])  # the nose goes where the face turns
        place = region_box("far cheek", turned, shape)
        assert place is not None and ((place.left + place.right) / 2 < nose) == left
    mouth = region_box("mouth", points, shape)
    assert mouth is not None
    assert mouth.left < points[48, 0] < points[54, 0] < mouth.right and mouth.top < points[62, 1] < mouth.bottom
    assert region_box("mouth", points + 10_000, shape) is None
