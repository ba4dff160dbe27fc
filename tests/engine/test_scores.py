"""The metrics of comparisons against values computed by hand or in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation import bootstrap, pixels, signals
from engine.evaluation.features import equal_error_rate, frechet, layer_distance, split_floor
from engine.evaluation.landmarkers import Fitting, Landmarker
from engine.evaluation.motion_scores import BinDistance, TemporalWarp, bin_of
from engine.evaluation.pictures import Eye, Moment, Picture
from engine.evaluation.scores import (
    FitScore,
    IdentityDistance,
    IdentitySimilarity,
    KeypointDistance,
    MissingKeypoints,
    PerceptualDistance,
    PixelScore,
    angles,
)
from engine.face.maths import rotation_from_vector
from engine.tracking.detector import Observation


def grey(level: int, size: int = 32) -> Picture:
    return Picture(np.full((size, size, 3), level, np.uint8))


def moment(truth: Picture | None = None, source: Picture | None = None, **fields) -> Moment:
    base = {"shot": "a", "identity": "a", "index": 0, "driver": grey(0)}
    return Moment(**{**base, "source": source or grey(0), "truth": truth, **fields})


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """A head's rotation in degrees, with the signs of :mod:`engine.evaluation.signals`, one axis at a time."""
    return rotation_from_vector(np.radians([-pitch, yaw, -roll]))


