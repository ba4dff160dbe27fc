"""The generator of `identity_matched` and what it is taught with: every part does what it is for, and it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import EngineError
from engine.systems.identity_matched.network import geometry
from engine.systems.identity_matched.network.blocks import GeometryAwareSkip
from engine.systems.identity_matched.network.generator import CHANNELS, Config, Generator, composite
from engine.training import adversarial, export
from engine.training.batch import Batch, collate
from engine.training.patch_discriminator import PatchDiscriminator
from engine.training.recipe import Stage
from engine.training.studio.stage.scene import Parsing
from engine.training.tasks import create
from engine.training.tasks.identity_matched import IdentityMatched, _inputs, _mirrored, _own, _regions
from engine.training.warped import Warped
from tests.training.heads import PlainHeads

SIZE = 64
STAGE = Stage(SIZE, 1, 4, 1e-3)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"correspondence": "analytic"},
    {"knows_warp": False},
    {"knows_warp": False, "correspondence": "analytic"},
    {"gated_skip": False},
]


@pytest.fixture(scope="module")
def batch() -> Batch:
    heads = Warped(PlainHeads(people=4))
    return collate([heads.pair(number, SIZE) for number in range(4)], IdentityMatched.fields)


def test_mouths_and_eyes_are_where_the_data_or_the_mesh_say(batch: Batch) -> None:
    part, parsing = batch["inputs_parts"][:, None], batch["driving_parsing"][:, None]
    unparsed = {name: tensor for name, tensor in batch.items() if name != "driving_parsing"}
    mouth, eyes = _regions(unparsed)
    assert torch.equal(mouth, (part == 3).float()) and torch.equal(eyes, (part == 2).float()) and eyes.any()
    mouth, eyes = _regions(
        {**batch, "driving_parsing": torch.where(parsing == Parsing.SKIN, Parsing.TEETH, parsing)[:, 0]}
    )
    assert torch.equal(mouth, ((part == 3) | (parsing == Parsing.SKIN)).float())
    assert torch.equal(eyes, ((part == 2) | (parsing == Parsing.EYE)).float())


def task(**options: Any) -> IdentityMatched:
    torch.manual_seed(1)
    made = create("identity_matched", options)
    assert isinstance(made, IdentityMatched)
    return made


def awake(network: nn.Module) -> None:
    """Give layers that begin silent something to say."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_begins_at_the_moved_picture(variant: dict[str, Any], batch: Batch) -> None:
    inputs = _inputs(batch)
    net = Generator(Config(**variant))
    with torch.no_grad():
        answer = net(inputs)
    base = inputs["warped"] if net.config.knows_warp else inputs["source"]
    assert torch.allclose(composite(base, answer), answer.base, atol=1e-5)
    assert float(answer.mask.max()) < 0.2
    if net.config.knows_warp:
        assert torch.equal(answer.base, inputs["warped"]) and not answer.offset.any()


def test_it_answers_at_sizes_it_was_not_built_for() -> None:
    net = Generator(Config())
    awake(net)
    for size in (64, 96):
        inputs = {name: torch.rand(2, channels, size, size) for name, channels in CHANNELS.items()}
        with torch.no_grad():
            answer = net(inputs)
        assert answer.offset.shape == (2, 2, size, size) and float(answer.offset.abs().max()) <= net.config.reach
        assert answer.mask.shape == (2, 1, size, size) and answer.generated.shape == (2, 3, size, size)
        assert float(answer.generated.abs().max()) <= 1


def test_the_sizes_are_what_they_are_meant_to_be() -> None:
    count = {size: sum(p.numel() for p in Generator(Config(size)).parameters()) for size in ("fast", "paper")}
    assert count["fast"] < 1.3e6 and 8e6 < count["paper"] < 14e6


