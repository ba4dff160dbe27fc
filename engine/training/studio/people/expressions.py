"""Expressions under ARKit's names: visemes, emotions and small idle gestures.

Tables name a pair of sides once: ``mouthSmile`` stands for its ``_L`` and ``_R``.
"""

from __future__ import annotations

import functools

import numpy as np

from engine.face import model as face_model

Shape = dict[str, float]

# Fifteen visemes (the set of MPEG-4 FAP 1 as speech engines extend it), as the lips and the jaw show them.
VISEMES: dict[str, Shape] = {
    "silence": {},
    "PP": {"jawOpen": 0.06, "mouthClose": 0.06, "mouthPress": 0.42, "mouthRollLower": 0.16, "mouthRollUpper": 0.12},
    "FF": {"jawOpen": 0.08, "mouthRollLower": 0.34, "mouthUpperUp": 0.22, "mouthShrugLower": 0.12},
    "TH": {"jawOpen": 0.14, "mouthLowerDown": 0.20, "mouthUpperUp": 0.12, "mouthStretch": 0.06},
    "DD": {"jawOpen": 0.12, "mouthLowerDown": 0.22, "mouthUpperUp": 0.10, "mouthStretch": 0.08},
    "KK": {"jawOpen": 0.18, "mouthLowerDown": 0.16, "mouthUpperUp": 0.10},
    "CH": {"jawOpen": 0.08, "mouthFunnel": 0.52, "mouthPucker": 0.22, "mouthLowerDown": 0.12},
    "SS": {"jawOpen": 0.04, "mouthStretch": 0.26, "mouthLowerDown": 0.30, "mouthUpperUp": 0.16, "mouthDimple": 0.10},
    "NN": {"jawOpen": 0.12, "mouthLowerDown": 0.14, "mouthUpperUp": 0.08},
    "RR": {"jawOpen": 0.12, "mouthFunnel": 0.36, "mouthPucker": 0.14},
    "aa": {"jawOpen": 0.46, "mouthLowerDown": 0.24, "mouthUpperUp": 0.14, "mouthStretch": 0.06},
    "E": {"jawOpen": 0.28, "mouthStretch": 0.24, "mouthLowerDown": 0.28, "mouthUpperUp": 0.18, "mouthSmile": 0.08},
    "ih": {"jawOpen": 0.16, "mouthStretch": 0.30, "mouthSmile": 0.14, "mouthLowerDown": 0.22, "mouthUpperUp": 0.16},
    "oh": {"jawOpen": 0.36, "mouthFunnel": 0.48, "mouthPucker": 0.18},
    "ou": {"jawOpen": 0.16, "mouthFunnel": 0.22, "mouthPucker": 0.62},
}
CONSONANTS = ("PP", "FF", "TH", "DD", "KK", "CH", "SS", "NN", "RR")
CONSONANT_SHARE = (0.17, 0.07, 0.06, 0.22, 0.11, 0.05, 0.13, 0.11, 0.08)  # approximately as often as in spoken English
VOWELS = ("aa", "E", "ih", "oh", "ou")
VOWEL_SHARE = (0.28, 0.24, 0.22, 0.14, 0.12)

