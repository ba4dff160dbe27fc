"""Trains the face model: two parametric heads → ``face_model.safetensors``. Prints all figures."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from engine.media.image import write_atomic, write_fault
from engine.tracking import registry as detectors
from engine.training.face_model import (
    assets,
    correspondence,
    eyelids,
    layout,
    lips,
    second_source,
    sitters,
    statistics,
    surface,
    topology,
)
from engine.training.face_model.closest import ClosestPoints, SurfacePoints

FORMAT, VERSION = "understudy-face-model", "1"
CREDIT = (
    "Learned from heads sampled from ICT-FaceKit (MIT, Copyright (c) 2020 USC Institute for Creative Technologies) "
    "and from MakeHuman's base mesh and targets (CC0)."
)
MAX_BYTES = 6_000_000


@dataclass(frozen=True)
class Settings:
    """All parameters of the result besides the assets."""

    seed: int = 7
    components: int = 84
    samples: int = 1500
    held_out: int = 100
    sitters: int = 8


def command(argv: list[str]) -> int:
    """``python -m engine train face-model``."""
    parser = argparse.ArgumentParser("python -m engine train face-model")
    parser.add_argument("--assets", type=Path, required=True, help="folder with the head assets (docs/develop.md)")
    parser.add_argument("--out", type=Path, default=Path("weights/face_model.safetensors"))
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(argv)
    train(options.assets, options.out, Settings(seed=options.seed))
    return 0


def train(folder: Path, out: Path, settings: Settings) -> None:
    """Learn the model from the assets in ``folder`` and write it to ``out``; raises EngineError on bad assets."""
    first, second, skins = assets.load_first(folder), assets.load_second(folder), assets.load_skins(folder)
    ours = topology.build(first, surface.Sizing(), settings.seed)
    print(f"topology        {len(ours.vertices)} vertices, {len(ours.triangles)} triangles")
    expression = ours.carry(first, first.expression, move_eyes=False)
    detector = detectors.create("builtin")
    landing, places, marks = _correspondences(first, skins, ours, expression, detector, settings)

    population = statistics.Population(ours.vertices, ours.carry(first, first.identity, move_eyes=True))
    other = second_source.learn(second, ours, population, landing, detector)
    detector.close()
    print(
        f"second source   skin to surface {other.surface_distance * 10:.2f} mm on {other.matched_share:.1%} of "
        f"vertices, detector points {other.landmark_distance * 10:.2f} mm"
    )
    found = _identity(ours, population, other.population, settings)
    tensors = {
        "vertices": found.mean.astype(np.float32),
        "triangles": ours.triangles.astype(np.int32),
        "triangle_part": ours.triangle_part,
        "identity": found.components.astype(np.float16),
        "expression": eyelids.shut(first, ours, found.mean, expression).astype(np.float16),
        "landmarks68_triangle": marks.triangle.astype(np.int32),
        "landmarks68_barycentric": marks.barycentric.astype(np.float32),
        "dense_triangle": places.triangle.astype(np.int32),
        "dense_barycentric": places.barycentric.astype(np.float32),
        "dense_spread": landing.spread.astype(np.float32),
        "uv": layout.texture_coordinates(ours),
        "eye_centre": _eye_centres(ours, found.mean).astype(np.float32),
        "iris_left": ours.iris[0].astype(np.int32),
        "iris_right": ours.iris[1].astype(np.int32),
        "pupil": ours.pupil.astype(np.int32),
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "parts": json.dumps({name: index for index, name in enumerate(topology.PARTS)}),
        "expressions": json.dumps(first.expression_names),
        "identity_sources": CREDIT,
        "recipe": json.dumps(asdict(settings)),
    }
    write(out, tensors, metadata)


def _correspondences(
    head: assets.AnnotatedHead,
    skins: assets.Skins,
    ours: topology.Topology,
    expression: np.ndarray,
    detector: detectors.Detector,
    settings: Settings,
) -> tuple[correspondence.Landing, SurfacePoints, SurfacePoints]:
    """The dense points (landing at rest, places on our triangles) and the places of the 68 points.

    Places are looked up with the mouth open, where upper and lower lip are apart.
    """
    people = sitters.Sitters(head, skins, ours)
    opened = people.mean + people.expression(sitters.OPEN_MOUTH)
    aim = head.vertices[head.landmarks68[[27, 8]]].mean(axis=0) * [0, 1, 0] + [0, 1.5, 7.0]
    sittings = people.sittings(np.random.default_rng(settings.seed), settings.sitters)
    landing = correspondence.land(sittings, people.skin, opened, aim, detector)
    names = list(head.expression_names)
    our_opened = ours.vertices + sum(w * expression[names.index(n)] for n, w in sitters.OPEN_MOUTH.items())
    skin = np.flatnonzero(ours.triangle_part == topology.PARTS.index("skin"))
    closest = ClosestPoints(our_opened, ours.triangles[skin])

    def locate(points: np.ndarray) -> SurfacePoints:
        near = closest.query(points)
        triangle = skin[near.triangle]
        rest = np.einsum("pk,pkd->pd", near.barycentric, ours.vertices[ours.triangles[triangle]])
        return SurfacePoints(triangle, near.barycentric, rest, near.distance)

    places = locate(lips.towards_contact(head, opened, landing.position))
    marks = locate(opened[head.landmarks68])
    print(
        f"correspondence  a face in {landing.found} of {landing.shown} renders; "
        f"spread {landing.spread.mean() * 10:.1f} mm (median {np.median(landing.spread) * 10:.1f}); "
        f"to our surface {places.distance.mean() * 10:.2f} mm"
    )
    at_rest = correspondence.Landing(places.position, landing.spread, landing.shown, landing.found)
    return at_rest, places, marks


def _identity(
    ours: topology.Topology, first: statistics.Population, second: statistics.Population, settings: Settings
) -> statistics.Statistics:
    face = first.mean[ours.part_vertices("eye_left", "eye_right")].mean(axis=0) + [0, -2.5, 0]
    weight = statistics.importance(first.mean, ours.triangles, face)
    rng = np.random.default_rng(settings.seed)
    heads = statistics.align(statistics.mixture(first, second, rng, settings.samples), first.mean, weight)
    found = statistics.principal_components(heads, ours.mirror, weight, settings.components)
    shares = ", ".join(f"{k}: {found.share[k - 1]:.1%}" for k in (10, 40, settings.components))
    print(f"identity        {settings.components} components; variance explained {shares}")
    skin = ours.part_vertices("skin")
    near = skin[np.linalg.norm(first.mean[skin] - face, axis=1) < 10.5]
    unseen = np.random.default_rng(settings.seed + 1)
    for name, population in (("first", first), ("second", second)):
        test = statistics.align(population.sample(unseen, settings.held_out), found.mean, weight)
        left = statistics.fit_residual(test, found, weight, near)
        plain = np.linalg.norm(test[:, near] - found.mean[near], axis=2).mean(axis=1)
        print(
            f"held-out heads  {name} source: {left.mean() * 10:.2f} mm (worst {left.max() * 10:.2f}) on the face, "
            f"{plain.mean() * 10:.2f} mm from the mean alone"
        )
    return found


def _eye_centres(ours: topology.Topology, mean: np.ndarray) -> np.ndarray:
    """Centres (2, 3) of the eyeballs of the mean head, left first: with identity they only move and scale."""
    centres = []
    for side, name in enumerate(("eye_left", "eye_right")):
        where, piece = ours.pieces[name]
        then, now = piece.vertices.mean(axis=0), mean[where].mean(axis=0)
        growth = np.linalg.norm(mean[where] - now) / np.linalg.norm(piece.vertices - then)
        centres.append(now + growth * (ours.eye_centre[side] - then))
    return np.stack(centres)


def write(out: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write the file whole and print what the manifest records of it."""
    data = _in_order(save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata))
    if len(data) > MAX_BYTES:
        raise ValueError(f"the model takes {len(data)} bytes, more than {MAX_BYTES}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise write_fault(out.parent, fault) from fault
    write_atomic(out, data)
    print(f"written         {out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


def _in_order(data: bytes) -> bytes:
    """A safetensors file with its header sorted: the library's order of metadata is random, and hashes must repeat."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]