def test_attention_finds_the_nearest_surface_before_anything_is_learned() -> None:
    """A sheet of surface moves by three cells to the right and one up; the attention looks where it came from, and
    around it where the surroundings have stayed."""
    stride, cells = 8, 16
    size = stride * cells
    ramp = torch.linspace(0.1, 0.9, 8 * stride)
    sheet = torch.stack([*torch.meshgrid(ramp, ramp, indexing="xy"), torch.full((64, 64), 0.5)])
    source, target = torch.zeros(1, 3, size, size), torch.zeros(1, 3, size, size)
    source[0, :, 32:96, 32:96] = sheet
    target[0, :, 24:88, 56:120] = sheet
    encode = geometry.GeometryEncoder(16, 8, stride)
    with torch.no_grad():
        features = [encode(geometry.with_mask(pncc)) for pncc in (target, source)]
        attention = geometry.attention(features[0], features[1], 0.01)
        match = geometry.match_by_attention(attention, torch.rand(1, 5, cells, cells), stride)
    assert torch.allclose(attention.sum(2), torch.ones(1, cells * cells), atol=1e-5)
    pixels = match.flow[0] * (size - 1) / 2
    inner = pixels[:, 4:10, 8:14]
    assert float((inner[0] + 24).abs().max()) < 1.5 and float((inner[1] - 8).abs().max()) < 1.5
    assert float(pixels[:, 13:15, 1:3].abs().max()) < 1.5
    best = attention[0].argmax(1).unflatten(0, (cells, cells))
    assert int(best[7, 10]) == 8 * cells + 7


def test_a_given_flow_moves_features_as_it_says() -> None:
    stride, cells = 8, 6
    size, maps = stride * cells, torch.rand(1, 4, cells, cells)
    flow = torch.zeros(1, 2, size, size)
    flow[:, 0] = stride * 2 / (size - 1)  # one cell to the right
    match = geometry.match_by_flow(flow, maps, stride)
    assert torch.allclose(match.aligned[..., :-1], maps[..., 1:], atol=1e-5)
    assert match.attention is None


def test_the_gate_closes_where_geometry_disagrees() -> None:
    gate = GeometryAwareSkip(2).gate
    here = torch.full((1, 4, 5, 5), 0.5)
    apart = here.clone()
    apart[:, 0, :, 3:] += 0.2
    with torch.no_grad():
        passed = gate(here, apart)
    assert float(passed[..., :3].min()) > 0.95 and float(passed[..., 3:].max()) < 0.05
    skip, x, source = GeometryAwareSkip(2), torch.rand(1, 2, 5, 5), torch.ones(1, 2, 5, 5)
    with torch.no_grad():
        assert torch.equal(skip(x, source, torch.zeros(1, 2, 5, 5), here, apart, 4), x), "nothing is learned yet"
        nn.init.dirac_(skip.taken.weight)
        added = skip(x, source, torch.zeros(1, 2, 5, 5), here, apart, 4) - x
    assert float(added[..., :3].min()) > 0.95 and float(added[..., 3:].max()) < 0.05


def test_lids_are_around_the_eyes_and_count_when_they_are_shut(batch: Batch) -> None:
    made = task()
    lids, eyes = made._lids(batch), _regions({**batch, "driving_parsing": torch.zeros_like(batch["inputs_parts"])})[1]
    assert float((lids * eyes).sum()) > 0.95 * float(eyes.sum()) > 0
    meshed = (batch["inputs_pncc"].amax(dim=1) > 0).sum()
    assert 2 * float(eyes.sum()) < float(lids.sum()) < 0.15 * float(meshed)
    shut = {name: torch.zeros_like(batch[name]) for name in ("driving_parsing", "inputs_parts")}
    weight = made._weight({**batch, **shut, "inputs_hidden": torch.zeros_like(lids)})
    assert float(weight[lids > 0].min()) > 1.5 and float(weight[lids == 0].max()) == 1


