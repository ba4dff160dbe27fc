"""A sitter: one person with a head, painted textures and an outfit, made once for many pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.training.face_model import statistics
from engine.training.studio.body import regions
from engine.training.studio.library.items import Choices, HeadSource, Library, Skin, Split
from engine.training.studio.people import dressing, eyes, mouth, skin
from engine.training.studio.people.dressing import Wardrobe
from engine.training.studio.people.traits import Traits, sample_traits
from engine.training.studio.randomness import draws
from engine.training.studio.stage.scene import Texture

TEXTURE = 512  # of the skin, enough for pictures of 256…384 pixels
_RIDGE = 0.05  # cm per standard deviation: keeps coefficients plausible
_STUBBLE = 0.45  # its strength
_SPREAD = 0.9  # of identities: the sources vary more than people do


@dataclass(frozen=True, eq=False)
class Sitter:
    """``neutral`` (N, 3) cm in head space, ``identity`` (K,) its coefficients in the face model, ``eye_centres``
    (2, 3), ``textures`` in the order skin, eye, mouth, lashes, what is
    worn; ``sources`` the ids of library items used, by kind."""

    library: Library
    split: Split
    seed: int
    number: int
    neutral: np.ndarray
    identity: np.ndarray
    eye_centres: np.ndarray
    traits: Traits
    textures: tuple[Texture, ...]
    wardrobe: Wardrobe
    sources: dict[str, str]


def sample_sitter(
    library: Library, split: Split, seed: int, number: int, texture: int = TEXTURE, with_strands: bool = False
) -> Sitter:
    """The ``number``-th person of a split. The same arguments give the same person; splits never share a source.

    ``with_strands``: loose hair as strands, which look better and render more slowly.
    """
    choices = library.choices(split)

    def stream(name: str) -> np.random.Generator:
        return draws(seed, "sitter", split.value, number, name)

    source, neutral = _head(library, choices, stream("head"))
    neutral = _rested(library, neutral, stream("lids"))
    traits = sample_traits(stream("traits"), _masculinity(library, neutral))
    pick = stream("choices")
    chosen = _skin(choices, traits, pick)
    fullness = np.array([float(brow.coverage[::4, ::4].mean()) for brow in choices.brows])
    wanted = np.quantile(fullness, float(np.clip(0.65 - 0.35 * traits.feminine + pick.normal(0, 0.25), 0, 1)))
    brow = choices.brows[int(np.abs(fullness - wanted).argmin())]
    iris = min(choices.irises, key=lambda i: abs(i.darkness - traits.iris) + 0.15 * pick.random())
    outfit = dressing.choose(choices.hair, stream("outfit"), traits)
    if outfit.beard == "stubble":
        traits = replace(traits, stubble=max(traits.stubble, _STUBBLE))
    paint, model = stream("paint"), library.model
    region = regions.of(library.layout, model, texture)
    hair = outfit.hair if isinstance(outfit.hair, str) else outfit.hair.id
    return Sitter(
        library=library,
        split=split,
        seed=seed,
        number=number,
        neutral=neutral,
        identity=projection(library, neutral),
        eye_centres=_eye_centres(library, neutral),
        traits=traits,
        textures=(
            skin.paint(model, region, chosen, brow, traits, outfit, paint),
            eyes.paint(iris, library.anatomy.eyes[0], traits, paint),
            mouth.texture(traits, paint),
            eyes.lash_texture(traits, paint),
        ),
        wardrobe=dressing.dress(model, neutral, outfit, traits, with_strands),
        sources={"head": source.id, "skin": chosen.id, "brow": brow.id, "iris": iris.id, "hair": hair},
    )


def _head(library: Library, choices: Choices, draw: np.random.Generator) -> tuple[HeadSource, np.ndarray]:
    """A head of one source, aligned to the face model's mean."""
    source = choices.heads[draw.integers(len(choices.heads))]
    weights = (draw.standard_normal(len(source.modes)).clip(-2.5, 2.5) * _SPREAD).astype(np.float32)
    head = source.mean + (weights @ source.modes.reshape(len(weights), -1)).reshape(source.mean.shape)
    mean, weight = library.model.vertices, _importance(library)
    return source, statistics.align(head[None].astype(np.float32), mean, weight)[0]


