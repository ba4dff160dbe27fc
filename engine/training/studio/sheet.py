"""``python -m engine train sheet``: a contact sheet of the studio's people, with labels on request."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from engine.media.image import encode_png, write_atomic
from engine.training.sample import Frame
from engine.training.studio.assembly import build
from engine.training.studio.library.items import Library, Split
from engine.training.studio.library.library import load
from engine.training.studio.people.acting import Take
from engine.training.studio.people.sitter import sample_sitter
from engine.training.studio.randomness import draws
from engine.training.studio.renderer import labels
from engine.training.studio.renderer.render import FULL, Picture, Profile, render
from engine.training.studio.stage.scene import Parsing
from engine.training.studio.stage.stage import sample_stage

COLUMNS = 8
_SECONDS = 4.0  # at most this many moments lie between the two of a labelled person
_CLASSES = {  # sRGB
    Parsing.BACKGROUND: (24, 24, 28), Parsing.SKIN: (224, 172, 140), Parsing.BROW: (96, 60, 30),
    Parsing.EYE: (240, 240, 255), Parsing.LIP: (214, 60, 84), Parsing.MOUTH: (90, 10, 20),
    Parsing.TEETH: (255, 250, 200), Parsing.TONGUE: (235, 110, 120), Parsing.EAR: (240, 140, 60),
    Parsing.NECK: (180, 130, 110), Parsing.HAIR: (110, 80, 200), Parsing.BEARD: (60, 130, 90),
    Parsing.CLOTH: (60, 110, 190), Parsing.GLASSES: (40, 220, 220), Parsing.HEADWEAR: (200, 60, 200),
}  # fmt: skip


def people(library: Library, split: Split, seed: int, count: int, size: int, profile: Profile = FULL) -> np.ndarray:
    """(rows · size, COLUMNS · size, 3) uint8: one picture per person, ``count`` people."""
    cells = [_pictures(library, split, seed, k, size, 1, profile)[0].image for k in range(count)]
    return _grid(cells, min(COLUMNS, count))


def labelled(library: Library, split: Split, seed: int, count: int, size: int, profile: Profile = FULL) -> np.ndarray:
    """One row per person: picture, landmarks, PNCC, depth, matte, parsing, another moment, and that moment's flow."""
    cells = []
    for k in range(count):
        source, driving = _pictures(library, split, seed, k, size, 2, profile)
        frame = labels.frame(source, k)
        flow, seen = labels.flow(driving, source)
        cells += [frame.image, _landmarks(frame), *_maps(frame), driving.image, _flow(flow, seen)]
    return _grid(cells, 8)


def _pictures(
    library: Library, split: Split, seed: int, number: int, size: int, moments: int, profile: Profile
) -> list[Picture]:
    sitter = sample_sitter(library, split, seed, number, with_strands=profile is FULL)
    draw = draws(seed, "sheet", number)
    stage = sample_stage(library.choices(split).environments, draw)
    acted = Take(draw, _SECONDS).at(np.sort(draw.uniform(0, _SECONDS, moments)))
    return [render(build(sitter, moment, stage, acted[0]), size, profile) for moment in acted]


def _grid(cells: list[np.ndarray], columns: int) -> np.ndarray:
    empty = [np.zeros_like(cells[0])] * (-len(cells) % columns)
    cells = cells + empty
    return np.vstack([np.hstack(cells[k : k + columns]) for k in range(0, len(cells), columns)])


def _landmarks(frame: Frame) -> np.ndarray:
    """Dense points dim, the 68 bright; hidden ones red."""
    assert frame.landmarks68 is not None and frame.visible68 is not None
    assert frame.dense is not None and frame.dense_visible is not None
    out = frame.image // 2
    radius = len(out) / 256
    for points, seen, size, colours in (
        (frame.dense[:, :2], frame.dense_visible, 0.6, ((110, 0, 0), (120, 160, 220))),
        (frame.landmarks68, frame.visible68, 1.4, ((255, 60, 60), (80, 255, 80))),
    ):
        for point, visible in zip(points, seen):
            x, y = (int(v * 16) for v in np.clip(point - 0.5, -1e4, 1e4))
            cv2.circle(out, (x, y), max(8, int(size * radius * 16)), colours[int(visible)], -1, cv2.LINE_AA, 4)
    return out


def _maps(frame: Frame) -> list[np.ndarray]:
    """PNCC, depth, matte and parsing as pictures."""
    assert frame.pncc is not None and frame.depth is not None
    assert frame.matte is not None and frame.parsing is not None
    depth = frame.depth.astype(np.float32)
    near = np.isfinite(depth)
    low, high = (np.percentile(depth[near], share) for share in (1, 99)) if near.any() else (0, 1)
    shown = np.where(near, 255 * (1 - 0.8 * np.clip((depth - low) / max(high - low, 1e-3), 0, 1)), 0)
    table = np.array([_CLASSES[kind] for kind in Parsing], np.uint8)
    return [
        (frame.pncc.astype(np.float32) * 255).clip(0, 255).astype(np.uint8),
        np.repeat(shown.astype(np.uint8)[..., None], 3, axis=2),
        np.repeat(frame.matte[..., None], 3, axis=2),
        table[frame.parsing],
    ]


def _flow(flow: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Direction as hue, length as brightness; grey where the other picture does not show the surface."""
    x, y = np.moveaxis(flow.astype(np.float32), -1, 0)
    length = np.hypot(x, y)
    top = max(float(np.percentile(length[seen], 98)) if seen.any() else 1.0, 1.0)
    hue = (np.arctan2(y, x) / (2 * np.pi) + 0.5) * 179
    hsv = np.stack([hue, np.full_like(hue, 200), np.clip(60 + 195 * length / top, 0, 255)], axis=-1).astype(np.uint8)
    rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    rgb[~seen] = np.where((length > 0)[..., None], 70, 0)[~seen]
    return rgb


def command(argv: list[str]) -> int:
    """``train sheet``: write the sheet; raises EngineError for assets or a folder that cannot be used."""
    parser = argparse.ArgumentParser(prog="engine train sheet", description=__doc__)
    parser.add_argument("--assets", type=Path, help="folder with the studio's assets; without it everything is ours")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    parser.add_argument("--labels", action="store_true", help="a row a person, with all that is known of the picture")
    parser.add_argument("--people", type=int, default=0, help="how many (32, or 6 with --labels)")
    parser.add_argument("--size", type=int, default=192, help="width of a picture in pixels")
    parser.add_argument("--split", choices=[split.value for split in Split], default=Split.TRAIN.value)
    options = parser.parse_args(argv)
    count = options.people or (6 if options.labels else 32)
    if count < 1 or not 16 <= options.size <= 1024:
        parser.error("there must be at least one person, in a picture of 16 to 1024 pixels")
    library = load(options.assets)
    draw = labelled if options.labels else people
    sheet = draw(library, Split(options.split), options.seed, count, options.size)
    write_atomic(options.out, encode_png(sheet))
    print(f"{options.out}: {count} people, {sheet.shape[1]} × {sheet.shape[0]} pixels, library {library.digest[:12]}")
    return 0