def test_a_mirrored_pair_is_a_pair(batch: Batch) -> None:
    """What is looked up in the mirror is what was looked up, mirrored; PNCC names the surface of the other side."""
    torch.manual_seed(2)
    mirrored = _mirrored(batch)
    looked_up, plain = (geometry.warp(b["source_image"], b["flow"]) for b in (mirrored, batch))
    turned = [not torch.equal(a, b) for a, b in zip(mirrored["source_image"], batch["source_image"])]
    assert 0 < sum(turned) < len(turned)
    for k, flipped in enumerate(turned):
        assert torch.allclose(looked_up[k], plain[k].flip(-1) if flipped else plain[k], atol=1e-4)
        pncc, before = mirrored["inputs_pncc"][k], batch["inputs_pncc"][k]
        if flipped:
            meshed = before.amax(0).flip(-1) > 0
            assert torch.allclose(pncc[0], torch.where(meshed, 1 - before[0].flip(-1), 0), atol=1e-6)
            assert torch.equal(pncc[1:], before[1:].flip(-1))


@pytest.mark.parametrize("variant", [{}, {"knows_warp": False}])
def test_it_learns_what_it_is_shown(variant: dict[str, Any], batch: Batch) -> None:
    made = task(network=variant, light=0.0, grain=0.0)
    optimiser = torch.optim.Adam(made.net.parameters(), 2e-3)
    before = made.measure(batch)
    assert before.keys() == made.floor(batch).keys()
    if not variant:
        assert before == pytest.approx(made.floor(batch), abs=1e-3)
    for _ in range(40):
        optimiser.zero_grad()
        torch.stack(list(made.losses(batch, STAGE)["generator"].values())).sum().backward()
        optimiser.step()
    after = made.measure(batch)
    assert after["l1"] < 0.85 * before["l1"] and after["mouth_l1"] < 0.9 * before["mouth_l1"]
    assert made.preview(batch).shape == (4 * SIZE, 5 * SIZE, 3)


def test_losses_of_the_match_teach_the_geometry_encoder(batch: Batch) -> None:
    made = task()
    parts = made.losses(batch, STAGE)["generator"]
    encoder = list(made.net.geometry.parameters())
    for name in ("warp_self", "flow", "correspondence"):
        gradients = torch.autograd.grad(parts[name], encoder, retain_graph=True, allow_unused=True)
        assert any(g is not None and bool(g.any()) for g in gradients), name
    assert "flow" not in task(network={"correspondence": "analytic"}).losses(batch, STAGE)["generator"]


def test_painting_costs_most_where_the_photograph_shows_what_belongs_there(batch: Batch) -> None:
    free, kept = task(mask=0.0, light=0.0), task(mask=0.0, kept=2.0, light=0.0)
    own, (mouth, eyes) = _own(batch, kept._delicate(batch)), _regions(batch)
    assert own[(mouth + eyes) > 0].max() == 0 and own[batch["inputs_hidden"] == 1].sum() == 0
    assert own[batch["flow_visible"] == 0].sum() == 0 and 0.1 < own.mean() < 0.9
    costs = [made.losses(batch, STAGE)["generator"]["mask"].item() for made in (free, kept)]
    assert costs[0] == 0 and costs[1] > 0


@pytest.mark.parametrize("knows_warp", [True, False])
def test_moving_costs_where_it_is_priced(knows_warp: bool, batch: Batch) -> None:
    made = task(still=2.0, network={"knows_warp": knows_warp})
    assert made.losses(batch, STAGE)["generator"]["still"].item() == 0  # an untaught network moves nothing
    assert made.net.offsets.bias is not None
    nn.init.constant_(made.net.offsets.bias, 0.5)
    assert made.losses(batch, STAGE)["generator"]["still"].item() > 0
    mouths = {**batch, "inputs_parts": torch.full_like(batch["inputs_parts"], 3)}
    assert made.losses(mouths, STAGE)["generator"]["still"].item() == 0, "mouths and eyes move for nothing"


def test_what_is_generated_is_taught_where_the_mask_hides_it(batch: Batch) -> None:
    made = task(drawn=5.0, network={"doubt": -200.0}, light=0.0, grain=0.0)
    parts = made.losses(batch, STAGE)["generator"]
    colours = made.net.colours.weight
    taught = {name: torch.autograd.grad(parts[name], colours, retain_graph=True)[0].any() for name in ("l1", "drawn")}
    assert taught["drawn"] and not taught["l1"]
    assert "drawn" not in task().losses(batch, STAGE)["generator"]


