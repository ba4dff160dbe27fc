"""The library of a folder of assets: heads, skins, brows and occlusion transferred to our topology and layout.

Besides the files that ``engine.training.face_model.assets`` describes, the folder holds ``hair.npz`` (``names``; for
each ``_v``, ``_uv``, ``_tri``, ``_tex`` on the first head at rest) and ``env.npz`` (``names``, ``sh`` (E, 9, 3),
``spec1`` (E, h, w, 3), ``bg`` (E, H, W, 3); latitude-longitude maps whose middle column is +z).
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np

from engine.errors import EngineError
from engine.face.model import FaceModel
from engine.media.image import whole_file, write_fault
from engine.tracking import registry as detectors
from engine.training.face_model import assets as head_assets
from engine.training.face_model import carry, correspondence, second_source, statistics, surface, topology
from engine.training.studio.body import anatomy, layout, regions
from engine.training.studio.body.layout import Layout
from engine.training.studio.library.items import (
    Brow,
    HairMesh,
    HeadSource,
    Iris,
    Library,
    Skin,
    digest_of,
)
from engine.training.studio.stage.environment import Environment, balanced

VERSION = "2"  # of the derived data; raising it invalidates all caches
FILES = ("head_lod0.npz", "mh_head_cc0.npz", "textures.npz", "hair.npz", "env.npz")
SIZE = 1024  # of the transferred skins
TOPOLOGY_SEED = 7  # the shipped face model's
# Held out: two skins of each tone, two hair styles, two environments, and the second head.
HELD_OUT_SKINS = (1, 5, 4, 9)
HELD_OUT_HAIR = ("short03", "bob02")
UNUSABLE_HAIR = ("braid01",)  # its texture has no alpha to speak of
HELD_OUT_ENVIRONMENTS = ("courtyard", "sunset")
_IRIS_IN_EYE, _PUPIL_IN_IRIS = 0.2, 0.29  # radii in the assets' pictures of eyes, by the width; by the iris
_REMEDY = "Give --assets the folder that holds the head assets; docs/develop.md describes them."


def library(model: FaceModel, folder: Path) -> Library:
    """Everything in ``folder``; raises EngineError ``missing_file`` or ``bad_assets``."""
    digest = digest_of(model, VERSION.encode(), *(_hash(folder / name) for name in FILES))
    derived = _derived(model, folder, digest)
    tones = [_melanin(albedo) for albedo in derived["skins"]]
    names = [str(name) for name in derived["skin_names"]]
    return Library(
        model=model,
        anatomy=anatomy.of(model),
        layout=layout.of(model),
        occlusion=derived["occlusion"],
        heads=(
            HeadSource("first-head", False, derived["first_mean"], derived["first_modes"]),
            HeadSource("second-head", True, derived["second_mean"], derived["second_modes"]),
        ),
        skins=tuple(
            Skin(f"skin-{k}-{name}", k in HELD_OUT_SKINS, albedo, tones[k], _age(name), 1.0 * ("female" in name))
            for k, (name, albedo) in enumerate(zip(names, derived["skins"]))
        ),
        brows=tuple(Brow(f"brow-{k}", False, coverage) for k, coverage in enumerate(derived["brows"])),
        irises=_irises(folder),
        environments=_environments(folder),
        hair=_hair(folder, derived["first_mean"]),
        digest=digest,
    )


def _derived(model: FaceModel, folder: Path, digest: str) -> dict[str, np.ndarray]:
    """The data that take long to derive, from the cache if it is there and valid."""
    path = _cache_folder() / f"studio-{digest[:16]}.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, BadZipFile):  # missing or damaged: derive it again
        pass
    derived = _derive(model, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise write_fault(path.parent, fault) from fault
    with whole_file(path) as file:
        np.savez(file, **derived)  # type: ignore[arg-type]
    return derived


def _derive(model: FaceModel, folder: Path) -> dict[str, np.ndarray]:
    first, second = head_assets.load_first(folder), head_assets.load_second(folder)
    ours = topology.build(first, surface.Sizing(), TOPOLOGY_SEED)
    if not np.array_equal(ours.triangles, model.triangles):
        raise EngineError(
            "bad_assets",
            f"The first head in {folder} does not give the topology of {model.path.name}.",
            "Use the assets that the face model was trained on, or train the face model on these.",
        )
    population = statistics.Population(ours.vertices, ours.carry(first, first.identity, move_eyes=True))
    landing = correspondence.Landing(model.dense.at(ours.vertices), model.dense_spread, 0, 0)
    detector = detectors.create("builtin")
    other = second_source.learn(second, ours, population, landing, detector).population
    detector.close()
    chart = layout.of(model)
    names, skins, brows = _skins(model, chart, first, ours.vertices, folder)
    return {
        "first_mean": population.mean.astype(np.float32),
        "first_modes": population.modes.astype(np.float32),
        "second_mean": other.mean.astype(np.float32),
        "second_modes": other.modes.astype(np.float32),
        "occlusion": anatomy.occlusion(model.vertices, model.triangles),
        "skin_names": names,
        "skins": skins,
        "brows": brows,
    }


def _skins(
    model: FaceModel, chart: Layout, head: head_assets.AnnotatedHead, ours: np.ndarray, folder: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names (S,), albedos (S, SIZE, SIZE, 3) and brows (B, SIZE, SIZE) in our layout: the first head, aligned to the
    mean head, is drawn into it with its texture coordinates as colours."""
    skin = model.vertices_of("skin")
    move = carry.moving_affine(ours[skin], head.vertices, 1.0, neighbours=60, ridge=0.1)
    moved = head.vertices + move @ (model.vertices - ours)[skin]
    chosen = head.triangle_part == "skin"
    uv, known = chart.paint(moved[head.triangles[chosen]], head.uv[head.uv_triangles[chosen]], SIZE)
    data = _read(folder / "textures.npz", ("face", "back", "brows", "names"))
    behind = uv[..., :1] >= 1
    down = 1 - uv[..., 1]

    def sampled(face: np.ndarray, back: np.ndarray | None) -> np.ndarray:
        out = _sample(face, uv[..., 0], down)
        if back is not None:
            out = np.where(behind, _sample(back, uv[..., 0] - 1, down), out)
        return layout.spread_out(out.reshape(SIZE, SIZE, -1), known).clip(0, 255).astype(np.uint8)

    bare = regions.of(chart, model, SIZE)
    skins = np.stack([bare.shave(sampled(f, b)) for f, b in zip(data["face"], data["back"])])
    brows = np.stack([sampled(b * 1, None)[..., 0] * (~behind[..., 0]) for b in data["brows"]])
    return data["names"], skins, brows


