"""Random streams that depend only on a seed and a name: counter-based, on the CPU, in any order."""

from __future__ import annotations

import hashlib

import numpy as np


def draws(seed: int, *name: str | int) -> np.random.Generator:
    """The generator of one named stream, such as ``draws(7, "sitter", 12)``: Philox, a counter-based generator
    (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), keyed by a hash of seed and name.

    Equal arguments give equal draws on every machine; streams of different names are independent.
    """
    digest = hashlib.sha256(repr((seed, *name)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