def test_another_face_costs_where_it_is_priced(batch: Batch) -> None:
    made = task(identity=2.0, light=0.0, grain=0.0)
    same = {**batch, "source_image": batch["inputs_warped"]}  # which is what an untaught network draws
    other, none = (made.losses(given, STAGE)["generator"]["identity"] for given in (batch, same))
    assert none.item() < 1e-3 and other.item() > 0.01
    network = list(made.net.parameters())
    assert any(g is not None and bool(g.any()) for g in torch.autograd.grad(other, network, allow_unused=True))
    assert "identity" not in task().losses(batch, STAGE)["generator"]


def test_a_judge_learns_to_tell_a_softened_picture(batch: Batch) -> None:
    torch.manual_seed(3)
    judge, pncc, sharp = PatchDiscriminator(3, conditions=3), batch["inputs_pncc"], batch["driving_image"]
    soft = functional.interpolate(functional.avg_pool2d(sharp, 2), scale_factor=2, mode="bilinear")
    optimiser = torch.optim.Adam(judge.parameters(), 6e-4, betas=(0.5, 0.99))
    costs = []
    for _ in range(80):
        cost = adversarial.hinge_discriminator(judge(sharp, pncc)[0], judge(soft, pncc)[0])
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        costs.append(cost.item())
    assert costs[0] > 1.5 and costs[-1] < 0.5


def test_generator_and_judge_step_their_own_ways(batch: Batch) -> None:
    made = task(adversarial=0.5)
    groups = made.losses(batch, STAGE)
    assert groups.keys() == {"generator", "discriminator"} and {"adversarial", "matching"} <= groups["generator"].keys()
    assert made.judge is not None and made.shipped == {"generator"}
    judge, net = list(made.judge.parameters()), list(made.net.parameters())
    hinge = groups["discriminator"]["hinge"]
    assert all(g is None for g in torch.autograd.grad(hinge, net, retain_graph=True, allow_unused=True))
    assert any(g is not None and bool(g.any()) for g in torch.autograd.grad(hinge, judge, allow_unused=True))
    fake, maps = made.judge(batch["driving_image"], batch["inputs_pncc"])
    assert len(fake) == 2 and len(maps[0]) == 3 and fake[0].shape[2] == 2 * fake[1].shape[2]


@pytest.mark.parametrize("variant", VARIANTS[:3])
def test_exported_halves_say_what_torch_says(variant: dict[str, Any]) -> None:
    made = task(network=variant)
    awake(made.net)
    graphs = made.export(SIZE)
    assert list(graphs) == ["source", "frame", "frame_analytic"][: 2 if "correspondence" in variant else 3]
    for graph in graphs.values():
        assert export.parity(export.onnx(graph), graph) < 1e-3
    assert set(graphs["frame"].inputs) - {*CHANNELS} <= set(graphs["source"].outputs)


def test_halves_together_are_the_whole(batch: Batch) -> None:
    made = task()
    awake(made.net)
    inputs, graphs = _inputs(batch), made.export(SIZE)
    one: dict[str, Tensor] = {name: tensor[:1] for name, tensor in inputs.items()}
    with torch.no_grad():
        known = dict(zip(graphs["source"].outputs, graphs["source"].module(one["source"], one["source_pncc"])))
        said = graphs["frame"].module(*({**known, **one}[name] for name in graphs["frame"].inputs))
        answer = made.net(one)
    for part, whole in zip(said, (answer.offset, answer.mask, answer.generated)):
        assert torch.allclose(part, whole, atol=1e-5)


def test_what_cannot_be_built_is_named() -> None:
    with pytest.raises(EngineError, match="correspondence is 'guessed'"):
        task(network={"correspondence": "guessed"})
    with pytest.raises(EngineError, match="look"):
        task(look=50)


def test_a_flow_that_is_no_number_is_none() -> None:
    image, flow = torch.rand(1, 3, 8, 8), torch.full((1, 2, 8, 8), float("nan"))
    assert torch.allclose(geometry.warp(image, flow), image, atol=1e-6)
    assert torch.allclose(geometry.upsample(functional.avg_pool2d(image, 8), 8), image.mean((2, 3))[..., None, None])
