"""The face model: a linear 3DMM with ARKit-named expressions, loaded from safetensors; sizes come from the file."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from engine.errors import EngineError

DEFAULT_PATH = Path(__file__).resolve().parents[2] / "weights" / "face_model.safetensors"
FORMAT = "understudy-face-model"
_NEEDED = ("skin", "eye_left", "eye_right")  # parts that fitting needs


@dataclass(frozen=True)
class Anchors:
    """Points fixed to the surface: ``vertices`` (P, 3) indices of a triangle's corners, ``barycentric`` (P, 3)."""

    vertices: np.ndarray
    barycentric: np.ndarray

    def at(self, field: np.ndarray) -> np.ndarray:
        """A per-vertex field (…, N, D) at the points: (…, P, D)."""
        return np.einsum("...pkd,pk->...pd", field[..., self.vertices, :], self.barycentric)


@dataclass(frozen=True, eq=False)
class FaceModel:
    """Units cm, y up, face towards +z; ``_L`` is the subject's left, +x, image right.

    ``vertices`` (N, 3) mean, ``triangles`` (T, 3), ``triangle_part`` (T,) with ids in ``parts``, ``identity``
    (K, N, 3) with coefficients ~ N(0, 1), ``expression`` (E, N, 3) for weights 0…1 named ``expression_names``,
    ``landmarks68`` and ``dense`` anchors of the detectors' points, ``dense_spread`` (468,) cm: how much each
    point slides over the surface.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    triangle_part: np.ndarray
    parts: dict[str, int]
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    landmarks68: Anchors
    dense: Anchors
    dense_spread: np.ndarray
    path: Path
    sha256: str

    def triangles_of(self, *names: str) -> np.ndarray:
        """Indices of the triangles of these parts; names that the model lacks are ignored."""
        wanted = [self.parts[name] for name in names if name in self.parts]
        return np.flatnonzero(np.isin(self.triangle_part, wanted))

    def vertices_of(self, *names: str) -> np.ndarray:
        """Sorted indices of the vertices that these parts' triangles use."""
        return np.unique(self.triangles[self.triangles_of(*names)])

    def expression_index(self, name: str) -> int:
        return self.expression_names.index(name)

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """The expressionless head of these identity coefficients (K,): (N, 3)."""
        return self.vertices + np.tensordot(identity, self.identity, 1)

    def deform(self, neutral: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Add expression weights (E,) to a neutral head (N, 3)."""
        flat = self.expression.reshape(len(self.expression), -1)
        return neutral + (expression.astype(np.float32) @ flat).reshape(neutral.shape)


@functools.lru_cache(maxsize=2)
def load(path: Path = DEFAULT_PATH) -> FaceModel:
    """Read a face model; raises EngineError ``face_model`` when the file is missing, foreign or damaged."""
    remedy = "Reinstall the extension, or run `python -m engine train face-model` to make it again."
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if header.get("format") != FORMAT:
            raise ValueError("it is not a face model")
        triangles = tensors["triangles"].astype(np.int64)
        model = FaceModel(
            vertices=tensors["vertices"].astype(np.float32),
            triangles=triangles,
            triangle_part=tensors["triangle_part"],
            parts=json.loads(header["parts"]),
            identity=tensors["identity"].astype(np.float32),
            expression=tensors["expression"].astype(np.float32),
            expression_names=tuple(json.loads(header["expressions"])),
            landmarks68=_anchors(tensors, triangles, "landmarks68"),
            dense=_anchors(tensors, triangles, "dense"),
            dense_spread=tensors["dense_spread"].astype(np.float32),
            path=path,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        _check(model)
        return model
    except (OSError, KeyError, ValueError, TypeError, IndexError, SafetensorError) as fault:
        raise EngineError("face_model", f"The face model {path} cannot be used: {fault}.", remedy) from fault


def _anchors(tensors: dict[str, np.ndarray], triangles: np.ndarray, name: str) -> Anchors:
    return Anchors(triangles[tensors[f"{name}_triangle"]], tensors[f"{name}_barycentric"].astype(np.float32))


def _check(model: FaceModel) -> None:
    """Raises ValueError for a file that contradicts itself, which would be an index error later."""
    count = len(model.vertices)
    shapes = {
        "vertices": (count, 3),
        "triangles": (len(model.triangles), 3),
        "triangle_part": (len(model.triangles),),
        "identity": (len(model.identity), count, 3),
        "expression": (len(model.expression_names), count, 3),
        "dense_spread": (468,),
    }
    for name, shape in shapes.items():
        array = getattr(model, name)
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"its {name} is not {' × '.join(map(str, shape))} numbers")
    for name, anchors, points in (("landmarks68", model.landmarks68, 68), ("dense", model.dense, 468)):
        if not anchors.vertices.shape == anchors.barycentric.shape == (points, 3):
            raise ValueError(f"its {name} are not {points} points on the surface")
    if model.triangles.min() < 0 or model.triangles.max() >= count:
        raise ValueError("its triangles use vertices it does not have")
    if not isinstance(model.parts, dict) or not all(len(model.triangles_of(name)) for name in _NEEDED):
        raise ValueError(f"it lacks one of the parts {', '.join(_NEEDED)}")
