"""``python -m engine train …``: the commands that make the shipped weights. Rendering does not need them."""

from __future__ import annotations

import importlib
import sys

from engine.cli.console import reported

# name: (module, purpose). A module is imported when its command is called; ``command(argv)`` parses the arguments,
# returns an exit code and may raise EngineError.
COMMANDS = {
    "face-model": ("engine.training.face_model.recipe", "learn the 3-D face model from head assets"),
    "run": ("engine.training.run", "train a recipe, or resume it"),
    "export": ("engine.training.export", "write a run's weights as files that ship"),
    "throughput": ("engine.training.throughput", "measure the speed of the studio and of recipes"),
    "sheet": ("engine.training.studio.sheet", "draw a contact sheet of the studio's people and labels"),
    "shards": ("engine.training.shard_writer", "render samples ahead, or take them from clips"),
    "realism": ("engine.training.studio.cycles.realism", "render the studio's pairs with Cycles, to measure on"),
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