def _rested(library: Library, neutral: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The head with lids that cover the upper edge of the iris by 1…4 mm, as in a relaxed face."""
    model, out = library.model, neutral.copy()
    least, most = draw.uniform(0.10, 0.17), draw.uniform(0.32, 0.42)
    for eye, centre, side in zip(library.anatomy.eyes, _eye_centres(library, neutral), "LR"):
        middle = eye.upper[len(eye.upper) // 2]
        shape = model.expression[model.expression_index(f"eyeBlink_{side}")]
        covered = centre[1] + eye.limbus - neutral[middle, 1]
        out += shape * np.clip((np.clip(covered, least, most) - covered) / -shape[middle, 1], -0.25, 0.25)
    return out


def _skin(choices: Choices, traits: Traits, draw: np.random.Generator) -> Skin:
    """A skin that is close in tone, age and sex."""
    cost = []
    for option in choices.skins:
        miss = 4.0 * abs(option.melanin - traits.melanin) + draw.exponential(0.35)
        miss += 0.0 if option.age is None else abs(option.age - traits.age) / 40
        miss += 0.0 if option.feminine is None else 0.8 * abs(option.feminine - traits.feminine)
        cost.append(miss)
    return choices.skins[int(np.argmin(cost))]


def projection(library: Library, neutral: np.ndarray) -> np.ndarray:
    """Coefficients (K,) of the face model's components that lie nearest to a head (N, 3): weighted least squares with a
    ridge; the face has the highest weight."""
    if library.digest not in _SOLVERS:
        _SOLVERS[library.digest] = _solver(library)
    solver = _SOLVERS[library.digest]
    return solver @ (neutral - library.model.vertices).ravel()


def _solver(library: Library) -> np.ndarray:
    """(K, 3 N) float32."""
    basis = library.model.identity.reshape(len(library.model.identity), -1)
    weighted = basis * np.repeat(_importance(library), 3).astype(np.float32)
    normal = weighted @ basis.T + _RIDGE**2 * np.eye(len(basis), dtype=np.float32)
    return np.linalg.solve(normal, weighted).astype(np.float32)


_SOLVERS: dict[str, np.ndarray] = {}
_IMPORTANCE: dict[str, np.ndarray] = {}


def _importance(library: Library) -> np.ndarray:
    if library.digest not in _IMPORTANCE:
        model = library.model
        face = np.mean([eye.centre for eye in library.anatomy.eyes], axis=0) + [0, -2.5, 0]
        _IMPORTANCE[library.digest] = statistics.importance(model.vertices, model.triangles, face)
    return _IMPORTANCE[library.digest]


def _eye_centres(library: Library, neutral: np.ndarray) -> np.ndarray:
    """(2, 3): with identity, eyeballs only move and scale."""
    found = []
    for eye in library.anatomy.eyes:
        rest, now = library.model.vertices[eye.vertices], neutral[eye.vertices]
        growth = np.linalg.norm(now - now.mean(axis=0)) / np.linalg.norm(rest - rest.mean(axis=0))
        found.append(now.mean(axis=0) + growth * (eye.centre - rest.mean(axis=0)))
    return np.array(found, np.float32)


# How men's faces differ from women's on average: distances between iBUG points and their signed weights.
_MASCULINE = (
    (4, 12, 1.0),  # wide jaw
    (57, 8, 1.0),  # high chin
    (51, 57, -0.7),  # thin lips
    (27, 33, 0.7),  # long nose
    (31, 35, 0.7),  # broad nose
    (37, 41, -0.6),  # narrow eyes
    (19, 37, -0.8),  # low brows
    (27, 8, 0.6),  # long face
)


def _masculinity(library: Library, neutral: np.ndarray) -> float:
    """A score in standard deviations of the face model's population."""
    model = library.model
    mean, modes = model.landmarks68.at(model.vertices), model.landmarks68.at(model.identity)
    marks = model.landmarks68.at(neutral)
    score = variance = 0.0
    for a, b, sign in _MASCULINE:
        axis = (mean[a] - mean[b]) / np.linalg.norm(mean[a] - mean[b])
        spread = float(np.sqrt((((modes[:, a] - modes[:, b]) @ axis) ** 2).sum()))
        score += sign * float((marks[a] - marks[b] - mean[a] + mean[b]) @ axis) / spread
        variance += sign**2
    return score / np.sqrt(variance)
