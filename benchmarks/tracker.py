"""``python -m benchmarks tracker``: the built-in face tracker beside the mediapipe package, parity and speed at once.

Needs the mediapipe package, which only the development environment has. The two take turns frame by frame, so that a
busy machine hits both alike; wall is the median, processor the mean time of all threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.mediapipe_detector import MediaPipeDetector
from engine.device import device_name
from engine.media.image import read_image
from engine.media.movie import MovieSource
from engine.tracking.builtin_detector import BuiltinDetector
from engine.tracking.detector import Observation
from engine.tracking.selfie_segmentation import SelfieSegmentation

SAMPLE = Path(__file__).resolve().parent.parent / "tests" / "data" / "driving_sample.mp4"
CROP = 192  # of the face mesh's input, pixels: the unit of differences
_WARM = 3  # runs that do not count
_FULL_HD = (1080, 1920)
_TILE = 440  # side of a portrait among several, pixels


def main(argv: list[str]) -> int:
    options = _arguments(argv)
    stills = [read_image(path) for path in options.stills] or [astronaut()]
    clips = {path.stem: list(islice(frames(path), options.frames)) for path in options.clips or [SAMPLE]}
    package, ours = MediaPipeDetector(), BuiltinDetector()
    print(f"{device_name()}; OpenCV {cv2.__version__}; {len(stills)} stills, {options.frames} frames of each clip.\n")
    print(f"Differences, pixels of the {CROP}-pixel crop: mean / largest\n")
    print(_row("", "frames", "mesh", "iris", "depth", "confidence", "missed by package", "missed by ours"))
    print(_row("---", *["--:"] * 7))
    print(_parity("stills", stills, package.detect, ours.detect))
    for name, clip in clips.items():
        print(_parity(f"{name}, frame by frame", clip, package.detect, ours.detect))
        package.restart()
        ours.restart()
        print(_parity(f"{name}, tracked", clip, package.track, ours.track))
    print(f"\nMatte: {_mattes([*stills, *(clip[0] for clip in clips.values())])}\n")
    print(_row("512 × 512, ms", "package, wall", "ours, wall", "package, processor", "ours, processor"))
    print(_row("---", *["--:"] * 4))
    for line in _speed(next(iter(clips.values())), package, ours):
        print(line)
    print(f"\n{_several(stills)}\n")
    print(_row("one face in 1920 × 1080", "found by package", "found by ours", "off, % of its diagonal", "ms"))
    print(_row("---", *["--:"] * 4))
    for size in options.sizes:
        print(_small(stills, size, package, ours))
    return 0


def frames(path: Path) -> Iterator[np.ndarray]:
    source = MovieSource(path)
    return (rgb for _, rgb in source.frames(0, source.count))


def astronaut() -> np.ndarray:
    """Eileen Collins by NASA, in the public domain."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:320, 80:368])


def difference(a: Observation, b: Observation) -> dict[str, tuple[float, float]]:
    """Mean and largest distance by kind of point, in pixels of the crop."""
    assert a.dense is not None and b.dense is not None and a.iris is not None and b.iris is not None
    scale = CROP / (1.5 * float(np.ptp(a.dense[:, :2], axis=0).max()))
    kinds = {
        "mesh": np.linalg.norm((a.dense - b.dense)[:, :2], axis=1) * scale,
        "iris": np.linalg.norm(a.iris - b.iris, axis=-1) * scale,
        "depth": np.abs(a.dense - b.dense)[:, 2] * scale,
        "confidence": np.abs([a.confidence - b.confidence]),
    }
    return {kind: (float(values.mean()), float(values.max())) for kind, values in kinds.items()}


def pasted(portrait: np.ndarray, face: Observation, size: float, place: np.random.Generator) -> tuple[np.ndarray, Any]:
    """A grey Full HD picture with the portrait in it, its face's longer side ``size`` pixels; where its mesh is."""
    assert face.dense is not None
    scale = size / float(np.ptp(face.dense[:, :2], axis=0).max())
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.full((*_FULL_HD, 3), 110, np.uint8)
    y, x = (int(place.integers(0, outer - inner + 1)) for outer, inner in zip(_FULL_HD, small.shape))
    picture[y : y + small.shape[0], x : x + small.shape[1]] = small
    return picture, face.dense[:, :2] * scale + (x, y)


Look = Callable[[np.ndarray], Observation | None]


def _parity(title: str, pictures: Iterable[np.ndarray], package: Look, ours: Look) -> str:
    rows, misses, count = [], [0, 0], 0
    for rgb in pictures:
        a, b = package(rgb), ours(rgb)
        count += 1
        misses = [misses[0] + (a is None), misses[1] + (b is None)]
        if a is not None and b is not None:
            rows.append(difference(a, b))
    kinds = ("mesh", "iris", "depth", "confidence")
    cells = [
        f"{np.mean([row[kind][0] for row in rows]):.4f} / {max(row[kind][1] for row in rows):.3f}" if rows else "–"
        for kind in kinds
    ]
    return _row(title, count, *cells, *misses)