def _sample(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    at = u.astype(np.float32) * width - 0.5, v.astype(np.float32) * height - 0.5
    return cv2.remap(image, *at, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _irises(folder: Path) -> tuple[Iris, ...]:
    """The iris cut out of pictures of whole eyes, with less saturation."""
    found = []
    for k, eye in enumerate(_read(folder / "textures.npz", ("eyes",))["eyes"]):
        middle, reach = eye.shape[0] / 2, _IRIS_IN_EYE * eye.shape[0]
        step = ((np.arange(128) + 0.5) / 64 - 1) * reach + middle - 0.5
        u, v = np.meshgrid(step, step)
        cut = cv2.remap(eye, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR).astype(np.float32)
        grey = cut.mean(axis=2, keepdims=True)
        rgb = (grey + 0.5 * (cut - grey)).clip(0, 255).astype(np.uint8)
        found.append(Iris(f"iris-{k}", False, rgb, _PUPIL_IN_IRIS, float((1 - grey.mean() / 140).clip(0, 1))))
    return tuple(found)


def _environments(folder: Path) -> tuple[Environment, ...]:
    data = _read(folder / "env.npz", ("names", "sh", "spec1", "bg"))
    found = []
    for k, name in enumerate(data["names"]):
        mirror, panorama = (_facing(data[key][k].astype(np.float32).clip(0)) for key in ("spec1", "bg"))
        held = str(name) in HELD_OUT_ENVIRONMENTS
        found.append(Environment(f"env-{name}", held, *balanced(data["sh"][k], mirror, panorama)))
    return tuple(found)


def _facing(panorama: np.ndarray) -> np.ndarray:
    """Middle column +z, to the right +x → middle column −z, to the right +x."""
    return np.ascontiguousarray(np.roll(panorama[:, ::-1], panorama.shape[1] // 2, axis=1))


def _hair(folder: Path, rest: np.ndarray) -> tuple[HairMesh, ...]:
    names = [str(name) for name in _read(folder / "hair.npz", ("names",))["names"]]
    names = [name for name in names if name not in UNUSABLE_HAIR]
    found = []
    for name in names:
        keys = {key: f"{name}_{key}" for key in ("v", "uv", "tri", "tex")}
        data = _read(folder / "hair.npz", tuple(keys.values()))
        v, uv, tri, tex = (data[key] for key in keys.values())
        held = name in HELD_OUT_HAIR
        found.append(HairMesh(f"hair-{name}", held, v.astype(np.float32), uv, tri.astype(np.int64), tex, rest))
    return tuple(found)


def _melanin(albedo: np.ndarray) -> float:
    """0…1 from the brightness of the middle of the face."""
    middle = albedo[int(0.35 * SIZE) : int(0.6 * SIZE), int(0.35 * SIZE) : int(0.65 * SIZE)]
    return float(((215 - np.median(middle.mean(axis=2))) / 165).clip(0, 1))


def _age(name: str) -> float:
    return {"young": 25.0, "middleage": 45.0, "old": 70.0}.get(name.split("_")[0], 40.0)


def _read(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in keys}
    except FileNotFoundError as fault:
        raise EngineError("missing_file", f"{path} does not exist.", _REMEDY) from fault
    except (KeyError, ValueError, OSError, BadZipFile) as fault:
        raise EngineError("bad_assets", f"{path} cannot be read as assets: {fault}.", _REMEDY) from fault


def _hash(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as fault:
        raise EngineError("missing_file", f"{path} cannot be read: {fault.strerror}.", _REMEDY) from fault


def _cache_folder() -> Path:
    """The platform's cache folder."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", home / ".cache"))
    return base / "understudy"
