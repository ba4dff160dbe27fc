"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from engine.training import adversarial, losses
from engine.training.watch import Victory, collapsed


def image(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def test_l1_averages_over_what_the_mask_shows():
    a, b = image((1, 2), (3, 4)), image((1, 0), (0, 0))
    assert losses.l1(a, b) == pytest.approx((0 + 2 + 3 + 4) / 4)
    assert losses.l1(a, b, image((0, 1), (1, 0))) == pytest.approx((2 + 3) / 2)
    assert losses.l1(a.expand(1, 3, 2, 2), b, image((0, 1), (1, 0))) == pytest.approx(2.5)
    assert losses.l1(a, b, image((0, 0), (0, 0))) == 0


def test_perceptual_sums_layers_and_scales():
    def features(x):
        return [x, 3 * x]

    a, b = image((1, 3), (5, 7)), image((0, 0), (0, 0))
    # full size: mean 4, with both layers 4 + 12; half size: one pixel of 4, again 16
    assert losses.perceptual(features, a, b, scales=1) == pytest.approx(16)
    assert losses.perceptual(features, a, b, scales=2) == pytest.approx(32)
    truth = b.clone().requires_grad_()
    made = a.clone().requires_grad_()
    losses.perceptual(features, made, truth, scales=1).backward()
    assert truth.grad is None and made.grad is not None and made.grad.eq(1).all()


def test_style_compares_gram_matrices():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels of two pixels
    assert losses.gram(maps)[0].tolist() == [[5 / 4, 11 / 4], [11 / 4, 25 / 4]]
    shuffled = maps.flip(3)
    assert losses.style(lambda x: [x], maps, shuffled) == 0, "where things are does not matter"
    assert losses.style(lambda x: [x], maps, 0 * maps) == pytest.approx((5 + 11 + 11 + 25) / 16)


def test_least_squares_and_hinge():
    real, fake = torch.tensor([1.0, 0.0]), torch.tensor([0.5, -2.0])
    assert adversarial.lsgan_discriminator(real, fake) == pytest.approx((0 + 1) / 2 + (0.25 + 4) / 2)
    assert adversarial.lsgan_generator(fake) == pytest.approx((0.25 + 9) / 2)
    assert adversarial.hinge_discriminator(real, fake) == pytest.approx((0 + 1) / 2 + (1.5 + 0) / 2)
    assert adversarial.hinge_generator(fake) == pytest.approx(0.75)
    both = [fake, torch.tensor([[0.0]])]
    assert adversarial.hinge_generator(both) == pytest.approx(0.375), "scales count the same, whatever their size"


def test_feature_matching_moves_only_the_fake():
    real = [torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([4.0])]
    fake = [torch.tensor([0.0, 0.0], requires_grad=True), torch.tensor([3.0])]
    loss = adversarial.feature_matching(real, fake)
    assert loss.item() == pytest.approx((1.5 + 1) / 2)
    loss.backward()
    assert real[0].grad is None and fake[0].grad is not None


def test_identity_is_one_less_the_cosine():
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    b = torch.tensor([[5.0, 0.0], [1.0, 1.0]])
    assert losses.identity(a, b).item() == pytest.approx((0 + 1 - math.sqrt(0.5)) / 2)


def test_unlikeness_is_a_share_of_what_parts_people():
    people = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert losses.unlikeness(people, people) == 0
    assert losses.unlikeness(people + torch.tensor([1.0, 0.0]), people).item() == pytest.approx(1 / 4)
    assert losses.unlikeness(people[:1] + 1, people[:1]) == 0, "one person alone has nobody to differ from"
    assert losses.unlikeness(people[[1, 1]] + 0.001, people[[1, 1]]) < 1, "nor has the same one twice"


def test_flow_counts_where_it_is_known():
    truth = torch.zeros(1, 2, 1, 2)
    predicted = torch.tensor([[[[1.0, 9.0]], [[3.0, 9.0]]]])
    assert losses.flow(predicted, truth, image((1, 0))) == pytest.approx(2)


def test_correspondence_is_nought_for_the_true_permutation():
    source = torch.arange(12.0).reshape(1, 3, 2, 2)
    order = torch.tensor([2, 0, 3, 1])
    driving = source.flatten(2)[:, :, order].unflatten(2, (2, 2))
    attention = functional.one_hot(order, 4).float()[None]
    seen = torch.ones(1, 1, 2, 2)
    assert losses.correspondence(attention, source, driving, seen) == 0
    # all places look at place 0, which holds 0, 4, 8: the others are 1, 2 and 3 away in every channel
    first = torch.zeros(1, 4, 4)
    first[:, :, 0] = 1
    assert losses.correspondence(first, source, source, seen) == pytest.approx(6 / 4)
    assert losses.correspondence(first, source, source, image((1, 0), (0, 1))) == pytest.approx(3 / 2)
    large = [functional.interpolate(m, scale_factor=4.0) for m in (source, source, seen)]
    assert losses.correspondence(first, *large) == pytest.approx(6 / 4)


def test_landmarks_by_plain_distance_and_by_wing():
    predicted, truth = torch.tensor([[[1.0, 0.0], [0.0, 5.0]]]), torch.zeros(1, 2, 2)
    assert losses.landmark(predicted, truth) == pytest.approx((0.5 + 2.5) / 2)
    assert losses.landmark(predicted, truth, torch.tensor([[1.0, 0.0]])) == pytest.approx(0.5)
    assert losses.landmark(predicted, truth, scale=torch.tensor([2.0])) == pytest.approx(0.75)
    log = 0.1 * math.log(1 + 0.05 / 0.02)
    near = losses.wing(torch.full((1, 1, 2), 0.05), torch.zeros(1, 1, 2))
    assert near.item() == pytest.approx(log, rel=1e-5)
    far = losses.wing(torch.full((1, 1, 2), 3.0), torch.zeros(1, 1, 2))
    assert far.item() == pytest.approx(3 - (0.1 - 0.1 * math.log(1 + 0.1 / 0.02)), rel=1e-5)
    edge = losses.wing(torch.tensor([[[0.1 - 1e-6, 0.1 + 1e-6]]]), torch.zeros(1, 1, 2))
    assert edge.item() == pytest.approx(0.1 * math.log(6), rel=1e-4), "both branches meet"


def test_laplacian_weighs_bands():
    constant, zero = torch.full((1, 1, 8, 8), 2.0), torch.zeros(1, 1, 8, 8)
    assert losses.laplacian_l1(constant, zero, levels=3) == pytest.approx(4 * 2), "only the last level, weight 2²"
    checks = torch.ones(8, 8)
    checks[::2, 1::2] = checks[1::2, ::2] = -1
    assert losses.laplacian_l1(checks[None, None], zero, levels=3) == pytest.approx(1), "only the first level"
    left = torch.zeros(1, 1, 8, 8)
    left[..., :4] = 1
    assert losses.laplacian_l1(constant, zero, 2, left) == pytest.approx(4)


def test_gradient_sees_edges_and_not_offsets():
    a = image((0, 1, 1), (0, 1, 1))
    assert losses.gradient_l1(a + 5, a) == 0
    assert losses.gradient_l1(a, 0 * a) == pytest.approx((0.5 + 0) / 2)
    assert losses.gradient_l1(a, 0 * a, image((0, 1, 1), (0, 1, 1))) == 0


def test_collapse_is_seen_and_variety_is_not_mistaken_for_it():
    random = torch.Generator().manual_seed(1)
    varied = torch.rand(4, 3, 8, 8, generator=random)
    assert collapsed({"image": varied}) == []
    alike = varied[:1].repeat(4, 1, 1, 1)
    assert len(collapsed({"image": alike, "other": varied})) == 1 and "image" in collapsed({"image": alike})[0]
    assert collapsed({"image": torch.zeros(4, 3)}), "black is a collapse"
    assert collapsed({"one": alike[:1]}) == [], "one sample has nothing to be like"


def test_victory_is_called_after_patience():
    watch = Victory()
    lines = [watch({"generator": 1.0, "discriminator": total}) for total in [1.0] * 20 + [0.01] * 10]
    assert not any(lines[:-1]) and len(lines[-1]) == 1
    assert not any(Victory()({"generator": 0.0}) for _ in range(50))