class Brightness(Eye):
    """Two layers of a toy network: the mean level as an angle between two channels, at two resolutions."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, picture: Picture) -> list[np.ndarray]:
        self.asked += 1
        angle = picture.rgb.mean() / 255 * np.pi / 2
        layer = np.array([np.cos(angle), np.sin(angle)], np.float32)[:, None, None]
        return [np.broadcast_to(5 * layer, (2, 4, 4)), np.broadcast_to(layer, (2, 2, 2))]


class Level(Eye):
    def __call__(self, picture: Picture) -> np.ndarray | None:
        level = picture.rgb.mean()
        return None if level == 0 else np.array([level, 100.0])


# Pixels


def test_means_are_of_frames_then_of_shots() -> None:
    score = PixelScore("L1D")
    for shot, level in (("a", 51), ("a", 102), ("b", 255)):
        score.update(grey(0), moment(grey(level), shot=shot))
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
        score.update(output, moment(truth))
    assert eye.asked == 2
    assert first.value() == second.value() == pytest.approx(4)  # (1, 0) against (0, 1), in two layers
    assert first.stand_in_for == "LPIPS" and first.needs_weights
    assert PerceptualDistance("LPIPS", eye, [np.ones(2)]).stand_in_for is None


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
        similarity.update(output, moment(grey(40), source=grey(100)))
        distance.update(output, moment(grey(40)))
    assert similarity.value() == pytest.approx(1) and similarity.count() == 1
    assert distance.value() == pytest.approx(60**2) and distance.count() == 1
    assert similarity.stand_in_for is None and IdentitySimilarity("idsim-syn", Level()).stand_in_for == "CSIM"


def test_the_equal_error_rate_by_hand() -> None:
    assert equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == 0
    assert equal_error_rate(np.array([0.1, 0.9, 0.8, 0.7]), np.array([0.0, 0.2, 0.2, 0.75])) == pytest.approx(0.25)
    assert equal_error_rate(np.array([0.5]), np.array([0.5])) == pytest.approx(0.5)


def test_an_embedding_says_how_well_it_tells_people_apart() -> None:
    score = IdentitySimilarity("idsim-syn", Level())
    for person, level in (("a", 10), ("b", 200)):
        score.update(grey(100), moment(grey(level), source=grey(level + 1), identity=person))
    assert score.note() == "idsim-syn takes one of 2 people for another at an equal error rate of 0.0%"


# Landmarks


class Marks(Landmarker):
    """A landmarker whose points all lie at (level, level)."""

    def __init__(self, name: str = "mediapipe", suffix: str = "mp") -> None:
        self.name, self.suffix = name, suffix

    def __call__(self, picture: Picture) -> Observation | None:
        level = picture.rgb.mean()
        return None if level == 0 else Observation(np.full((68, 2), level), None, None, 1.0)


def test_akd_is_in_pixels_of_256() -> None:
    score = KeypointDistance(Marks(), exact=False)
    score.update(grey(10, 128), moment(grey(13, 128)))
    assert score.value() == pytest.approx(6)
    score.update(grey(0, 128), moment(grey(13, 128)))  # no face: missing, not zero
    assert score.count() == 1


def test_akd_takes_the_exact_and_visible_points_where_they_are_known() -> None:
    true, visible = np.full((68, 2), 20.0), np.zeros(68, bool)
    true[0], visible[0] = (11, 14), True
    score = KeypointDistance(Marks(), exact=True)
    score.update(grey(10, 256), moment(grey(99, 256), landmarks68=true, visible68=visible))
    assert score.value() == pytest.approx((1 + 4) / 2)


def test_only_fan_on_both_sides_is_called_akd() -> None:
    named = {
        (name, exact): KeypointDistance(Marks(name, "fan"), exact)
        for name, exact in (("face-alignment", False), ("face-alignment", True))
    }
    assert [(score.name, score.stand_in_for) for score in named.values()] == [("AKD", None), ("akd-fan", "AKD")]
    assert KeypointDistance(Marks(), False).name == "akd-mp"


@pytest.mark.parametrize("suffix", ["mp", "syn"])
def test_what_is_fitted_to_landmarks_says_whose(suffix: str) -> None:
    fitting = Fitting(Marks(suffix=suffix))
    scores = [FitScore(kind, fitting) for kind in ("shape-id", "aed_exp", "apd", "apd_turn")]
    named = {score.name.removesuffix(f"-{suffix}"): score.stand_in_for for score in scores}
    assert named == {"shape-id": "CSIM", "aed_exp": "AED (expression)", "apd": "APD", "apd_turn": "APD"}


def test_mkr_counts_faces_that_the_truth_has() -> None:
    score = MissingKeypoints(Marks())
    for output, truth in ((0, 50), (50, 50), (50, 50), (50, 50), (0, 0)):
        score.update(grey(output), moment(grey(truth)))
    assert score.value() == pytest.approx(25) and score.count() == 4


# Angles and bins


@pytest.mark.parametrize("turn", [{"yaw": 30.0}, {"yaw": -50.0}, {"pitch": 20.0}, {"pitch": -15.0}, {"roll": 25.0}])
def test_angles_of_a_rotation_are_those_of_the_points_it_turns(turn: dict[str, float]) -> None:
    points = np.random.default_rng(3).normal(size=(468, 3))
    points[[33, 133, 362, 263]] = (-2, 1, 0), (-0.8, 1, 0), (0.8, 1, 0), (2, 1, 0)
    points[[10, 152]] = (0, 4, 0), (0, -4, 0)
    in_image = (points @ turned(**turn).T) * (1, -1, -1)
    expected = [turn.get(axis, 0.0) for axis in signals.ANGLES]
    assert angles(turned(**turn)) == pytest.approx(expected, abs=1e-6)
    assert signals.pose(in_image) == pytest.approx(expected, abs=1e-6)


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
        score.update(grey(output), moment(shown, identity=identity, rotation=turned(yaw)))

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
    assert score.note() == "bin-pdist-syn yaw: 3 bins of 2 identities"


def test_a_look_at_the_value_leaves_bins_whole_and_torn_ones_are_refused() -> None:
    """As when a long run writes down what it has: black against white would be 4, their averages are alike."""
    score = BinDistance("bin-pdist-syn", "yaw", Brightness(), fitting=None)  # type: ignore[arg-type]
    for output in (0, 255):
        score.update(grey(output), moment(grey(255 - output), rotation=turned(10.5)))
        looked = score.value()
        assert looked == pytest.approx(4 if output == 0 else 0, abs=1e-6)
    score.update(grey(0), moment(grey(255), identity="b", rotation=turned(10.5)))
    with pytest.raises(ValueError, match="of a do not come together"):
        score.update(grey(0), moment(grey(255), rotation=turned(10.5)))


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
        moment(Picture(first), index=0),
        moment(Picture(second), index=1, flow=flow, flow_visible=visible),
    ]
    follows, stands = TemporalWarp(exact=True), TemporalWarp(exact=True)
    for output, one in zip((first, second), moments):
        follows.update(Picture(output), one)
        stands.update(Picture(first), one)
    assert follows.value() == pytest.approx(0, abs=1e-6)
    standing = np.abs(first[:, 3:].astype(float) - np.roll(first, 3, axis=1)[:, 3:]).mean() / 255
    assert stands.value() == pytest.approx(standing, abs=1e-6)
    gap = TemporalWarp(exact=True)
    for one in (moments[0], moment(Picture(second), index=2, flow=flow, flow_visible=visible)):
        gap.update(Picture(first), one)
    assert gap.value() is None


def test_twarp_estimates_the_flow_where_it_is_not_known() -> None:
    y, x = np.mgrid[:96, :96]
    blobs = (127 + 60 * np.sin(x / 5) + 60 * np.cos(y / 6))[..., None].repeat(3, 2)
    first, second = blobs.astype(np.uint8), np.roll(blobs, 2, axis=0).astype(np.uint8)
    follows, stands = TemporalWarp(exact=False), TemporalWarp(exact=False)
    assert follows.name == "twarp-dis" and follows.stand_in_for == "twarp"
    for index, rgb in enumerate((first, second)):
        one = moment(Picture(rgb), index=index)
        follows.update(Picture(rgb), one)
        stands.update(Picture(first), one)
    moving, still = follows.value(), stands.value()
    assert moving is not None and still is not None
    assert moving < 0.25 * still


# Intervals


def people(count: int) -> list[str]:
    return [f"person {k}" for k in range(count)]


def test_intervals_have_the_width_of_the_normal_ones_and_repeat() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    found = bootstrap.interval(values, people(400))
    assert found is not None and found == bootstrap.interval(values, people(400))
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_shots_of_one_person_count_as_one() -> None:
    """Four copies of every value, in any order, tell no more than one."""
    values = np.random.default_rng(2).normal(10, 2, 100)
    once = bootstrap.interval(values, people(100))
    assert once is not None
    again = bootstrap.interval(np.tile(values, 4), people(100) * 4)
    assert again == pytest.approx(once)
    apart = bootstrap.interval(np.tile(values, 4), people(400))
    assert apart is not None and apart[1] - apart[0] < 0.6 * (once[1] - once[0])


def test_intervals_are_paired() -> None:
    """Two systems that differ by a constant differ by it in every draw, however much the shots differ."""
    hard = np.random.default_rng(1).normal(0, 100, 30)
    mean, found = bootstrap.difference(hard + 0.5, hard, people(30)) or (None, None)
    assert mean == pytest.approx(0.5) and found == pytest.approx((0.5, 0.5))


def test_few_people_or_missing_values_have_no_interval() -> None:
    assert bootstrap.interval(np.arange(4.0), people(4)) is None
    assert bootstrap.interval(np.arange(40.0), people(4) * 10) is None
    assert bootstrap.interval(np.array([1.0, 2, 3, 4, np.nan]), people(5)) is None
    assert bootstrap.interval(np.array([3.0, 3, 3, 3, 3, np.nan]), people(6)) == (3, 3)
    assert bootstrap.difference(np.array([np.nan, 1.0]), np.array([1.0, np.nan]), people(2)) is None
