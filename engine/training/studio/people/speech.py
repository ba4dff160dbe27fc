"""The mouth of a talking person: a sequence of blended visemes.

Co-articulation by dominance functions (Cohen and Massaro, "Modeling coarticulation in synthetic visual speech", 1993):
each sound pulls the mouth towards its shape around its time, strongly in the weights it needs, weakly elsewhere.
"""

from __future__ import annotations

import functools

import numpy as np

from engine.training.studio.people.expressions import (
    CONSONANT_SHARE,
    CONSONANTS,
    VISEMES,
    VOWEL_SHARE,
    VOWELS,
    index,
    weights,
)

_YIELD = 0.22  # dominance of a sound over weights it does not use


@functools.cache
def _tables() -> tuple[dict[str, int], np.ndarray, np.ndarray]:
    """Number of each viseme, shapes (V, E), dominance (V, E)."""
    shapes = np.stack([weights(shape) for shape in VISEMES.values()])
    dominance = np.where(shapes > 0, 1.0, _YIELD)
    dominance[list(VISEMES).index("silence")] = 0.6
    for name in ("PP", "FF"):  # missing lip closures are visible
        row = list(VISEMES).index(name)
        dominance[row] *= 2.5
        dominance[row, list(index("jawOpen"))] = 2.5
    return {name: k for k, name in enumerate(VISEMES)}, shapes, dominance


class Speech:
    """Phrases, words and syllables between two times in seconds."""

    def __init__(self, draws: np.random.Generator, start: float, end: float) -> None:
        number, _, _ = _tables()
        rate = draws.uniform(3.2, 5.6)  # syllables a second
        self._effort = draws.uniform(0.6, 1.5)  # from mumbling to very clear
        self.brows = draws.uniform(0, 1)
        sounds: list[tuple[float, float, int, float]] = []  # middle, length, viseme, loudness
        stresses: list[float] = []
        phrases: list[tuple[float, float]] = []
        time = start - draws.uniform(0, 2)
        while time < end:
            began = time
            for _ in range(draws.integers(3, 14)):
                stressed = draws.random() < 0.3
                length = draws.uniform(0.75, 1.25) * (1.25 if stressed else 0.95) / rate
                loud = draws.uniform(0.6, 1.0) * (1.25 if stressed else 0.9)
                parts = self._syllable(draws)
                shares = np.array([1.6 if name in VOWELS else 1.0 for name in parts])
                shares = length * shares / shares.sum()
                for name, share in zip(parts, shares):
                    sounds.append((time + share / 2, share, number[name], loud))
                    if stressed and name in VOWELS:
                        stresses.append(time + share / 2)
                    time += share
            phrases.append((began, time))
            pause = draws.uniform(0.2, 0.5) if draws.random() < 0.7 else draws.exponential(1.5) + 0.5
            for middle in np.arange(time + 0.06, time + pause, 0.12):
                sounds.append((float(middle), 0.12, number["silence"], 1.0))
            time += pause
        self._middle, self._length, viseme, self._loud = (np.array(column) for column in zip(*sounds))
        self._viseme = viseme.astype(int)
        self._stresses, self._phrases = np.array(stresses), np.array(phrases)

    @staticmethod
    def _syllable(draws: np.random.Generator) -> list[str]:
        parts = [VOWELS[draws.choice(len(VOWELS), p=VOWEL_SHARE)]]
        if draws.random() < 0.88:
            parts.insert(0, CONSONANTS[draws.choice(len(CONSONANTS), p=CONSONANT_SHARE)])
        if draws.random() < 0.4:
            parts.append(CONSONANTS[draws.choice(len(CONSONANTS), p=CONSONANT_SHARE)])
        return parts

    def mouth(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, E) weights and (T,) how much speech controls the mouth, 0…1."""
        _, shapes, dominance = _tables()
        near = (self._middle > times.min() - 1) & (self._middle < times.max() + 1)
        middle, width, viseme = self._middle[near], 0.36 * self._length[near] + 0.015, self._viseme[near]
        pull = np.exp(-0.5 * ((times[:, None] - middle) / width) ** 2) + 1e-9
        wanted = shapes[viseme] * (self._effort * self._loud[near])[:, None]
        total = pull @ dominance[viseme]
        spoken = (pull @ (dominance[viseme] * wanted)) / total
        began, ended = self._phrases.T
        t = times[:, None]
        inside = np.clip(np.minimum((t - began) / 0.15 + 0.8, (ended - t) / 0.15 + 0.8), 0, 1).max(axis=1)
        return spoken, inside

    def stress(self, times: np.ndarray) -> np.ndarray:
        """(T,) 0…1, peaks at stressed syllables."""
        if not len(self._stresses):
            return np.zeros(len(times))
        return np.exp(-0.5 * ((times[:, None] - self._stresses) / 0.12) ** 2).max(axis=1)
