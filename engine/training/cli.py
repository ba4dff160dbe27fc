"""``python -m engine train …``: the recipes behind the shipped weights. Never needed to run the product."""

from __future__ import annotations

import importlib
import sys

from engine.cli.console import reported

# name: (module, what it does). A module is imported only when it is asked for; its ``command(argv)`` parses its own
# arguments, returns an exit code and may raise EngineError.
COMMANDS = {
    "face-model": ("engine.training.face_model.recipe", "learn the 3-D face model from head assets"),
    "run": ("engine.training.run", "train what a recipe says, or go on with it"),
    "export": ("engine.training.export", "make a run's weights into files that ship"),
    "throughput": ("engine.training.throughput", "measure how fast the studio and the recipes are here"),
    "sheet": ("engine.training.studio.sheet", "draw a contact sheet of the studio's people and labels"),
    "shards": ("engine.training.shard_writer", "render samples ahead, or cut clips into them"),
    "realism": ("engine.training.studio.cycles.realism", "draw the studio's pairs by Cycles, to judge on"),
}


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code."""
    name, rest = (argv[0], argv[1:]) if argv else ("", [])
    if name not in COMMANDS:
        width = max(map(len, COMMANDS))
        lines = [f"  {command:{width}}  {purpose}" for command, (_, purpose) in COMMANDS.items()]
        usage = "\n".join(["usage: python -m engine train COMMAND …", "", *lines])
        print(usage, file=sys.stdout if name in ("-h", "--help") else sys.stderr)
        return 0 if name in ("-h", "--help") else 2
    return reported(lambda: importlib.import_module(COMMANDS[name][0]).command(rest))
