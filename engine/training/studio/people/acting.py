"""How people move in front of a camera: speech, emotions, gaze, blinks and head turns as functions of time.

A :class:`Take` is drawn once and evaluated at any time, so its motion does not depend on a frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.face.maths import look, smoothstep
from engine.training.studio.people import expressions
from engine.training.studio.people.expressions import index, left, names, weights
from engine.training.studio.people.speech import Speech

PIVOT = np.array([0.0, -9.0, -1.5])  # head space, cm: the pivot of head turns
MAX_YAW, MAX_PITCH, MAX_ROLL = np.radians([60.0, 25.0, 20.0])
_MARGIN = 2.0  # seconds simulated before the first frame and after the last
_EYE_YAW, _EYE_PITCH = 0.55, 0.38  # radians an eye turns in the head
_LOOK_YAW, _LOOK_PITCH = 0.6, 0.45  # radians at which the face model's eyeLook shapes are at 1


@dataclass(frozen=True)
class Moment:
    """An instant of acting. The frame is the head's own at rest: cm, y up, facing +z, towards the camera.

    ``expression`` (E,) of :func:`expressions.names`, 0…1, the lids' following of the gaze among them; ``gaze`` (2, 2)
    radians as in ``scene.HeadState``; ``rotation`` (3, 3), ``translation`` (3,) carry the head (x → R x + t) from where
    it is at rest, ``body_rotation`` and ``body_translation`` the shoulders, which hardly turn with it, late, but lean
    with it.
    """

    expression: np.ndarray
    gaze: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    body_rotation: np.ndarray
    body_translation: np.ndarray


def moment(draws: np.random.Generator) -> Moment:
    """A random plausible moment."""
    return Take(draws, 0.0).at(np.zeros(1))[0]


def act(draws: np.random.Generator, frames: int, fps: float = 25.0) -> list[Moment]:
    """A sequence of ``frames`` moments of one person."""
    return Take(draws, frames / fps).at(np.arange(frames) / fps)


def blink(instant: Moment, draws: np.random.Generator) -> Moment:
    """The same moment with closed or nearly closed lids."""
    depth = 1.0 if draws.random() < 0.75 else draws.uniform(0.5, 1.0)
    shut, lids = instant.expression.astype(float), [*index("eyeBlink"), *index("eyeWide")]
    shut[list(index("eyeBlink"))] = depth
    expression = instant.expression.copy()
    expression[lids] = expressions.physical(shut[None])[0, lids]
    return replace(instant, expression=expression)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3): yaw towards the subject's left, pitch up, then roll towards the subject's right shoulder; radians."""
    c, s = np.cos(roll), np.sin(roll)
    return look(pitch, yaw) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


class _Track:
    """A value (D,) that goes from one target to the next in smooth steps of given lengths (minimum jerk: Flash and
    Hogan, "The coordination of arm movements", 1985)."""

    def __init__(self, start: np.ndarray) -> None:
        self._start, self._last = np.asarray(start, float), np.asarray(start, float)
        self._times: list[float] = []
        self._lengths: list[float] = []
        self._steps: list[np.ndarray] = []

    def go(self, time: float, length: float, target: np.ndarray) -> None:
        self._times.append(time)
        self._lengths.append(length)
        self._steps.append(target - self._last)
        self._last = np.asarray(target, float)

    @property
    def target(self) -> np.ndarray:
        return self._last

    def at(self, times: np.ndarray) -> np.ndarray:
        if not self._steps:
            return np.tile(self._start, (len(times), 1))
        x = np.clip((times[:, None] - np.array(self._times)) / np.array(self._lengths), 0, 1)
        return self._start + (x**3 * (10 - 15 * x + 6 * x * x)) @ np.array(self._steps)


class _Sway:
    """Smooth random motion (D,): sinusoids of 0.1…1.2 Hz, the slower the larger."""

    def __init__(self, draws: np.random.Generator, size: np.ndarray) -> None:
        count = 6
        self._frequency = draws.uniform(0.1, 1.2, (count, len(size)))
        self._phase = draws.uniform(0, 2 * np.pi, (count, len(size)))
        self._size = size * draws.uniform(0.5, 1.2, (count, len(size))) * 0.3 / (0.3 + self._frequency)

    def at(self, times: np.ndarray) -> np.ndarray:
        return (self._size * np.sin(2 * np.pi * self._frequency * times[:, None, None] + self._phase)).sum(axis=1)


