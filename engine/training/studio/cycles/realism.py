"""The studio's pairs rendered by Cycles: path tracing, with the same people, lens and labels. A set to measure on.

The engine writes scenes (``export.py``), a Python with bpy renders them (``scripts/render_scenes.py``), and the engine
applies the studio's lens, labels them and writes shards. Rendered frames wait in ``OUT/frames``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.cli.console import Console
from engine.errors import EngineError
from engine.media.image import write_fault
from engine.progress import Progress
from engine.training.records import Parts
from engine.training.sample import Pair
from engine.training.shard_writer import plan_of
from engine.training.shards import Plan, Records, write
from engine.training.studio.cycles import export
from engine.training.studio.dataset import Options, StudioSamples, labelled
from engine.training.studio.renderer.lens import photograph
from engine.training.studio.renderer.render import render
from engine.training.studio.stage.scene import Scene

SCRIPT = Path(__file__).resolve().parents[4] / "scripts" / "render_scenes.py"
VERSION = 1  # raise it when the same scene looks different
_AT_ONCE = 8  # pairs per run of Blender, to share its start-up time


def command(argv: list[str]) -> int:
    """``python -m engine train realism``."""
    parser = argparse.ArgumentParser(
        "python -m engine train realism",
        description="Render pairs of the studio with Cycles into shards; an interrupted run continues.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of shards")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="pairs of frames")
    parser.add_argument(
        "--blender-python", type=Path, required=True, metavar="PATH", help="a Python with bpy, or a Blender"
    )
    parser.add_argument("--assets", type=Path, metavar="DIR", help="head assets (default: the studio's own)")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="(default: %(default)s)")
    parser.add_argument("--split", choices=("train", "held-out"), default="held-out", help="(default: %(default)s)")
    parser.add_argument("--samples", type=int, default=16, help="rays a pixel, then denoised (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="of Cycles (default: one a core)")
    options = parser.parse_args(argv)
    studio = StudioSamples(options.assets, options.seed, options.split, Options(profile="full"))
    plan = plan_of(studio, options.count, options.size)
    plan = replace(plan, source={**plan.source, "kind": "cycles", "look": VERSION, "samples": options.samples})
    progress = Progress(Console(options.count), "render", options.count)
    cycles = Cycles(options.blender_python, options.size, options.samples, options.threads)
    waiting = options.out / "frames"
    write(options.out, plan, CyclesPairs(studio, cycles, waiting, plan), 1, progress.update)
    shutil.rmtree(waiting, ignore_errors=True)
    print(f"{options.out}: {options.count} pairs, sha256 {Records(options.out).sha256}")
    return 0


class Cycles:
    """Renders the scenes in a folder. ``python`` is a Python that has bpy, or Blender."""

    def __init__(self, python: Path, size: int, samples: int, threads: int = 0) -> None:
        self._python, self.size = python, size
        before = ("--background", "--factory-startup", "--python") if python.stem.lower().startswith("blender") else ()
        after = ("--",) if before else ()
        self._before, self._after = before, (*after, str(size), str(samples), str(threads))

    def draw(self, folder: Path) -> None:
        """Render all scenes in ``folder`` that lack a picture; raises EngineError ``missing_file`` or ``cycles``."""
        *separator, size, samples, threads = self._after
        command = [self._python, *self._before, SCRIPT, *separator, folder, size, samples, threads]
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with tempfile.TemporaryFile() as said:
            try:
                status = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, env=alone).returncode
            except OSError as fault:
                raise EngineError(
                    "missing_file",
                    f"{self._python} cannot be started ({fault.strerror or fault}).",
                    "Give --blender-python a Python that has bpy, or Blender itself.",
                ) from fault
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
        if status != 0 or any(not scene.with_suffix(".npy").exists() for scene in folder.glob("*.npz")):
            raise EngineError(
                "cycles",
                f"{self._python} did not draw all scenes of {folder}: {''.join(last) or f'it ended with {status}'}.",
                "Give --blender-python a Python that has bpy (pip install bpy), or Blender itself; run this again.",
            )


class CyclesPairs:
    """Pairs as the parts of records, in order; several are rendered at once and wait in ``folder``."""

    def __init__(self, studio: StudioSamples, cycles: Cycles, folder: Path, plan: Plan) -> None:
        self._studio, self._cycles, self._folder, self._plan = studio, cycles, folder, plan

    def __call__(self, number: int) -> Parts:
        return self.pair(number).parts()

    def pair(self, number: int) -> Pair:
        scenes = self._studio.scenes(number)
        if not all(path.exists() for path in self._drawings(number, scenes)):
            self._draw(range(number, min(number + _AT_ONCE, self._plan.count)))
        pictures = []
        for scene, path in zip(scenes, self._drawings(number, scenes), strict=True):
            light = np.load(path, allow_pickle=False).astype(np.float32)
            picture = render(scene, self._cycles.size)
            pictures.append(replace(picture, image=photograph(scene, light[..., :3], light[..., 3])))
        return labelled(pictures[0], pictures[1], self._studio.person(number))

    def _draw(self, numbers: range) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("*.np[yz]"):  # frames of finished shards are not needed any more
                if int(path.stem.split("-")[0]) < numbers.start - self._plan.per_shard:
                    path.unlink()
        except OSError as fault:
            raise write_fault(self._folder, fault) from fault
        for number in numbers:
            scenes = self._studio.scenes(number)
            for scene, path in zip(scenes, self._drawings(number, scenes), strict=True):
                if not path.exists():
                    export.save(scene, path.with_suffix(".npz"))
        self._cycles.draw(self._folder)
        for path in self._folder.glob("*.npz"):
            path.unlink()

    def _drawings(self, number: int, scenes: tuple[Scene, Scene]) -> Iterator[Path]:
        """Paths of the two frames of a pair; the same path if both are the same scene."""
        yield self._folder / f"{number:06d}-source.npy"
        yield self._folder / f"{number:06d}-{'source' if scenes[0] is scenes[1] else 'driving'}.npy"
