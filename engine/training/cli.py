"""``python -m engine train …``: the recipes behind the shipped weights. Never needed to run the product."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.errors import EngineError


def main(argv: list[str]) -> int:
    """Run one recipe; returns the exit code."""
    parser = argparse.ArgumentParser(prog="engine train", description=__doc__)
    recipes = parser.add_subparsers(dest="recipe", required=True)
    face = recipes.add_parser("face-model", help="learn the 3-D face model from head assets")
    face.add_argument("--assets", type=Path, required=True, help="folder with the head assets (docs/face_model.md)")
    face.add_argument("--out", type=Path, default=Path("weights/face_model.safetensors"))
    face.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(argv)
    try:
        from engine.training.face_model import recipe

        recipe.train(options.assets, options.out, recipe.Settings(seed=options.seed))
    except EngineError as fault:
        print(f"{fault.text} {fault.remedy}", file=sys.stderr)
        return 1
    return 0