class Take:
    """What one person does for ``duration`` seconds from time 0."""

    def __init__(self, draws: np.random.Generator, duration: float) -> None:
        self._start, self._end = -_MARGIN, duration + _MARGIN
        lively = draws.uniform(0.4, 1.2)
        self._side = 1 + draws.normal(0, 0.07) * left()
        self._rest = self._resting(draws)
        self._emotions = self._plan_emotions(draws)
        self._speech = Speech(draws, self._start, self._end) if draws.random() < 0.6 else None
        self._plan_head(draws, lively)
        self._sway = _Sway(draws, np.radians([1.6, 1.2, 1.0]) * lively)
        self._drift = _Sway(draws, np.array([0.25, 0.15, 0.3]) * lively)
        self._nods = self._plan_nods(draws, lively)
        self._tremor = _Sway(draws, np.radians([0.12, 0.12]))
        self._lean = _Sway(draws, np.array([1.2, 0.5, 1.6]) * 2.5 * draws.random() ** 2)
        self._body = (0.5 * draws.random() ** 2, 0.2 * draws.random() ** 2, 0.2 * draws.random() ** 2)
        self._lag, self._leaning = draws.uniform(0.1, 0.35), draws.uniform(0.5, 1.0)
        self._plan_blinks(draws)

    # Drawn once.

    @staticmethod
    def _resting(draws: np.random.Generator) -> np.ndarray:
        """(E,) a face at rest is not quite neutral: a slight mood, slightly lowered lids."""
        rest = weights(expressions.EMOTIONS[_pick_emotion(draws)]) * 0.25 * draws.random() ** 2
        rest[list(index("jawOpen"))] *= 0.3
        rest[list(index("eyeBlink"))] = 0.16 * draws.random() ** 2
        if draws.random() < 0.25:  # lips apart
            rest[list(index("jawOpen"))] += 0.08 * draws.random()
        return rest

    def _plan_emotions(self, draws: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights (E,) with the times at which they start, are full, start to fade and end."""
        plan = []
        for rate, shapes in ((0.26, None), (0.2, expressions.GESTURES)):
            time = self._start + draws.exponential(0.5 / rate) - 3
            while time < self._end:
                if shapes is None:
                    shape, strength = expressions.EMOTIONS[_pick_emotion(draws)], draws.beta(2.2, 1.3)
                    onset, apex, offset = draws.uniform(0.2, 0.7), draws.exponential(1.4) + 0.3, draws.uniform(0.4, 1.4)
                else:
                    shape, strength = shapes[draws.integers(len(shapes))], draws.uniform(0.3, 1)
                    onset, apex, offset = draws.uniform(0.12, 0.35), draws.exponential(0.35), draws.uniform(0.2, 0.5)
                vector = weights(shape) * strength * (1 + draws.normal(0, 0.12) * left())
                vector *= draws.uniform(0.75, 1.2, len(vector))
                if draws.random() < 0.5:
                    vector = _mirrored(vector)
                plan.append((vector, np.cumsum([time, onset, apex, offset])))
                time += onset + apex + draws.exponential(1 / rate)
        return plan

    def _plan_head(self, draws: np.random.Generator, lively: float) -> None:
        """Turns of the head and, a little before each, of the eyes; fixations in between."""
        home = _facing(draws)
        self._head, self._gaze = _Track(home), _Track(home[:2])
        self._saccades: list[tuple[float, float]] = []  # time, radians
        contact = draws.uniform(0.2, 0.9)
        self._distance = 1 / draws.uniform(1 / 250, 1 / 45)
        turn = self._start + draws.exponential(2.5)
        time = self._start
        while time < self._end:
            if time >= turn:
                far = draws.random() < 0.3
                near = _limited(home + draws.normal(0, 1, 3) * np.radians([13, 6, 4]) * lively)
                aim = _facing(draws) if far else near
                size = float(np.abs(aim - self._head.target).max())
                length = 0.3 + size / np.radians(130) * draws.uniform(0.8, 1.4)
                self._head.go(time + draws.uniform(0.04, 0.12), length, aim)
                goal = aim[:2] + draws.normal(0, 1, 2) * np.radians([4, 3])
                turn = time + length + draws.exponential(2.2 / lively)
            elif abs(self._head.target[0]) < np.radians(40) and draws.random() < contact:
                goal = draws.normal(0, np.radians(1.2), 2)  # into the camera
            else:
                goal = self._head.target[:2] + draws.normal(0, 1, 2) * np.radians([11, 6])
            jump = float(np.linalg.norm(goal - self._gaze.target))
            self._gaze.go(time, 0.021 + 0.0022 * np.degrees(jump), goal)  # the main sequence of saccades
            self._saccades.append((time, jump))
            fixation = float(np.clip(draws.lognormal(-0.6, 0.6), 0.12, 3))
            for when in time + np.sort(draws.uniform(0.1, fixation, draws.poisson(fixation))):  # microsaccades
                self._gaze.go(float(when), 0.025, goal + draws.normal(0, np.radians(0.3), 2))
            time += fixation

    def _plan_nods(self, draws: np.random.Generator, lively: float) -> list[tuple[float, float, float, np.ndarray]]:
        """(time, length, frequency, (yaw, pitch) amplitude) of nods and shakes."""
        nods = []
        time = self._start - 1 + draws.exponential(5)
        while time < self._end:
            size = np.radians(draws.uniform(2, 7)) * lively
            axis = np.array([0.1, 1.0, 0.0]) if draws.random() < 0.7 else np.array([1.4, 0.1, 0.0])
            nods.append((time, draws.uniform(0.6, 1.6), draws.uniform(1.2, 2.4), size * axis))
            time += draws.exponential(5 / lively) + 1
        return nods

    def _plan_blinks(self, draws: np.random.Generator) -> None:
        """Spontaneous blinks (10…28 a minute) and blinks with half of the large gaze shifts; lids close in 70…110 ms,
        and open in about twice that (Evinger et al., "Eyelid movements", 1991)."""
        pause = 60 / draws.uniform(10, 28)
        times = [time + 0.02 for time, size in self._saccades if size > np.radians(18) and draws.random() < 0.55]
        time = self._start + draws.uniform(0, pause)
        while time < self._end:
            times.append(time)
            time += 0.5 + draws.gamma(2.0, (pause - 0.5) / 2)
        kept: list[float] = []
        for time in sorted(times):
            if not kept or time - kept[-1] > 0.45:
                kept.append(time)
        count = len(kept)
        close, hold = draws.uniform(0.07, 0.11, count), draws.uniform(0.01, 0.05, count)
        opening = close * draws.uniform(1.8, 2.8, count)
        depth = np.where(draws.random(count) < 0.85, 1.0, draws.uniform(0.5, 0.9, count))
        self._blinks = np.cumsum(np.stack([np.array(kept), close, hold, opening]), axis=0), depth

    # Evaluated at any time.

    def at(self, times: np.ndarray) -> list[Moment]:
        """The moments at these times (T,) in seconds."""
        times = np.asarray(times, float)
        head, late = self._pose(times), self._pose(times - self._lag)
        drift, late_drift, lean = self._drift.at(times), self._drift.at(times - self._lag), self._lean.at(times)
        turns = [rotation(*angles) for angles in head]
        gaze = self._eyes(times, np.array(turns))
        expression = self._expression(times, gaze.mean(axis=1))
        moments = []
        for k, turn in enumerate(turns):
            body = rotation(*(late[k] * self._body))
            place = PIVOT + drift[k] + lean[k]
            body_place = PIVOT + (drift[k] + late_drift[k]) / 2 + lean[k] * self._leaning
            moments.append(
                Moment(
                    expression=expression[k].astype(np.float32),
                    gaze=gaze[k],
                    rotation=turn,
                    translation=place - turn @ PIVOT,
                    body_rotation=body,
                    body_translation=body_place - body @ PIVOT,
                )
            )
        return moments

    def _pose(self, times: np.ndarray) -> np.ndarray:
        """(T, 3) yaw, pitch, roll."""
        pose = self._head.at(times) + self._sway.at(times)
        for time, length, frequency, size in self._nods:
            x = np.clip((times - time) / length, 0, 1)
            pose += (np.sin(np.pi * x) ** 2 * np.sin(2 * np.pi * frequency * x * length))[:, None] * size
        if self._speech is not None:
            pose[:, 1] -= np.radians(2.5) * self._speech.stress(times)  # the head nods on stressed syllables
        return _limited(pose)

    def _eyes(self, times: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """(T, 2, 2) gaze in the head: the eyes hold their target while the head turns (vestibulo-ocular reflex)."""
        yaw, pitch = (self._gaze.at(times) + self._tremor.at(times)).T
        aim = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1)
        x, y, z = np.einsum("tji,tj->it", turns, aim)
        pitch = np.clip(np.arcsin(np.clip(y, -1, 1)), -_EYE_PITCH, _EYE_PITCH)
        yaw = np.clip(np.arctan2(x, z), -_EYE_YAW, _EYE_YAW)
        vergence = 3.1 / self._distance
        return np.stack([np.stack([pitch, yaw - vergence], 1), np.stack([pitch, yaw + vergence], 1)], axis=1)

    def _expression(self, times: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        """(T, E)."""
        total = np.tile(self._rest, (len(times), 1))
        for vector, (begin, whole, fade, gone) in self._emotions:
            rise = smoothstep((times - begin) / (whole - begin))
            fall = smoothstep((gone - times) / (gone - fade))
            total = np.maximum(total, np.minimum(rise, fall)[:, None] * vector) + 0.15 * np.minimum(
                total, np.minimum(rise, fall)[:, None] * vector
            )
        if self._speech is not None:
            spoken, busy = self._speech.mouth(times)
            lips = np.array([name.startswith(("mouth", "jaw")) for name in names()])
            total = np.where(lips, total * (1 - 0.55 * busy[:, None]), total) + spoken
            stress = self._speech.stress(times)[:, None]
            total += 0.3 * stress * weights({"browInnerUp": 0.6, "browOuterUp": 0.6}) * self._speech.brows
        total *= self._side
        pitch, yaw = gaze.T
        for name, amount in (
            *(("eyeLookUp", pitch / _LOOK_PITCH), ("eyeLookDown", -pitch / _LOOK_PITCH)),
            *(("eyeLookOut_L", yaw / _LOOK_YAW), ("eyeLookIn_R", yaw / _LOOK_YAW)),
            *(("eyeLookIn_L", -yaw / _LOOK_YAW), ("eyeLookOut_R", -yaw / _LOOK_YAW)),
        ):
            total[:, list(index(name))] = np.clip(amount, 0, 1)[:, None]
        lids = list(index("eyeBlink"))
        total[:, lids] = np.maximum(total[:, lids], self._lids(times)[:, None])
        return expressions.physical(total)

    def _lids(self, times: np.ndarray) -> np.ndarray:
        """(T,) how far blinks close the eyes."""
        (begin, shut, release, gone), depth = self._blinks
        if not len(begin):
            return np.zeros(len(times))
        t = times[:, None]
        rise = smoothstep((t - begin) / (shut - begin))
        fall = smoothstep((gone - t) / (gone - release)) ** 1.5
        return (np.minimum(rise, fall) * depth).max(axis=1)


def _facing(draws: np.random.Generator) -> np.ndarray:
    """(3,) direction the head faces: mostly near the camera, sometimes anywhere within the limits."""
    if draws.random() < 0.6:
        yaw = draws.normal(0, np.radians(13))
    else:
        yaw = draws.uniform(-1, 1) * MAX_YAW * 1.02
    pitch = draws.normal(np.radians(-1), np.radians(8)) if draws.random() < 0.9 else draws.uniform(-1, 1) * MAX_PITCH
    roll = draws.normal(0.08 * yaw, np.radians(5)) if draws.random() < 0.9 else draws.uniform(-1, 1) * MAX_ROLL
    return _limited(np.array([yaw, pitch, roll]))


def _limited(pose: np.ndarray) -> np.ndarray:
    """(…, 3) yaw, pitch and roll within their limits, compressed smoothly near them."""
    limit = np.array([MAX_YAW, MAX_PITCH, MAX_ROLL])
    x = pose / limit
    over = np.abs(x) > 0.9
    return limit * np.where(over, np.sign(x) * (0.9 + 0.1 * np.tanh((np.abs(x) - 0.9) / 0.1)), x)


def _pick_emotion(draws: np.random.Generator) -> str:
    share = np.array(list(expressions.EMOTION_SHARE.values()))
    return list(expressions.EMOTION_SHARE)[draws.choice(len(share), p=share / share.sum())]


def _mirrored(vector: np.ndarray) -> np.ndarray:
    """(E,) with left and right exchanged."""
    swapped = {"_L": "_R", "_R": "_L"}
    sides = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
    partners = [sides.get(name, name[:-2] + swapped.get(name[-2:], name[-2:])) for name in names()]
    return vector[[names().index(partner) for partner in partners]]
