"""A person's traits, drawn jointly: hair colour depends on skin, beards on the shape of the face, grey on age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Linear colours of hair from black to pale blond, then red; grey is mixed in by age.
_HAIR = np.array([[0.010, 0.008, 0.007], [0.028, 0.017, 0.011], [0.070, 0.038, 0.020], [0.16, 0.090, 0.045],
                  [0.32, 0.21, 0.10], [0.50, 0.38, 0.22]])  # fmt: skip
_RED = np.array([0.22, 0.065, 0.022])
_GREY = np.array([0.42, 0.41, 0.39])


@dataclass(frozen=True)
class Traits:
    """Ages in years; shares and strengths 0…1 unless stated; colours (3,) linear.

    ``melanin`` from fair to dark, ``blood`` and ``sallow`` optical densities that shift the tone, ``flush`` of cheeks
    and nose, ``tired`` rings under the eyes, ``wrinkles``, ``freckles``, number of ``moles``, ``stubble``, ``grey``
    share of hair, ``iris`` wanted darkness, ``pupil`` radius by the iris', ``sclera`` yellowness, ``teeth`` yellowness,
    ``lash`` length in cm.
    """

    age: float
    feminine: float
    melanin: float
    blood: float
    sallow: float
    flush: float
    tired: float
    wrinkles: float
    freckles: float
    moles: int
    stubble: float
    grey: float
    hair_colour: np.ndarray
    beard_colour: np.ndarray
    brow_colour: np.ndarray
    brow_strength: float
    lip_colour: np.ndarray
    lip_strength: float
    make_up: float
    eye_shadow: np.ndarray
    iris: float
    pupil: float
    sclera: float
    teeth: float
    lash: float


def sample_traits(draws: np.random.Generator, masculine: float) -> Traits:
    """A person whose face's shape is ``masculine``, in standard deviations."""
    feminine = float(draws.random() < 1 / (1 + np.exp(1.6 * masculine)))
    age = float(np.clip(draws.gamma(4.0, 8.0) + 14, 16, 88))
    melanin = float(np.clip(draws.beta(1.05, 1.15), 0.02, 1))
    grey = float(np.clip((age - draws.normal(47, 9)) / 24, 0, 1))
    pigment = float(np.clip(draws.normal(0.12 + 0.62 * (melanin < 0.38) * draws.random(), 0.1), 0, 1))
    if melanin > 0.45:
        pigment = float(draws.uniform(0, 0.12))
    red = melanin < 0.25 and draws.random() < 0.07
    base = _RED if red else np.array([np.interp(pigment * 5, range(6), _HAIR[:, k]) for k in range(3)])
    dyed = feminine and age > 40 and draws.random() < 0.5
    hair = base * np.exp(draws.normal(0, 0.12)) * (1 if dyed else 1 - grey) + _GREY * (0 if dyed else grey)
    brows = base * 0.8 * (1 - 0.6 * grey) + _GREY * 0.6 * grey
    made_up = float(feminine * (draws.random() < 0.55) * draws.beta(1.5, 1.8))
    lips, strength = _lips(draws, melanin, made_up)
    shaved = (1 - feminine) * (age > 17) * draws.beta(1.1, 1.6) * (1.0 if draws.random() < 0.75 else 0.0)
    dark_eyes = 0.9 if melanin > 0.42 else float(np.clip(draws.normal(0.45 + 0.9 * (0.28 - pigment), 0.25), 0, 1))
    return Traits(
        age=age,
        feminine=feminine,
        melanin=melanin,
        blood=float(draws.normal(0, 0.07)),
        sallow=float(draws.normal(0, 0.07)),
        flush=float(draws.beta(1.6, 2.2)),
        tired=float(np.clip(draws.beta(1.5, 3) + (age - 40) / 120, 0, 1)),
        wrinkles=float(np.clip((age - 28) / 50, 0, 1) ** 1.3 * draws.uniform(0.55, 1.1)),
        freckles=float(draws.beta(1.5, 2)) if melanin < 0.35 and draws.random() < (0.8 if red else 0.22) else 0.0,
        moles=int(draws.poisson(2)),
        stubble=float(shaved * 0.75),
        grey=grey,
        hair_colour=hair,
        beard_colour=(_RED * 0.6 if red else base) * (1 - min(1.0, 1.2 * grey)) + _GREY * min(1.0, 1.2 * grey),
        brow_colour=brows,
        brow_strength=float(draws.uniform(0.9, 1.7) * (1 - 0.3 * grey)),
        lip_colour=lips,
        lip_strength=strength,
        make_up=made_up,
        eye_shadow=np.exp(-draws.uniform(0.2, 1.4) * draws.dirichlet([1.2, 2, 2]) * 2),
        iris=dark_eyes,
        pupil=float(draws.uniform(0.26, 0.5)),
        sclera=float(np.clip(draws.beta(1.5, 3) + 0.25 * melanin + (age - 50) / 150, 0, 1)),
        teeth=float(np.clip(draws.beta(2, 3) + (age - 45) / 120, 0, 1)),
        lash=float(draws.uniform(0.55, 0.8) + 0.2 * made_up + 0.1 * feminine),
    )


def _lips(draws: np.random.Generator, melanin: float, made_up: float) -> tuple[np.ndarray, float]:
    """Colour and strength: lipstick covers, the natural colour only tints."""
    fair, dark = np.array([0.46, 0.17, 0.15]), np.array([0.115, 0.05, 0.045])
    dusk = melanin**0.6
    own = (fair * (1 - dusk) + dark * dusk) * np.exp(draws.normal(0, 0.12, 3))
    if made_up < 0.25 or draws.random() < 0.3:
        return own, float(draws.uniform(0.25, 0.6))
    deep = draws.uniform(0.25, 1)
    lipstick = np.array([0.50, 0.04, 0.06]) * deep * np.exp(draws.normal(0, [0.1, 0.7, 0.5]))
    return np.clip(lipstick, 0, 0.8), float(draws.uniform(0.45, 0.9))