# After Ekman's prototypes, with several smiles; weights at full strength.
EMOTIONS: dict[str, Shape] = {
    "smile": {"mouthSmile": 0.85, "cheekSquint": 0.6, "eyeSquint": 0.35, "mouthUpperUp": 0.15, "mouthDimple": 0.15},
    "open smile": {
        **{"mouthSmile": 0.95, "cheekSquint": 0.7, "eyeSquint": 0.4, "mouthUpperUp": 0.35},
        **{"mouthLowerDown": 0.2, "jawOpen": 0.12},
    },
    "polite smile": {"mouthSmile": 0.4, "mouthDimple": 0.25, "mouthPress": 0.15},
    "grin": {  # teeth together
        **{"mouthSmile": 0.9, "cheekSquint": 0.65, "eyeSquint": 0.35, "mouthUpperUp": 0.4},
        **{"mouthLowerDown": 0.45, "mouthDimple": 0.1},
    },
    "laugh": {
        **{"mouthSmile": 1.0, "cheekSquint": 0.9, "eyeSquint": 0.65, "mouthUpperUp": 0.5, "jawOpen": 0.5},
        **{"mouthLowerDown": 0.3, "browInnerUp": 0.1, "noseSneer": 0.12},
    },
    "surprise": {"browInnerUp": 0.9, "browOuterUp": 0.85, "eyeWide": 0.8, "jawOpen": 0.4, "mouthFunnel": 0.12},
    "anger": {
        **{"browDown": 0.95, "eyeSquint": 0.4, "noseSneer": 0.4, "mouthPress": 0.55, "mouthFrown": 0.3},
        **{"jawForward": 0.15, "eyeWide": 0.2},
    },
    "shout": {
        **{"browDown": 0.9, "noseSneer": 0.6, "jawOpen": 0.65, "mouthStretch": 0.45, "mouthUpperUp": 0.5},
        **{"mouthLowerDown": 0.6, "eyeSquint": 0.4},
    },
    "sadness": {
        **{"browInnerUp": 0.9, "browDown": 0.2, "mouthFrown": 0.7, "mouthShrugLower": 0.5},
        **{"eyeSquint": 0.15, "mouthRollLower": 0.1},
    },
    "fear": {"browInnerUp": 0.9, "browOuterUp": 0.4, "eyeWide": 0.85, "mouthStretch": 0.6, "jawOpen": 0.25},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.5, "eyeSquint": 0.45, "mouthFrown": 0.35},
    "contempt": {"mouthSmile_L": 0.45, "mouthDimple_L": 0.6, "mouthPress_L": 0.3, "eyeSquint": 0.2, "mouthLeft": 0.15},
    "clenched": {"mouthStretch": 0.6, "mouthLowerDown": 0.55, "mouthUpperUp": 0.4, "browDown": 0.3},
    "doubt": {"browOuterUp_R": 0.8, "browInnerUp": 0.2, "browDown_L": 0.5, "mouthFrown": 0.3, "mouthPress": 0.3},
    "attention": {"browDown": 0.35, "eyeSquint": 0.3, "mouthPress": 0.15},
    "interest": {"browInnerUp": 0.4, "browOuterUp": 0.45, "eyeWide": 0.2, "mouthSmile": 0.12},
    "pain": {
        **{"browDown": 0.8, "eyeSquint": 0.8, "eyeBlink": 0.55, "cheekSquint": 0.6, "noseSneer": 0.5},
        **{"mouthStretch": 0.5, "mouthUpperUp": 0.35, "jawOpen": 0.1},
    },
    "kiss": {"mouthPucker": 0.9, "mouthFunnel": 0.15},
    "weary": {"eyeBlink": 0.35, "browInnerUp": 0.2, "mouthFrown": 0.15},
}
EMOTION_SHARE = {
    **{"smile": 3.0, "open smile": 3.0, "polite smile": 2.0, "grin": 4.0, "laugh": 1.8, "surprise": 1.4, "anger": 1.2},
    **{"shout": 0.8, "sadness": 1.2, "fear": 0.7, "disgust": 0.8, "contempt": 0.7, "clenched": 0.8, "doubt": 0.8},
    **{"attention": 1.4, "interest": 1.4, "pain": 0.5, "kiss": 0.4, "weary": 0.8},
}