def _mattes(pictures: list[np.ndarray]) -> str:
    package, ours = _selfie(), SelfieSegmentation()
    shared, largest = [], 0.0
    for rgb in pictures:
        a, b = package(rgb), ours(rgb)
        shared.append(np.count_nonzero((a > 0.5) & (b > 0.5)) / max(1, np.count_nonzero((a > 0.5) | (b > 0.5))))
        largest = max(largest, float(np.abs(a - b).max()))
    return f"intersection over union {min(shared):.5f} at the least, largest difference {largest:.3f}."


def _speed(clip: list[np.ndarray], package: MediaPipeDetector, ours: BuiltinDetector) -> Iterator[str]:
    pictures = [cv2.resize(rgb, (512, 512), interpolation=cv2.INTER_AREA) for rgb in clip]
    selfie, segmentation = _selfie(), SelfieSegmentation()
    package.restart()
    ours.restart()
    pairs: dict[str, tuple[Callable[[np.ndarray], object], Callable[[np.ndarray], object]]] = {
        "detect": (package.detect, ours.detect),
        "track": (package.track, ours.track),
        "matte": (selfie, segmentation),
    }
    for title, pair in pairs.items():
        spent = np.array([[_timed(look, rgb) for look in pair] for rgb in pictures])[_WARM:]
        walls, processor = np.median(spent[..., 0], axis=0), spent[..., 1].mean(axis=0)
        yield _row(title, *(f"{value:.1f}" for value in (*walls, *processor)))


def _several(stills: list[np.ndarray]) -> str:
    """Four portraits side by side, each turn with other ones."""
    package, ours = _solutions().face_mesh.FaceMesh(True, 4, True, 0.3), BuiltinDetector()
    portraits = [cv2.resize(rgb, (_TILE, _TILE), interpolation=cv2.INTER_AREA) for rgb in stills]
    counts, off, spent = [], [], []
    for turn in range(max(len(portraits), 4)):
        four = [portraits[(turn + i) % len(portraits)] for i in range(4)]
        rgb = np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])
        theirs = package.process(rgb).multi_face_landmarks or []
        spent.append(_timed(ours.faces, rgb)[1])
        found = ours.faces(rgb)
        counts.append((len(theirs), len(found)))
        for face in theirs:
            points = np.array([(p.x, p.y) for p in face.landmark])[:468] * rgb.shape[1::-1]
            gaps = [np.linalg.norm(points - _plane(f.observation), axis=1).mean() for f in found]
            off.append(min(gaps, default=np.inf) * CROP / (1.5 * np.ptp(points, axis=0).max()))
    package.close()
    seen = np.sum(counts, axis=0)
    return (
        f"Several faces, 4 × {len(counts)}: the package finds {seen[0]}, ours {seen[1]}, "
        f"{np.mean(off):.4f} pixels of the crop apart (largest mean {max(off):.3f}), {np.mean(spent):.1f} ms."
    )


def _small(stills: list[np.ndarray], size: int, package: MediaPipeDetector, ours: BuiltinDetector) -> str:
    place, found, off, spent, count = np.random.default_rng(size), [0, 0], [], [], 0
    for rgb in stills:
        face = ours.detect_still(rgb)
        for _ in range(max(1, 6 // len(stills)) if face is not None else 0):
            assert face is not None
            picture, truth = pasted(rgb, face, size, place)
            diagonal = float(np.linalg.norm(np.ptp(truth, axis=0)))
            spent.append(_timed(ours.detect, picture)[1])
            count += 1
            for i, seen in enumerate((package.detect_still(picture), ours.detect_still(picture))):
                gap = np.inf if seen is None else float(np.linalg.norm(_plane(seen) - truth, axis=1).mean()) / diagonal
                found[i] += gap < 0.1
                if i == 1 and gap < 0.1:
                    off.append(100 * gap)
    median = f"{np.median(off):.2f}" if off else "–"
    return _row(f"{size} px", f"{found[0]} of {count}", f"{found[1]} of {count}", median, f"{np.median(spent):.0f}")


def _plane(face: Observation) -> np.ndarray:
    assert face.dense is not None
    return face.dense[:, :2]


def _solutions() -> Any:
    import mediapipe

    return getattr(mediapipe, "solutions")


def _selfie() -> Callable[[np.ndarray], np.ndarray]:
    graph = _solutions().selfie_segmentation.SelfieSegmentation(model_selection=0)
    return lambda rgb: np.asarray(graph.process(np.ascontiguousarray(rgb)).segmentation_mask, np.float32)


def _timed(look: Callable[[np.ndarray], object], rgb: np.ndarray) -> tuple[float, float]:
    """Milliseconds by the wall's clock and by the processor's."""
    wall, processor = time.perf_counter(), time.process_time()
    look(rgb)
    return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - processor)


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks tracker", description=__doc__)
    parser.add_argument("--stills", type=Path, nargs="+", default=[], metavar="IMAGE", help="(default: an astronaut)")
    parser.add_argument("--clips", type=Path, nargs="+", default=[], metavar="MOVIE", help="(default: a rendered head)")
    parser.add_argument("--frames", type=int, default=40, help="of each clip (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[160, 80, 60, 45], help="of small faces, pixels")
    return parser.parse_args(argv)
