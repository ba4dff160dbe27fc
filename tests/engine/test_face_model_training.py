"""The steps of the face model's recipe on small shapes whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors import safe_open

from engine.errors import EngineError
from engine.training import cli
from engine.training.face_model import anatomy, carry, recipe, registration, remesh, statistics
from engine.training.face_model.closest import ClosestPoints


def dome(rings: int = 14, segments: int = 36, radius: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """An open half sphere about the origin, its pole on +z, symmetric about x = 0 with vertices on that plane."""
    polar = np.linspace(0.1, np.pi / 2, rings)[::-1]
    around = np.arange(segments) * 2 * np.pi / segments + np.pi / 2
    circle = np.stack([np.cos(around), np.sin(around)], axis=1)
    layers = [np.c_[np.sin(p) * circle, np.full(segments, np.cos(p))] * radius for p in polar]
    cap = anatomy.sweep(np.stack(layers), last_cap=True)
    vertices = cap.vertices.copy()
    vertices[-1] = [0, 0, radius]
    return vertices, cap.triangles


def test_the_new_mesh_is_a_manifold_follows_its_features_and_keeps_its_size() -> None:
    vertices, triangles = dome()
    half = triangles[vertices[triangles, 0].min(axis=1) > -1e-9]
    rim = remesh.boundary_edges(half)
    fine = remesh.refine(vertices, half, rim, times=2)
    assert np.allclose(fine.operator.sum(axis=1), 1)
    wanted = 1.2
    seeds, cell = remesh.cluster(fine, np.full(len(fine.vertices), wanted), seed=3)
    faces, _ = remesh.dual(fine, cell)
    points = fine.vertices[seeds]
    edges = remesh.edges_of(faces)
    assert len(np.unique(faces)) == len(seeds) and len(seeds) - len(edges) + len(faces) == 1
    on_rim = np.unique(remesh.boundary_edges(faces))
    curve = np.zeros(len(fine.vertices), bool)
    curve[fine.feature_edges] = True
    assert curve[seeds[on_rim]].all()
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    assert 0.8 * wanted < length.mean() < 1.3 * wanted and length.max() < 2.2 * wanted
    again = remesh.cluster(fine, np.full(len(fine.vertices), wanted), seed=3)
    assert (again[0] == seeds).all() and (again[1] == cell).all()


def test_flipping_improves_the_worst_angle_and_spares_what_must_stay() -> None:
    # A kite whose short diagonal is the better one.
    points = np.array([[0, 0, 0], [4, 0, 0], [2, 0.6, 0], [2, -0.6, 0]], float)
    faces = np.array([[0, 1, 2], [1, 0, 3]])
    flipped = remesh.flip_to_delaunay(points, faces, keep=set())
    assert {frozenset(f) for f in flipped.tolist()} == {frozenset((0, 2, 3)), frozenset((1, 2, 3))}
    assert (remesh.flip_to_delaunay(points, faces, keep={(0, 1)}) == faces).all()


def test_an_asymmetric_head_is_refused() -> None:
    with pytest.raises(EngineError, match="symmetric"):
        remesh.mirror_map(np.array([[1.0, 0, 0], [-1, 0.5, 0]]))


def test_closest_points_agree_with_a_dense_search() -> None:
    rng = np.random.default_rng(0)
    vertices, triangles = dome()
    queries = rng.normal(0, 4, (200, 3))
    found = ClosestPoints(vertices, triangles).query(queries)
    weight = rng.dirichlet([1, 1, 1], (len(triangles), 300))
    samples = np.einsum("tsk,tkd->tsd", weight, vertices[triangles]).reshape(-1, 3)
    dense = np.array([np.linalg.norm(samples - q, axis=1).min() for q in queries])
    assert (found.distance <= dense + 1e-9).all() and (dense - found.distance).max() < 0.15
    assert np.allclose(found.operator(triangles, len(vertices)) @ vertices, found.position)


def test_carried_fields_keep_rigid_motions() -> None:
    rng = np.random.default_rng(1)
    source, target = rng.uniform(-3, 3, (400, 3)), rng.uniform(-2, 2, (50, 3))
    matrix, shift = rng.normal(0, 0.3, (3, 3)), rng.normal(0, 1, 3)
    operator = carry.moving_affine(source, target, bandwidth=1.5)
    moved = carry.apply(operator, (source @ matrix + shift)[None].astype(np.float32))[0]
    assert np.abs(moved - (target @ matrix + shift)).max() < 0.02
    grown = carry.similarity(source, target, (0.1 * source + shift)[None])[0]
    assert np.abs(grown - (0.1 * target + shift)).max() < 0.02


def test_registration_lays_a_dome_onto_a_flattened_one() -> None:
    template, triangles = dome()
    target, target_triangles = dome(rings=22, segments=50)
    shape = np.array([1.15, 0.9, 0.8])
    marks = sp.csr_matrix(np.eye(len(template))[::40])
    laid = registration.register(
        template,
        triangles,
        np.ones(len(template), bool),
        marks,
        marks @ template * shape,
        np.ones(marks.shape[0]),
        target * shape,
        target_triangles,
    )
    assert laid.matched.mean() > 0.8 and laid.where.distance[laid.matched].mean() < 0.02
    assert np.linalg.norm(laid.vertices - template * shape, axis=1).mean() < 0.25


def test_principal_components_have_unit_coefficients_and_a_symmetric_mean() -> None:
    rng = np.random.default_rng(2)
    vertices, triangles = dome()
    mirror = remesh.mirror_map(vertices)
    modes = np.stack([vertices * 0.05, vertices * [0, 0.1, 0], np.roll(vertices, 1, axis=1) * 0.03])
    population = statistics.Population(vertices, modes.astype(np.float32))
    heads = population.sample(rng, 250)
    weight = statistics.importance(vertices, triangles, np.array([0, 0, 5.0]))
    found = statistics.principal_components(heads, mirror, weight, 12)
    assert np.abs(found.mean[mirror] * [-1, 1, 1] - found.mean).max() < 1e-4
    assert found.share[-1] > 0.999
    drawn = statistics.Population(found.mean, found.components).sample(rng, 400)
    assert np.allclose(drawn.std(axis=0).mean(), heads.std(axis=0).mean(), rtol=0.1)
    everywhere = np.arange(len(vertices))
    assert statistics.fit_residual(population.sample(rng, 20), found, weight, everywhere).max() < 0.02
    turned = heads[:5] @ np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]], np.float32) + np.float32(2)
    assert (
        np.abs(statistics.align(turned, vertices, weight) - statistics.align(heads[:5], vertices, weight)).max() < 1e-3
    )


def test_missing_assets_and_unwritable_targets_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["face-model", "--assets", str(tmp_path)]) == 1
    assert "head_lod0.npz does not exist" in capsys.readouterr().err
    (tmp_path / "head_lod0.npz").write_bytes(b"not an archive")
    assert cli.main(["face-model", "--assets", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(EngineError, match="cannot be written"):
        recipe.write(tmp_path / "head_lod0.npz" / "model.safetensors", {"a": np.zeros(1, np.float32)}, {})


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    tensors = {"vertices": np.arange(6, dtype=np.float32).reshape(2, 3), "part": np.zeros(5, np.uint8)}
    metadata = {f"key {k}": str(k) for k in range(12)}
    for name in "ab":
        recipe.write(tmp_path / name, tensors, metadata)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(str(tmp_path / "a"), framework="numpy") as file:
        assert file.metadata() == metadata
        assert all((file.get_tensor(name) == value).all() for name, value in tensors.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
