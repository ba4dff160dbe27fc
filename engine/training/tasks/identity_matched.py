"""Training of `identity_matched`'s generator: it turns mesh_warp's picture into the driving frame.

Pairs show one person, so that the ground truth is known: the picture, its motion, and what the source hides. In footage
the motion is the fitted mesh's, and without parsing mouths and eyes are where mesh_warp draws them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.face import model as face_model
from engine.geometry.frame_inputs import EYE, MOUTH, SKIN
from engine.geometry.pncc import eyes_in_code
from engine.systems.identity_matched.network.generator import (
    CHANNELS,
    OUTPUTS,
    SOURCE_INPUTS,
    Answer,
    Config,
    FrameDecoder,
    Generator,
    SourceEncoder,
    composite,
)
from engine.systems.identity_matched.network.geometry import warp
from engine.training import adversarial, augment, losses, perceptual
from engine.training.batch import Batch
from engine.training.curves import grid
from engine.training.patch_discriminator import PatchDiscriminator
from engine.training.recipe import Stage
from engine.training.studio.stage.scene import Parsing
from engine.training.task import DISCRIMINATOR, Graph, Task

_MOUTH = (Parsing.MOUTH, Parsing.TEETH, Parsing.TONGUE)
_GLANCES = 3  # pieces of every picture that the discriminator sees
_FEW = 1e-3  # of the picture: a smaller region has less than its full weight


@dataclass(frozen=True)
class Options:
    """The generator's configuration, then weights of the losses, our own where no source is named.

    ``l1`` and ``laplacian``: of the picture; ``mouth``, ``eyes`` (with lids) and ``hidden`` are the weights that these
    small regions add to them, the whole picture being 1. ``perceptual``: by our own network, on a piece or a reduced
    copy of ``look`` pixels. ``moved``: L1 of the warped base where the source shows the surface, so that pixels are
    moved before they are painted. ``drawn``: L1 of the generated picture everywhere, also where the mask is closed and
    would give no gradient. ``warp_self``: L1 of the source averaged by the attention; ``correspondence``: the same of
    its PNCC; ``flow``: of its mean place. ``mask``: the mean mask; ``kept``: the mask where the portrait shows the
    surface, outside mouth and eyes. ``still``: the residual flow outside mouth and eyes. ``identity``: distance of our
    own network's embeddings. ``adversarial``: hinge, two scales, conditioned on PNCC, times ``matching`` of features;
    0 turns it off. CoCosNet's cycle and contextual losses have no use here, since motion and ground truth are exact.
    ``light`` and ``grain``: strength of recolouring, and of noise on the inputs.
    """

    network: Config = Config()
    l1: float = 10.0
    laplacian: float = 2.0
    perceptual: float = 2.0
    look: int = 64
    moved: float = 3.0
    drawn: float = 0.0
    warp_self: float = 2.0
    correspondence: float = 1.0
    flow: float = 2.0
    mask: float = 0.03
    kept: float = 0.0
    still: float = 0.0
    identity: float = 0.0
    mouth: float = 0.15
    eyes: float = 0.12
    hidden: float = 0.12
    adversarial: float = 0.0
    matching: float = 10.0
    light: float = 0.5
    grain: float = 0.3

    def __post_init__(self) -> None:
        if self.look % 16 or self.look < 32:
            raise ValueError("look should be a multiple of 16, 32 or more")


class IdentityMatched(Task):
    fields = frozenset(
        {"source_image", "driving_image", "driving_parsing?", "flow", "flow_visible"}
        | {f"inputs_{name}" for name in ("warped", "pncc", "source_pncc", "flow", "hidden", "stretch", "parts")}
    )
    Options = Options

    def build(self) -> None:
        given = self.options
        self.net = self.add("generator", Generator(given.network))
        self.judge = None
        if given.adversarial > 0:
            self.judge = self.add("judge", PatchDiscriminator(3, conditions=3), DISCRIMINATOR)
        eye, metric = perceptual.load("loss"), perceptual.load("metric")
        assert isinstance(eye, perceptual.FaceNetwork) and isinstance(metric, perceptual.FaceNetwork)
        self.eye, self.metric = eye, metric
        self.lids = torch.from_numpy(eyes_in_code(face_model.load()))

    def losses(self, batch: Batch, stage: Stage) -> dict[str, dict[str, Tensor]]:
        given = self.options
        batch = _recoloured(_mirrored(batch), given.light)
        inputs, truth = _inputs(batch), batch["driving_image"]
        for name in ("source", "warped"):
            inputs[name] = augment.coded(augment.grainy(inputs[name], given.grain), given.grain).clamp(-1, 1)
        answer = self.net(inputs)
        out = composite(self._base(inputs), answer)
        weight, delicate = self._weight(batch), self._delicate(batch)
        own = _own(batch, delicate)
        made = {
            "l1": given.l1 * losses.l1(out, truth, weight),
            "laplacian": given.laplacian * losses.laplacian_l1(out, truth, 3, weight),
            "perceptual": given.perceptual * self._alike(out, truth, weight),
            "mask": given.mask * answer.mask.mean() + given.kept * (answer.mask * own).mean(),
            "still": given.still * (answer.residual.abs() * (1 - delicate)).mean(),
            **self._motion(batch, inputs, answer),
        }
        if given.drawn > 0:
            made["drawn"] = given.drawn * losses.l1(answer.generated, truth, weight)
        if given.identity > 0:
            seen = map(self.eye.embedding, (out, batch["source_image"]))
            made["identity"] = given.identity * losses.identity(*seen)
        groups = {"generator": made}
        if self.judge is not None:
            seen = torch.cat([out, truth, inputs["pncc"]], dim=1)
            seen = torch.cat([self._piece(seen, weight) for _ in range(_GLANCES)])
            drawn, (shown, pncc) = seen[:, :3], seen[:, 3:].detach().split(3, dim=1)
            fake, fake_maps = self.judge(drawn, pncc)
            real, real_maps = self.judge(shown, pncc)
            made["adversarial"] = given.adversarial * adversarial.hinge_generator(fake)
            matching = [adversarial.feature_matching(r, f) for r, f in zip(real_maps, fake_maps)]
            made["matching"] = given.adversarial * given.matching * torch.stack(matching).mean()
            judged, _ = self.judge(drawn.detach(), pncc)
            groups[DISCRIMINATOR] = {"hinge": adversarial.hinge_discriminator(real, judged)}
        return groups

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        inputs = _inputs(batch)
        return {"image": composite(self._base(inputs), self.net(inputs))}

    def measure(self, batch: Batch) -> dict[str, float]:
        return self._errors(batch, self.predict(batch)["image"])

    def floor(self, batch: Batch) -> dict[str, float]:
        """Of mesh_warp's picture, where training starts."""
        return self._errors(batch, batch["inputs_warped"])

    @torch.no_grad()
    def preview(self, batch: Batch) -> np.ndarray:
        """Source, mesh_warp, ours, its mask, the truth."""
        inputs = _inputs(batch)
        answer = self.net(inputs)
        out = composite(self._base(inputs), answer)
        return grid([batch["source_image"], batch["inputs_warped"], out, answer.mask * 2 - 1, batch["driving_image"]])

    def export(self, size: int) -> dict[str, Graph]:
        """``source`` once a portrait and ``frame``; where features are compared also ``frame_analytic``, the same
        weights with the mesh's exact flow in place of the attention."""
        config = self.net.config
        source = {name: torch.zeros(1, CHANNELS[name], size, size) for name in SOURCE_INPUTS}
        with torch.no_grad():
            known = self.net.cpu().encode_source(*source.values())
        graphs = {"source": Graph(SourceEncoder(self.net), source, config.source_outputs)}
        for kind in dict.fromkeys((config.correspondence, "analytic")):
            net = Generator(replace(config, correspondence=kind)).eval()
            net.load_state_dict(self.net.state_dict())
            frame = {name: known[name] for name in net.config.frame_features}
            frame |= {name: torch.zeros(1, CHANNELS[name], size, size) for name in net.config.frame_inputs}
            name = "frame" if kind == config.correspondence else f"frame_{kind}"
            graphs[name] = Graph(FrameDecoder(net), frame, OUTPUTS)
        return graphs

    def _base(self, inputs: dict[str, Tensor]) -> Tensor:
        return inputs["warped"] if self.options.network.knows_warp else inputs["source"]

    def _weight(self, batch: Batch) -> Tensor:
        """(B, 1, S, S): the weight of every pixel, at least 1."""
        mouth, eyes = _regions(batch)
        eyes = torch.maximum(eyes, self._lids(batch))
        given = self.options
        weight = torch.ones_like(mouth)
        for share, region in ((given.mouth, mouth), (given.eyes, eyes), (given.hidden, batch["inputs_hidden"])):
            weight = weight + share * region / region.mean().clamp(min=_FEW)
        return weight

    def _delicate(self, batch: Batch) -> Tensor:
        """(B, 1, S, S) 0 or 1: mouth, eyes and lids with a margin."""
        mouth, eyes = _regions(batch)
        return torch.maximum(functional.max_pool2d(torch.maximum(mouth, eyes), 9, 1, 4), self._lids(batch))

    def _lids(self, batch: Batch) -> Tensor:
        """(B, 1, S, S) 0 or 1: around both eyes of the new frame, open or shut."""
        centre, reach = (x.to(batch["inputs_pncc"])[:, :, None, None] for x in self.lids)
        away = ((batch["inputs_pncc"][:, None] - centre) / reach).norm(dim=2)
        return (away.amin(dim=1, keepdim=True) < 1).float()

    def _alike(self, out: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Perceptual loss of a piece around heavier pixels, or of the whole picture reduced, at random."""
        look, size = self.options.look, out.shape[2]
        if torch.rand(()) < 0.5 and size > look:
            out, truth = self._piece(torch.cat([out, truth], dim=1), weight).chunk(2, dim=1)
        elif size > look:
            out, truth = (functional.interpolate(x, size=look, mode="area") for x in (out, truth))
        return losses.perceptual(self.eye, out, truth, 1)

    def _piece(self, images: Tensor, weight: Tensor) -> Tensor:
        """A piece, mostly where the weight is high."""
        return _pieces(images, weight - 0.95, min(self.options.look, images.shape[2]))

    def _motion(self, batch: Batch, inputs: dict[str, Tensor], answer: Answer) -> dict[str, Tensor]:
        """Losses of the correspondence and of the warped base, whose truth is the known motion."""
        given, visible = self.options, batch["flow_visible"]
        drawn = warp(self._base(inputs), answer.offset)
        shown = visible * (1 - batch["inputs_hidden"])
        made = {"moved": given.moved * losses.l1(drawn, batch["driving_image"], shown)}
        if answer.match.attention is None:
            return made
        stride = self.net.size.grid
        source, driving, flow, seen = (
            functional.avg_pool2d(maps, stride)
            for maps in (inputs["source"], batch["driving_image"], batch["flow"], visible)
        )
        whole = (seen > 0.999).float()
        mixed = (
            (answer.match.attention @ source.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, flow.shape[2:])
        )
        meshed = (batch["inputs_pncc"].amax(dim=1, keepdim=True) > 0).float() * (1 - batch["inputs_hidden"])
        return made | {
            "warp_self": given.warp_self * losses.l1(mixed, driving, whole),
            "flow": given.flow * losses.flow(answer.match.flow, flow, whole),
            "correspondence": given.correspondence
            * losses.correspondence(answer.match.attention, inputs["source_pncc"], inputs["pncc"], meshed),
        }

    @torch.no_grad()
    def _errors(self, batch: Batch, image: Tensor) -> dict[str, float]:
        """Mean |difference| of pictures in 0…1: everywhere, inside mouths, of visible eyes, of the lids around them and
        of what the source hides; and, by a network that is not used in training, the perceptual distance to the truth
        and the distance to the source's identity."""
        truth, (mouth, eyes) = batch["driving_image"], _regions(batch)
        hidden = (batch["inputs_hidden"] > 0.5).float()
        return {
            "l1": float(losses.l1(image, truth)) / 2,
            "mouth_l1": float(losses.l1(image, truth, mouth)) / 2,
            "eyes_l1": float(losses.l1(image, truth, eyes)) / 2,
            "lids_l1": float(losses.l1(image, truth, self._lids(batch) * (1 - eyes))) / 2,
            "hidden_l1": float(losses.l1(image, truth, hidden)) / 2,
            "pdist": float(_distance(self.metric, image, truth)),
            "unlikeness": float(losses.unlikeness(*map(self.metric.embedding, (image, batch["source_image"])))),
        }


def _inputs(batch: Batch) -> dict[str, Tensor]:
    """The generator's inputs (``network.CHANNELS``) of a batch."""
    parts = torch.stack([batch["inputs_parts"] == part for part in (SKIN, EYE, MOUTH)], dim=1).float()
    return {
        "source": batch["source_image"],
        "warped": batch["inputs_warped"],
        "parts": parts,
        **{name: batch[f"inputs_{name}"] for name in ("source_pncc", "pncc", "flow", "hidden", "stretch")},
    }


def _regions(batch: Batch) -> tuple[Tensor, Tensor]:
    """The insides of mouths, and the eyes, (B, 1, S, S) 0 or 1: of the truth, if it has parsing, and as mesh_warp draws
    them."""
    part = batch["inputs_parts"][:, None]
    mouth, eyes = part == MOUTH, part == EYE
    if "driving_parsing" in batch:
        parsing = batch["driving_parsing"][:, None]
        mouth = mouth | torch.stack([parsing == kind for kind in _MOUTH]).any(0)
        eyes = eyes | (parsing == Parsing.EYE)
    return mouth.float(), eyes.float()


def _own(batch: Batch, delicate: Tensor) -> Tensor:
    """(B, 1, S, S) 0…1: where the portrait shows the surface and nothing is ``delicate``."""
    return batch["flow_visible"] * (1 - batch["inputs_hidden"]) * (1 - delicate)


def _mirrored(batch: Batch) -> Batch:
    """Half of the pairs mirrored, with the x of offsets and the first axis of PNCC."""
    chosen = torch.rand(len(batch["flow"])) < 0.5
    out = {name: tensor.clone() for name, tensor in batch.items()}
    for name, tensor in batch.items():
        turned = tensor[chosen].flip(-1)
        if name in ("flow", "inputs_flow"):
            turned[:, 0].neg_()
        if name in ("inputs_pncc", "inputs_source_pncc"):
            meshed = turned.amax(dim=1) > 0
            turned[:, 0] = torch.where(meshed, 1 - turned[:, 0], 0)
        out[name][chosen] = turned
    return out


def _recoloured(batch: Batch, strength: float) -> Batch:
    """All pictures of a pair in the same random light."""
    names = ("source_image", "driving_image", "inputs_warped")
    tall = augment.recoloured(torch.cat([batch[name] for name in names], dim=2), strength).clamp(-1, 1)
    return {**batch, **dict(zip(names, tall.chunk(len(names), dim=2)))}


def _pieces(images: Tensor, weight: Tensor, side: int) -> Tensor:
    """(B, C, side, side): a piece of each image around a pixel drawn by its weight."""
    stride = 4
    coarse = functional.avg_pool2d(weight, stride)
    cell = torch.multinomial(coarse.flatten(1), 1)[:, 0]
    far = images.shape[2] - side
    tops = ((cell // coarse.shape[3]) * stride - side // 2).clamp(0, far).tolist()
    lefts = ((cell % coarse.shape[3]) * stride - side // 2).clamp(0, far).tolist()
    pieces = [image[:, top : top + side, left : left + side] for image, top, left in zip(images, tops, lefts)]
    return torch.stack(pieces)


def _distance(eye: perceptual.FeatureNetwork, a: Tensor, b: Tensor) -> Tensor:
    """Σ over layers of the mean squared distance of normalised features: LPIPS without its weights."""
    total = a.new_zeros(())
    for one, other in zip(eye(a), eye(b)):
        apart = functional.normalize(one, dim=1) - functional.normalize(other, dim=1)
        total = total + apart.square().sum(dim=1).mean()
    return total
