"""Samples to test the data's plumbing on: plainly shaded heads of the shipped face model."""

from __future__ import annotations

import numpy as np

from engine.face import model as face_model
from engine.face.camera import FOCAL_PER_SIDE, Camera
from engine.raster.opencv import rasterise
from engine.training.face_model.render import look_at, rotation, see
from engine.training.sample import Frame, Pair, Samples
from engine.training.studio.randomness import draws


def known(label: np.ndarray | None) -> np.ndarray:
    """A label that must be there."""
    assert label is not None
    return label


class PlainHeads(Samples):
    """Pairs of one head each; every seventh pair shows nobody. ``last``: the number after which it refuses to go on."""

    def __init__(self, seed: int = 3, last: int | None = None) -> None:
        self.seed, self.last = seed, last

    def pair(self, number: int, size: int) -> Pair:
        if self.last is not None and number > self.last:
            raise RuntimeError(f"pair {number} was asked for")
        if number % 7 == 6:
            nobody = Frame(draws(self.seed, number).integers(0, 256, (size, size, 3), np.uint8), -1, face=False)
            return Pair(nobody, nobody)
        identity = draws(self.seed, number // 2).normal(size=len(face_model.load().identity))
        source, (here, _) = self._frame(identity, number, 0, size)
        driving, (there, fragments) = self._frame(identity, number, 1, size)
        triangles = face_model.load().triangles
        flow = fragments.image(fragments.gather(here - there, triangles).astype(np.float16))
        return Pair(source, driving, flow, fragments.image(np.ones(len(fragments.pixel), bool)))

    def describe(self) -> dict[str, object]:
        return {"kind": "plain heads", "seed": self.seed}

    def _frame(self, identity: np.ndarray, number: int, moment: int, size: int):
        model, draw = face_model.load(), draws(self.seed, "frame", number, moment)
        expression = np.zeros(len(model.expression))
        expression[model.expression_index("jawOpen")] = draw.uniform(0, 0.6)
        turn = rotation(draw.uniform(-30, 30), draw.uniform(-10, 10))
        vertices = model.deform(model.neutral(identity.astype(np.float32)), expression)
        camera = Camera(size, size)
        pose = look_at(vertices.mean(axis=0), turn, 36.0, camera)
        view = see(vertices, model.triangles, pose, camera)
        pixels, depth = camera.project(pose.apply(vertices))
        fragments = rasterise(pixels, depth, model.triangles, (size, size))
        span = np.ptp(model.vertices, axis=0)
        place = (fragments.gather(model.vertices, model.triangles) - model.vertices.min(axis=0)) / span
        frame = Frame(
            image=view.image(np.full((len(view.light), 3), 170, np.float32)),
            person=number // 2,
            matte=fragments.image(np.full(len(fragments.pixel), 255, np.uint8)),
            parsing=fragments.image(np.ones(len(fragments.pixel), np.uint8)),
            pncc=fragments.image(place.astype(np.float16)),
            depth=fragments.image(fragments.depth.astype(np.float16), np.inf),
            landmarks68=model.landmarks68.at(pixels).astype(np.float32),
            visible68=np.ones(68, bool),
            dense=np.concatenate([model.dense.at(pixels), np.zeros((468, 1))], axis=1).astype(np.float32),
            dense_visible=np.ones(468, bool),
            identity=identity.astype(np.float32),
            expression=expression.astype(np.float32),
            gaze=np.zeros((2, 2), np.float32),
            rotation=pose.rotation.astype(np.float32),
            translation=pose.translation.astype(np.float32),
            focal=FOCAL_PER_SIDE,
        )
        return frame, (pixels, fragments)
