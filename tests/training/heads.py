"""Pairs to train on in tests: the shipped face model, drawn plainly, with exact landmarks, flow and masks."""

from __future__ import annotations

import functools

import numpy as np

from engine.face import model as face_model
from engine.face.camera import FOCAL_PER_SIDE, Camera
from engine.raster import opencv
from engine.raster.opencv import Fragments
from engine.training.face_model.render import look_at, rotation, see
from engine.training.sample import Frame, Pair, Samples
from engine.training.studio.randomness import draws
from engine.training.studio.stage.scene import Parsing


class PlainHeads(Samples):
    """``people`` heads without end of pairs; no two splits share one."""

    def __init__(self, seed: int = 1, split: str = "train", people: int = 1000) -> None:
        self._seed, self._split, self._people = seed, split, people
        self._model = face_model.load()

    def describe(self) -> dict[str, object]:
        return {"kind": "plain heads", "seed": self._seed, "split": self._split, "people": self._people}

    def pair(self, number: int, size: int) -> Pair:
        random = draws(self._seed, self._split, "pair", number)
        person = int(random.integers(self._people))
        source, at_source = self._frame(person, random, size)
        driving, at_driving = self._frame(person, random, size)
        return Pair(source, driving, *self._flow(at_source, at_driving, size))

    def _frame(self, person: int, random: np.random.Generator, size: int) -> tuple[Frame, np.ndarray]:
        model, who = self._model, draws(self._seed, self._split, "person", person)
        identity = np.clip(who.normal(size=len(model.identity)), -2, 2).astype(np.float32)
        skin = np.array([210, 160, 135]) * who.uniform(0.35, 1.1)
        expression = (random.random(len(model.expression)) ** 4 * 0.8).astype(np.float32)
        head = model.deform(model.neutral(identity), expression)
        camera = Camera(size, size)
        turn = rotation(*(random.normal(size=3) * [18, 8, 5]))
        middle = head[model.vertices_of("skin")].mean(axis=0) + random.normal(size=3)
        pose = look_at(middle, turn, random.uniform(26, 32), camera)
        view = see(head, model.triangles, pose, camera)
        albedo = _paint(model.path)[view.fragments.triangle] * skin
        posed = pose.apply(head)
        seen, _ = camera.project(posed)
        points, _ = camera.project(pose.apply(model.landmarks68.at(head)))
        frame = Frame(
            image=view.image(albedo),
            person=person,
            matte=_matte(view.fragments.rows, view.fragments.columns, size),
            parsing=_parsing(view.fragments, size),
            landmarks68=points.astype(np.float32),
            visible68=np.ones(68, bool),
            dense=np.pad(camera.project(pose.apply(model.dense.at(head)))[0], ((0, 0), (0, 1))).astype(np.float32),
            dense_visible=np.ones(468, bool),
            identity=identity,
            expression=expression,
            gaze=np.zeros((2, 2), np.float32),
            rotation=turn.astype(np.float32),
            translation=pose.translation.astype(np.float32),
            focal=FOCAL_PER_SIDE,
        )
        return frame, np.concatenate([seen, posed[:, 2:]], axis=1)

    def _flow(self, source: np.ndarray, driving: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        triangles = self._model.triangles
        fragments = opencv.rasterise(driving[:, :2], -driving[:, 2], triangles, (size, size))
        back = fragments.gather(source[:, :2], triangles)
        here = np.stack([fragments.columns + 0.5, fragments.rows + 0.5], axis=1)
        flow, visible = np.zeros((size, size, 2), np.float16), np.zeros((size, size), bool)
        flow[fragments.rows, fragments.columns] = back - here
        visible[fragments.rows, fragments.columns] = ((back > 0) & (back < size)).all(axis=1)
        return flow, visible


@functools.cache
def _paint(path: object) -> np.ndarray:
    """(T, 3): how much of the skin's colour each triangle has; eyes, lips and teeth can be told apart."""
    model = face_model.load()
    paint = np.ones((len(model.triangles), 3), np.float32)
    for name, colour in {"eye_left": (1.2, 1.5, 1.8), "eye_right": (1.2, 1.5, 1.8), "teeth": (1.3, 1.6, 1.7)}.items():
        paint[model.triangles_of(name)] = colour
    stripes = np.sin(model.vertices[model.triangles].mean(axis=1) * 2.0).sum(axis=1, keepdims=True)
    return paint * (1 + 0.15 * stripes)  # something to see moving


def _matte(rows: np.ndarray, columns: np.ndarray, size: int) -> np.ndarray:
    large = np.zeros((2 * size, 2 * size), np.float32)
    large[rows, columns] = 255
    return large.reshape(size, 2, size, 2).mean(axis=(1, 3)).astype(np.uint8)


def _parsing(fragments: Fragments, size: int) -> np.ndarray:
    """Eyes, skin and background, read at every other row and column of the supersamples."""
    model = face_model.load()
    classes = np.full(len(model.triangles), Parsing.SKIN, np.uint8)
    classes[model.triangles_of("eye_left", "eye_right")] = Parsing.EYE
    large = np.zeros((2 * size, 2 * size), np.uint8)
    large[fragments.rows, fragments.columns] = classes[fragments.triangle]
    return large[::2, ::2].copy()