GESTURES: tuple[Shape, ...] = (
    {"mouthPress": 0.6, "mouthRollLower": 0.2},
    {"mouthRollLower": 0.7, "mouthRollUpper": 0.5, "jawOpen": 0.05},
    {"mouthRollLower": 0.6},
    {"mouthRollUpper": 0.6},
    {"mouthLeft": 0.55},
    {"mouthRight": 0.55},
    {"jawLeft": 0.5, "jawOpen": 0.08},
    {"jawRight": 0.5, "jawOpen": 0.08},
    {"jawForward": 0.6},
    {"mouthShrugLower": 0.6, "mouthShrugUpper": 0.5, "mouthFrown": 0.2},
    {"mouthShrugUpper": 0.5},
    {"cheekPuff": 0.7, "mouthPress": 0.3},
    {"noseSneer": 0.6},
    {"noseSneer_L": 0.6, "mouthUpperUp_L": 0.3},
    {"browOuterUp": 0.7, "browInnerUp": 0.5},
    {"browInnerUp": 0.6},
    {"browOuterUp_L": 0.7},
    {"browDown": 0.5},
    {"mouthDimple": 0.6},
    {"mouthDimple_R": 0.5, "mouthSmile_R": 0.25},
    {"mouthFunnel": 0.6, "jawOpen": 0.12},
    {"mouthPucker": 0.6},
    {"mouthStretch": 0.5},
    {"jawOpen": 0.5},
    {"jawOpen": 0.75, "eyeSquint": 0.4, "eyeBlink": 0.5},  # a yawn
    {"cheekSquint_L": 0.7, "eyeBlink_L": 0.9, "mouthSmile_L": 0.3},  # a wink
    {"eyeBlink": 0.95},
    {"mouthLowerDown": 0.6, "mouthUpperUp": 0.5},
)


@functools.cache
def names() -> tuple[str, ...]:
    """The names of the shipped face model's expressions, the order of every weight vector here."""
    return face_model.load().expression_names


@functools.cache
def index(name: str) -> tuple[int, ...]:
    """Indices of a name: both sides if it has sides."""
    return tuple(k for k, full in enumerate(names()) if full == name or full[:-2] == name and full[-2:] in ("_L", "_R"))


def weights(shape: Shape) -> np.ndarray:
    """(E,) weights of a table's entry."""
    vector = np.zeros(len(names()))
    for name, weight in shape.items():
        vector[list(index(name))] = weight
    return vector


@functools.cache
def left() -> np.ndarray:
    """(E,) +1 for the subject's left side, −1 for the right, 0 for the middle."""
    return np.array([{"_L": 1.0, "_R": -1.0}.get(name[-2:], 0.0) for name in names()])


def physical(expression: np.ndarray) -> np.ndarray:
    """Limits weights (T, E) to what a face can do: 0…1, lips that close no further than the jaw opens, no jaw to
    both sides, no smile around a pucker, lids that meet but do not cross."""
    e = np.clip(expression, 0, None)

    def of(name: str) -> np.ndarray:
        return e[:, list(index(name))]

    for one, other in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")):
        both = np.minimum(of(one), of(other))
        e[:, list(index(one))] -= both
        e[:, list(index(other))] -= both
    rounded = np.clip(np.maximum(of("mouthPucker"), of("mouthFunnel")), 0, 1)
    for name in ("mouthSmile", "mouthStretch", "mouthDimple", "mouthFrown"):
        e[:, list(index(name))] *= 1 - 0.7 * rounded
    wide = of("jawOpen").clip(0, 1)
    for name in ("mouthPress", "mouthRollLower", "mouthRollUpper", "mouthPucker", "cheekPuff"):
        e[:, list(index(name))] *= 1 - 0.75 * wide
    closed = of("eyeBlink").clip(0, 1)
    e[:, list(index("eyeWide"))] *= 1 - closed
    lowered = np.clip(0.58 * of("eyeLookDown") + 0.26 * of("eyeSquint"), 0, 1)  # shares of the eye these close
    e[:, list(index("eyeBlink"))] *= 1 - lowered * closed
    e[:, list(index("mouthClose"))] = np.minimum(of("mouthClose"), of("jawOpen"))
    return np.clip(e, 0, 1)
