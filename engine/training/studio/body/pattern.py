"""Textures of hair: strands drawn once as brightness and coverage, then coloured for a sitter by a lookup table."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from engine.training.studio.stage.scene import Texture

CARDS = 8  # cards side by side in one texture
_WIDTH, _HEIGHT = 384, 192
_LEVELS, _STRANDS = 256, 16


class Pattern:
    """``coverage`` (h, w) uint8, ``code`` (h, w) uint16: 256 levels of brightness, the middle one the hair's own
    colour, times 16 strand numbers, which decide the strands that are grey."""

    def __init__(self, brightness: np.ndarray, coverage: np.ndarray, strand: np.ndarray) -> None:
        level = (brightness.clip(0, 1) * (_LEVELS - 1)).astype(np.uint16)
        number = (strand.clip(0, 0.999) * _STRANDS).astype(np.uint16)
        self.code = np.ascontiguousarray(level + number * _LEVELS)
        self.coverage = (coverage.clip(0, 1) * 255).astype(np.uint8)


def coloured(pattern: Pattern, colour: np.ndarray, grey: float) -> Texture:
    """The pattern as a texture: ``colour`` (3,) linear, a share ``grey`` of the strands without pigment."""
    gain = np.exp(1.9 * (np.linspace(0, 1, _LEVELS) - 0.5))[:, None]
    own, white = display(colour * gain), display(faded(colour) * (0.6 + 0.4 * gain))
    table = np.empty((_STRANDS, _LEVELS, 4), np.uint8)
    for number in range(_STRANDS):
        share = np.clip(grey * _STRANDS - number, 0, 1)
        table[number, :, :3] = own + 0.7 * share * (white.astype(float) - own)
    rgba = table.reshape(-1, 4).view(np.uint32)[:, 0][pattern.code].view(np.uint8).reshape(*pattern.code.shape, 4)
    rgba[..., 3] = pattern.coverage
    return Texture(rgba)


@functools.lru_cache(maxsize=16)
def cards(kind: str, body: bool) -> Pattern:
    """CARDS cards, root at the top, of ``straight``, ``wavy``, ``curly``, ``coily`` or few (``tufts``) strands: a
    closed ``body`` of the hair, ragged at its sides and tips, or loose strands to go over it."""
    draws = np.random.Generator(np.random.Philox(key=number_of(kind, int(body))))
    cell = _WIDTH // CARDS
    make = {"coily": _coily_card, "tufts": _tuft}.get(kind)
    parts = [_card(kind, body, cell, draws) if make is None else make(cell, draws) for _ in range(CARDS)]
    return Pattern(*(np.concatenate(fields, axis=1) for fields in zip(*parts)))


def _card(kind: str, body: bool, width: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strands drawn over each other, later ones on top."""
    brightness = np.full((_HEIGHT, width), 0.4, np.float32)
    strand = np.full((_HEIGHT, width), 0.5, np.float32)
    coverage = np.zeros((_HEIGHT, width), np.float32)
    rows = np.arange(_HEIGHT) / (_HEIGHT - 1)
    wave, turns = {"straight": (0.8, 0.7), "wavy": (3.0, 2.2), "curly": (4.5, 5.0)}[kind]
    shared = draws.uniform(0, 2 * np.pi)
    for _ in range(width * (7 if body else 1)):
        middle = draws.uniform(0.03, 0.97) if body else draws.normal(0.5, 0.2)
        bend = wave * np.sin(2 * np.pi * turns * draws.uniform(0.9, 1.1) * rows + shared + draws.normal(0, 0.5))
        gather = 1 - (0.12 if body else 0.4) * rows ** draws.uniform(1.0, 2.5)  # tips converge
        column = (0.5 + (middle - 0.5) * gather) * width + bend * (0.3 + 0.7 * rows) + draws.normal(0, 1.2) * rows
        length = draws.uniform(0.86, 1.0) if body else np.clip(draws.beta(4, 1.6), 0.35, 1)
        shade, number = draws.normal(0.5, 0.12), draws.random()
        at = np.round(column).astype(int)
        inside = (at >= 1) & (at < width - 1) & (rows < length)
        r, c = np.flatnonzero(inside), at[inside]
        coverage[r, c] = np.maximum(coverage[r, c], np.clip((length - rows[r]) / (0.04 if body else 0.15), 0, 1))
        brightness[r, c] = shade + 0.04 * np.sin(9 * rows[r] + 20 * number)
        strand[r, c] = number
    if body:
        coverage = cv2.morphologyEx(coverage, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    else:  # loose hair becomes visible at some distance from its root
        coverage *= np.clip(rows / 0.25, 0, 1)[:, None]
    coverage = cv2.GaussianBlur(coverage, (0, 0), 0.7) * 1.3
    coverage[:, [0, -1]] = 0
    return cv2.GaussianBlur(brightness, (0, 0), 0.5), coverage, strand


def _coily_card(width: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tuft without direction or straight edges."""
    y, x = np.mgrid[0:_HEIGHT, 0:width]
    from_middle = np.hypot((x / width - 0.5) / 0.46, np.maximum(y / _HEIGHT - 0.45, 0) / 0.5)
    noise = _grain(draws, (_HEIGHT, width), 1.0) * 0.6 + _grain(draws, (_HEIGHT, width), 3.5) * 0.6
    coverage = np.clip((1 - from_middle) * 3 + 0.9 * noise, 0, 1)
    return 0.5 + 0.12 * noise, coverage, draws.random((_HEIGHT, width)).astype(np.float32)


def _tuft(width: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A few thick hairs, bent, soft at both ends."""
    brightness, strand = np.full((_HEIGHT, width), 0.5, np.float32), np.full((_HEIGHT, width), 0.5, np.float32)
    coverage = np.zeros((_HEIGHT, width), np.float32)
    rows = np.arange(_HEIGHT) / (_HEIGHT - 1)
    for _ in range(8):
        column = width * (draws.uniform(0.12, 0.88) + draws.normal(0, 0.18) * rows**2)
        shade, number, length = draws.normal(0.5, 0.15), draws.random(), draws.uniform(0.65, 1.0)
        for step in range(5):
            at = np.round(column + step).astype(int)
            r = np.flatnonzero((at >= 1) & (at < width - 1) & (rows < length))
            coverage[r, at[r]] = np.clip(np.minimum(rows[r] / 0.3, (length - rows[r]) / 0.3), 0, 1)
            brightness[r, at[r]], strand[r, at[r]] = shade, number
    return brightness, cv2.GaussianBlur(coverage, (0, 0), 1.0), strand


@functools.lru_cache(maxsize=8)
def mass(flow: str) -> tuple[np.ndarray, np.ndarray]:
    """Brightness and strand number (s, s) of a closed mass of hair in the shell's chart, whose middle is the crown and
    whose top is the nape: strands run ``radial``ly, ``across``, ``along`` or in ``coils``."""
    size = 384
    draws = np.random.Generator(np.random.Philox(key=number_of(flow, 0)))
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size - 0.5
    wobble = _grain(draws, (size, size), 20.0) * 0.006
    if flow == "coils":
        fine = _grain(draws, (size, size), 1.0)
        return 0.5 + 0.1 * fine + 0.06 * _grain(draws, (size, size), 4.0), draws.random((size, size)).astype(np.float32)
    if flow == "radial":
        place = (np.arctan2(x, y) / (2 * np.pi) + 0.5 + wobble * 0.5) * 1400
    else:
        place = ((y if flow == "across" else x) + 0.5 + wobble) * 700
    table = cv2.GaussianBlur(draws.normal(0, 1, (1, 4096)).astype(np.float32), (0, 0), 0.8)[0] * 1.6
    clumps = cv2.GaussianBlur(draws.normal(0, 1, (1, 4096)).astype(np.float32), (0, 0), 6)[0] * 3
    index = place.astype(int) % 4096
    return 0.5 + 0.10 * table[index] + 0.04 * clumps[index], draws.random(1366).astype(np.float32).repeat(3)[index]


def _grain(draws: np.random.Generator, shape: tuple[int, int], size: float) -> np.ndarray:
    """Smooth noise of unit variance."""
    noise = cv2.GaussianBlur(draws.normal(0, 1, shape).astype(np.float32), (0, 0), size)
    return noise / (noise.std() + 1e-6)


def faded(colour: np.ndarray) -> np.ndarray:
    """(3,) linear: a grey hair among hair of this ``colour``; darker in dark hair, not to stand out."""
    return np.minimum(np.array([0.42, 0.41, 0.39]), 5 * colour.max() + 0.03)


def display(linear: np.ndarray) -> np.ndarray:
    """Linear light 0…1 → sRGB uint8."""
    x = np.clip(linear, 0, 1)
    return (np.where(x < 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) * 255 + 0.5).astype(np.uint8)


def number_of(name: str, value: int) -> int:
    """A number for a name and a small number, the same on every machine."""
    return sum(ord(letter) * 31**k for k, letter in enumerate(name)) % 1000003 + value * 1000003
