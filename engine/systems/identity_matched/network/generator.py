"""The generator of `identity_matched` in torch. It is trained here and exported to ONNX in two halves.

:class:`SourceEncoder` runs once a portrait. :class:`FrameDecoder` runs for every frame: PNCCs give the correspondence
between portrait and frame, the warped source features modulate a small decoder, and the decoder gives a residual flow
over a picture that is warped already, generated colours, and a mask of where these are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.systems.identity_matched.network import geometry
from engine.systems.identity_matched.network.blocks import SLOPE, GeometryAwareSkip, SPADEStage, act, conv, zero_init
from engine.systems.identity_matched.network.geometry import GeometryEncoder, Match, upsample, warp, with_mask

SOURCE_INPUTS = ("source", "source_pncc")
OUTPUTS = ("offset", "mask", "generated")  # no name of an input: names are one space in ONNX
CORRESPONDENCES = ("learned", "analytic")
NORMS = ("instance", "position")
STRIDES = (2, 4, 8, 16)


@dataclass(frozen=True)
class Size:
    """``widths`` and numbers of ``blocks`` at strides 2, 4, 8 and 16. ``grid`` is the stride of the correspondence,
    ``encoder`` the width of the geometry encoder, ``context`` the number of its learned features. ``skips`` are the
    strides of the geometry-aware skip connections."""

    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    grid: int
    encoder: int
    context: int
    skips: tuple[int, ...]


# paper: the widths of CoCosNet and SPADE, correspondence at 64 x 64; fast: a tenth of the cost.
SIZES = {
    "fast": Size((32, 48, 96, 128), (0, 1, 1, 1), grid=8, encoder=32, context=24, skips=(4,)),
    "paper": Size((64, 128, 256, 512), (1, 2, 2, 1), grid=4, encoder=128, context=236, skips=(2, 4)),
}


@dataclass(frozen=True)
class Config:
    """How the generator is built; our reconstruction unless a source is named.

    ``correspondence``: ``learned`` is attention between PNCC features (CoCosNet), ``analytic`` the exact flow of the
    drawn mesh in its place (ablation and run-time choice; the weights are the same). ``temperature`` of the attention
    is CoCosNet's. ``knows_warp``: the input is mesh_warp's picture with its flow, hidden parts and stretch; off is the
    faithful variant, whose input is the portrait warped by the correspondence. ``gated_skip``: the paper's
    geometry-aware skip connection; off for its ablation. ``norm``: see :class:`SPADE`. ``reach``: bound of the
    residual flow, on the grid. ``doubt``: the mask's logit at initialisation.
    """

    size: str = "fast"
    correspondence: str = "learned"
    temperature: float = 0.01
    knows_warp: bool = True
    gated_skip: bool = True
    norm: str = "instance"
    reach: float = 0.1
    doubt: float = -2.0

    def __post_init__(self) -> None:
        for name, allowed in (("size", SIZES), ("correspondence", CORRESPONDENCES), ("norm", NORMS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r} and should be one of {', '.join(allowed)}")
        if not (self.temperature > 0 and 0 < self.reach <= 1):
            raise ValueError("temperature should be above 0, and reach above 0 and at most 1")

    @property
    def source_outputs(self) -> tuple[str, ...]:
        """Names of the source's features, each (1, C, S / stride, S / stride)."""
        strides = SIZES[self.size].skips if self.gated_skip else ()
        names = [f"appearance{stride}" for stride in sorted({*strides, SIZES[self.size].grid})]
        names += [*(f"pncc{stride}" for stride in strides), "geometry"]
        return (*names, *(() if self.knows_warp else ("portrait",)))

    @property
    def frame_features(self) -> tuple[str, ...]:
        """Those that a frame needs: with an analytic flow no geometry features are compared."""
        return tuple(name for name in self.source_outputs if name != "geometry" or self.correspondence == "learned")

    @property
    def frame_inputs(self) -> tuple[str, ...]:
        """Names of each frame's inputs, beside the source's features."""
        if self.knows_warp:
            return ("pncc", "warped", "flow", "hidden", "stretch", "parts")
        return ("pncc", "flow") if self.correspondence == "analytic" else ("pncc",)


CHANNELS = {"source": 3, "source_pncc": 3, "pncc": 3, "warped": 3, "flow": 2, "hidden": 1, "stretch": 1, "parts": 3}


