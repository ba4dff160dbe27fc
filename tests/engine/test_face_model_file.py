"""The face model that ships is what everything downstream takes it for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from engine import weights
from engine.face.model import DEFAULT_PATH, Anchors, FaceModel, load

SIDED = (
    *("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn"),
    *("eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress"),
    *("mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer"),
)
SINGLE = (
    *("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
)
PARTS = ("skin", "mouth", "socket", "gums", "teeth_upper", "teeth_lower", "tongue", "eye_left", "eye_right")
# iBUG's points on the lid margins, upper over lower, right eye first; MediaPipe's on the inner lips.
LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
LIPS = ((81, 178), (13, 14), (311, 402))
FLIP = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load(DEFAULT_PATH)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    with safe_open(str(DEFAULT_PATH), framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def posed(model: FaceModel, **amounts: float) -> np.ndarray:
    expression = np.zeros(len(model.expression_names), np.float32)
    for name, amount in amounts.items():
        names = [n for n in (name, f"{name}_L", f"{name}_R") if n in model.expression_names]
        assert names, name
        expression[[model.expression_index(n) for n in names]] = amount
    return model.deform(model.vertices, expression)


def gaps(anchors: Anchors, vertices: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    height = anchors.at(vertices)[:, 1]
    return np.array([height[upper] - height[lower] for upper, lower in pairs])


def edge_use(triangles: np.ndarray) -> np.ndarray:
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)[1]


def test_size_and_credit() -> None:
    assert DEFAULT_PATH.stat().st_size <= 6_000_000
    assert [entry.state() for entry in weights.manifest() if entry.path == DEFAULT_PATH] == [None]
    with safe_open(str(DEFAULT_PATH), framework="numpy") as file:
        header = file.metadata()
    assert header["format"] == "understudy-face-model" and header["version"] == "1"
    assert "ICT-FaceKit" in header["identity_sources"] and "MakeHuman" in header["identity_sources"]
    assert json.loads(header["recipe"])["seed"] >= 0


def test_counts_and_names(model: FaceModel) -> None:
    assert 4000 <= len(model.vertices) <= 8000
    assert 60 <= len(model.identity) <= 100
    assert set(model.parts) == set(PARTS)
    assert set(model.expression_names) == {f"{name}_{side}" for name in SIDED for side in "LR"} | set(SINGLE)
    assert np.isfinite(model.identity).all() and np.isfinite(model.expression).all()


def test_every_vertex_is_used_and_no_triangle_is_degenerate(model: FaceModel) -> None:
    assert len(np.unique(model.triangles)) == len(model.vertices)
    corner = model.vertices[model.triangles].astype(np.float64)
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
    sides = np.linalg.norm(corner - np.roll(corner, 1, axis=1), axis=2)
    quality = 4 * np.sqrt(3) * area / (sides**2).sum(axis=1)  # 1 equilateral, 0 degenerate
    assert area.min() > 1e-5
    skin = model.triangles_of("skin")
    assert quality[skin].min() > 0.05 and np.percentile(quality[skin], 5) > 0.6


def test_the_sheet_is_a_manifold_open_only_at_the_neck(model: FaceModel) -> None:
    sheet = model.triangles[model.triangles_of("skin", "mouth", "socket")]
    use = edge_use(sheet)
    assert use.max() == 2
    assert len(np.unique(sheet)) - len(use) + len(sheet) == 1  # Euler characteristic of a disc
    directed = np.concatenate([sheet[:, [0, 1]], sheet[:, [1, 2]], sheet[:, [2, 0]]])
    assert np.unique(directed, axis=0, return_counts=True)[1].max() == 1  # one orientation
    edges, count = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    rim = model.vertices[np.unique(edges[count == 1])]
    assert rim[:, 1].max() < model.landmarks68.at(model.vertices)[8, 1] - 3


def test_loose_parts_share_no_vertex(model: FaceModel) -> None:
    sheet = model.vertices_of("skin", "mouth", "socket")
    loose = [model.vertices_of(name) for name in PARTS[3:]]
    assert sum(map(len, loose)) + len(sheet) == len(model.vertices)
    for eye in ("eye_left", "eye_right"):
        assert edge_use(model.triangles[model.triangles_of(eye)]).tolist().count(2) == len(
            edge_use(model.triangles[model.triangles_of(eye)])
        )


def test_normals_point_outwards(model: FaceModel) -> None:
    corner = model.vertices[model.triangles]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    nose = model.landmarks68.at(model.vertices)[30]
    face = np.linalg.norm(corner.mean(axis=1) - nose, axis=1) < 4
    skin = np.isin(np.arange(len(normal)), model.triangles_of("skin"))
    assert normal[face & skin].sum(axis=0)[2] > 0
    for name in ("eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue"):
        chosen = model.triangles_of(name)
        middle = corner[chosen].mean(axis=(0, 1))
        assert np.einsum("td,td->", normal[chosen], corner[chosen].mean(axis=1) - middle) > 0, name


def test_the_mean_is_symmetric(model: FaceModel) -> None:
    mirrored = model.vertices * FLIP
    distance = np.array(
        [np.linalg.norm(model.vertices - point, axis=1).min() for point in mirrored[:: len(mirrored) // 500]]
    )
    assert distance.max() < 0.02
    left, right = model.vertices_of("eye_left"), model.vertices_of("eye_right")
    assert model.vertices[left, 0].min() > 0 > model.vertices[right, 0].max()


def test_detector_points_lie_on_skin_and_in_order(model: FaceModel, tensors: dict[str, np.ndarray]) -> None:
    for name, count in (("landmarks68", 68), ("dense", 468)):
        triangle, weight = tensors[f"{name}_triangle"], tensors[f"{name}_barycentric"]
        assert triangle.shape == (count,) and weight.shape == (count, 3)
        assert (model.triangle_part[triangle] == model.parts["skin"]).all()
        assert weight.min() >= 0 and np.allclose(weight.sum(axis=1), 1, atol=1e-5)
    marks, dense = model.landmarks68.at(model.vertices), model.dense.at(model.vertices)
    # The subject's right is −x: the first jaw point, the first eye, MediaPipe's 33.
    assert marks[0, 0] < marks[8, 0] < marks[16, 0]
    assert dense[33, 0] < dense[133, 0] < dense[362, 0] < dense[263, 0]
    for ibug, mediapipe in ((30, 4), (36, 33), (45, 263), (48, 61), (54, 291), (8, 152)):
        assert np.linalg.norm(marks[ibug] - dense[mediapipe]) < 1.0, (ibug, mediapipe)


def test_blinks_close_the_lids_and_only_their_own(model: FaceModel) -> None:
    rest = gaps(model.landmarks68, model.vertices, LIDS)
    assert rest.min() > 0.4
    assert (np.abs(gaps(model.landmarks68, posed(model, eyeBlink=1), LIDS)) < 0.1 * rest).all()
    left_only = gaps(model.landmarks68, posed(model, eyeBlink_L=1), LIDS)
    assert np.allclose(left_only[:2], rest[:2], atol=0.02) and (np.abs(left_only[2:]) < 0.1 * rest[2:]).all()


def test_the_jaw_opens_the_lips_and_takes_teeth_and_tongue_along(model: FaceModel) -> None:
    opened = posed(model, jawOpen=1)
    assert (gaps(model.dense, opened, LIPS) > gaps(model.dense, model.vertices, LIPS) + 2).all()
    moved = np.linalg.norm(opened - model.vertices, axis=1)
    assert moved[model.vertices_of("teeth_upper")].max() < 0.05
    assert moved[model.vertices_of("teeth_lower", "tongue")].min() > 0.8
    teeth = model.vertices_of("teeth_lower")  # a rigid jaw: distances between its teeth stay
    before, after = (np.linalg.norm(v[teeth] - v[teeth].mean(0), axis=1) for v in (model.vertices, opened))
    assert np.abs(after / before - 1).max() < 0.1


def test_mouth_close_undoes_the_open_jaw_at_the_lips(model: FaceModel) -> None:
    opened, closed = posed(model, jawOpen=1), posed(model, jawOpen=1, mouthClose=1)
    rest = gaps(model.dense, model.vertices, LIPS)
    assert (gaps(model.dense, closed, LIPS) - rest < 0.2 * (gaps(model.dense, opened, LIPS) - rest)).all()


def test_a_smile_lifts_the_corner_on_its_side(model: FaceModel) -> None:
    rest, smile = model.dense.at(model.vertices), model.dense.at(posed(model, mouthSmile_L=1))
    assert smile[291, 1] - rest[291, 1] > 0.3 > abs(smile[61, 1] - rest[61, 1])


def test_gaze_shapes_leave_the_eyeballs_alone(model: FaceModel) -> None:
    balls = model.vertices_of("eye_left", "eye_right")
    assert np.abs(model.expression[:, balls]).max() == 0


def test_the_iris_is_a_ring_on_the_eyeball(model: FaceModel, tensors: dict[str, np.ndarray]) -> None:
    for side, name in enumerate(("left", "right")):
        ring, centre = tensors[f"iris_{name}"], tensors["eye_centre"][side]
        assert np.isin(ring, model.vertices_of(f"eye_{name}")).all()
        arm = model.vertices[ring] - centre
        across = np.linalg.norm(arm[:, :2], axis=1)
        assert np.ptp(across) < 0.03 and 0.5 < across.mean() < 0.7 and arm[:, 2].min() > 1
        angle = np.unwrap(np.arctan2(arm[:, 1], arm[:, 0]))
        assert abs(angle[0]) < 0.05 and (np.diff(angle) > 0).all()
        assert model.vertices[tensors["pupil"][side], 2] > model.vertices[ring, 2].max()
    assert tensors["eye_centre"][0, 0] > 0 > tensors["eye_centre"][1, 0]


def test_identities_are_scaled_like_people(model: FaceModel) -> None:
    """Sampled heads differ from the mean by millimetres to centimetres, and are not mirror images of each other."""
    rng = np.random.default_rng(1)
    skin = model.vertices_of("skin")
    near = skin[np.linalg.norm(model.vertices[skin] - model.landmarks68.at(model.vertices)[30], axis=1) < 9]
    change = [
        np.linalg.norm((model.neutral(rng.standard_normal(len(model.identity))) - model.vertices)[near], axis=1).mean()
        for _ in range(20)
    ]
    assert 0.15 < np.mean(change) < 0.8


def test_sampled_identities_do_not_fold(model: FaceModel) -> None:
    rng = np.random.default_rng(2)
    skin = model.triangles[model.triangles_of("skin")]

    def normals(vertices: np.ndarray) -> np.ndarray:
        corner = vertices[skin]
        return np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])

    rest = normals(model.vertices)
    heads = [model.neutral(rng.standard_normal(len(model.identity)).clip(-2.5, 2.5)) for _ in range(20)]
    folded = np.array([((normals(head) * rest).sum(axis=1) < 0).mean() for head in heads])
    assert folded.mean() < 0.001 and folded.max() < 0.01


def test_texture_coordinates_do_not_overlap_on_the_face(model: FaceModel, tensors: dict[str, np.ndarray]) -> None:
    uv = tensors["uv"]
    assert uv.shape == (len(model.vertices), 2) and uv.min() >= 0 and uv.max() <= 1
    corner = uv[model.triangles[model.triangles_of("skin")]].astype(np.float64)
    a, b = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    signed = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    assert (np.sign(signed) == np.sign(np.median(signed))).mean() > 0.99