class Answer(NamedTuple):
    """``offset`` (B, 2, S, S) on the grid, by which the base picture is warped: mesh_warp's picture, or the portrait in
    the faithful variant. ``mask`` (B, 1, S, S) 0…1, ``generated`` (B, 3, S, S) −1…1. The rest is for training: the
    ``base`` that the decoder sees, its ``residual`` flow, and the ``match`` of the cells."""

    offset: Tensor
    mask: Tensor
    generated: Tensor
    base: Tensor
    residual: Tensor
    match: Match


def composite(base: Tensor, answer: Answer) -> Tensor:
    """(1 − mask) · warp(base, offset) + mask · generated, (B, 3, S, S)."""
    moved = warp(base, answer.offset)
    return moved + answer.mask * (answer.generated - moved)


class AppearanceEncoder(nn.Module):
    """Portrait (B, 3, S, S) −1…1 → feature maps by stride: 4, and 2 and 8 where the size needs them."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        half, quarter, eighth, _ = size.widths
        self.at_half = conv(12, half) if 2 in size.skips else None
        self.at_quarter = nn.Sequential(nn.PixelUnshuffle(4), conv(48, quarter), nn.LeakyReLU(SLOPE))
        self.more = conv(quarter, quarter)
        self.at_eighth = conv(quarter, eighth, 2) if size.grid == 8 else None

    def forward(self, source: Tensor) -> dict[int, Tensor]:
        quarter = self.at_quarter(source)  # (B, widths[1], S / 4, S / 4)
        maps = {4: quarter + self.more(quarter)}
        if self.at_half is not None:
            maps[2] = act(self.at_half(functional.pixel_unshuffle(source, 2)))
        if self.at_eighth is not None:
            maps[8] = self.at_eighth(act(maps[4]))
        return maps


class Generator(nn.Module):
    """``forward``: a portrait's and a frame's tensors by name (``CHANNELS``); S is a multiple of 16."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.size = config, (size := SIZES[config.size])
        half, quarter, eighth, sixteenth = size.widths
        self.geometry = GeometryEncoder(size.encoder, size.context, size.grid)
        self.appearance = AppearanceEncoder(size)
        shapes = 8 if config.knows_warp else 4  # channels of PNCC and mask; hidden and three parts
        self.look_half = conv(12 + shapes, half)
        self.look = nn.ModuleDict(
            {
                "4": conv(48 + 4 * shapes + (3 if config.knows_warp else 0), quarter),
                "8": conv(quarter, eighth, 2),
                "16": conv(eighth, sixteenth, 2),
            }
        )
        style = {4: quarter, 8: eighth}[size.grid] + 4
        levels = list(zip(STRIDES, size.widths, size.blocks))
        self.decoders = nn.ModuleDict({str(s): SPADEStage(w, style, config.norm, n) for s, w, n in levels})
        self.up = nn.ModuleDict({str(s): conv(before, w, side=1) for (s, w, _), before in zip(levels, size.widths[1:])})
        skips = size.skips if config.gated_skip else ()
        self.skips = nn.ModuleDict({str(s): GeometryAwareSkip(w) for s, w, _ in levels if s in skips})
        self.last = conv(half, half)
        self.offsets = zero_init(conv(half, 2))
        self.colours = zero_init(conv(half, 16))  # mask and colour of the four pixels of a cell

    def forward(self, inputs: dict[str, Tensor]) -> Answer:
        return self.decode_frame(self.encode_source(inputs["source"], inputs["source_pncc"]), inputs)

    def encode_source(self, source: Tensor, source_pncc: Tensor) -> dict[str, Tensor]:
        """The source's features by the names of ``Config.source_outputs``."""
        maps, pncc = self.appearance(source), with_mask(source_pncc)
        known = {f"appearance{stride}": maps[stride] for stride in maps}
        known |= {f"pncc{stride}": functional.avg_pool2d(pncc, stride) for stride in self.size.skips}
        known |= {"geometry": self.geometry(pncc), "portrait": source}
        return {name: known[name] for name in self.config.source_outputs}

    def decode_frame(self, known: dict[str, Tensor], inputs: dict[str, Tensor]) -> Answer:
        """One frame; ``known`` are the source's features, ``inputs`` those of ``Config.frame_inputs``."""
        pncc = with_mask(inputs["pncc"])
        match = self._match(known, pncc, inputs)
        if self.config.knows_warp:
            base, moved = inputs["warped"], None
        else:
            moved = upsample(match.flow, self.size.grid)
            base = warp(known["portrait"], moved)
        maps = self._decode(known, match, pncc, self._encode(base, pncc, inputs))  # (B, widths[0], S / 2, S / 2)
        residual = self.config.reach * torch.tanh(self.offsets(maps).float())
        residual = upsample(residual, 2)  # (B, 2, S, S)
        drawn = functional.pixel_shuffle(self.colours(maps), 2).float()  # (B, 4, S, S): mask and colour
        return Answer(
            offset=residual if moved is None else moved + residual,
            mask=torch.sigmoid(drawn[:, :1] + self.config.doubt),
            generated=(base + drawn[:, 1:]).clamp(-1, 1),
            base=base,
            residual=residual,
            match=match,
        )

    def _match(self, known: dict[str, Tensor], pncc: Tensor, inputs: dict[str, Tensor]) -> Match:
        stride = self.size.grid
        appearance = known[f"appearance{stride}"]
        if self.config.correspondence == "analytic":
            return geometry.match_by_flow(inputs["flow"], appearance, stride)
        attention = geometry.attention(self.geometry(pncc), known["geometry"], self.config.temperature)
        return geometry.match_by_attention(attention, appearance, stride)

    def _encode(self, base: Tensor, pncc: Tensor, inputs: dict[str, Tensor]) -> dict[int, Tensor]:
        """Feature maps by stride of what is known of the new frame."""
        shapes = torch.cat([pncc, inputs["hidden"], inputs["parts"]], dim=1) if self.config.knows_warp else pncc
        shapes = functional.avg_pool2d(shapes, 2)
        seen = [functional.pixel_unshuffle(base, 4), functional.pixel_unshuffle(shapes, 2)]
        if self.config.knows_warp:
            seen.append(functional.avg_pool2d(torch.cat([inputs["flow"], inputs["stretch"]], dim=1), 4))
        maps = {2: self.look_half(torch.cat([functional.pixel_unshuffle(base, 2), shapes], dim=1))}
        maps[4] = self.look["4"](torch.cat(seen, dim=1))
        maps[8] = self.look["8"](act(maps[4]))
        maps[16] = self.look["16"](act(maps[8]))  # (B, widths[3], S / 16, S / 16)
        return maps

    def _decode(self, known: dict[str, Tensor], match: Match, pncc: Tensor, seen: dict[int, Tensor]) -> Tensor:
        """From stride 16 to stride 2: (B, widths[0], S / 2, S / 2)."""
        x = seen[16]
        for stride in reversed(STRIDES):
            if stride < 16:
                x = functional.interpolate(self.up[str(stride)](x), scale_factor=2.0) + seen[stride]
            shape = functional.avg_pool2d(pncc, stride)  # (B, 4, S / stride, S / stride)
            if self.size.blocks[STRIDES.index(stride)]:
                style = torch.cat([_resized(match.aligned, self.size.grid, stride, "nearest"), shape], dim=1)
                x = self.decoders[str(stride)](x, style)
            if str(stride) in self.skips:
                flow = _resized(match.flow, self.size.grid, stride, "bilinear")
                x = self.skips[str(stride)](
                    x, known[f"appearance{stride}"], flow, shape, known[f"pncc{stride}"], stride
                )
        return act(self.last(act(x)))


class SourceEncoder(nn.Module):
    """The graph source.onnx: ``SOURCE_INPUTS`` → ``Config.source_outputs``, in order."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, source: Tensor, source_pncc: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.generator.encode_source(source, source_pncc).values())


class FrameDecoder(nn.Module):
    """The graph frame.onnx: ``Config.frame_features`` and ``Config.frame_inputs`` → ``OUTPUTS``, in order."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        config = self.generator.config
        count = len(config.frame_features)
        known, inputs = dict(zip(config.frame_features, tensors)), dict(zip(config.frame_inputs, tensors[count:]))
        answer = self.generator.decode_frame(known, inputs)
        return answer.offset, answer.mask, answer.generated


def _resized(maps: Tensor, stride: int, wanted: int, mode: str) -> Tensor:
    """Maps of one ``stride`` at the ``wanted`` one."""
    if wanted > stride:
        return functional.avg_pool2d(maps, wanted // stride)
    if wanted == stride:
        return maps
    return (
        upsample(maps, stride // wanted)
        if mode == "bilinear"
        else functional.interpolate(maps, scale_factor=stride / wanted)
    )
