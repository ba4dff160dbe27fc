"""``python -m engine``: one process, several verbs. Each verb is imported only when it is used."""

from __future__ import annotations

import os
import sys

# The matrices here are small: sharing them between threads costs more than it gains, and several times as much while
# anything else runs on the machine. NumPy reads this when it is first imported, which a verb does.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

USAGE = """usage: python -m engine VERB …

  render    make a take without Blender, or finish one
  verify    check a take: list missing and damaged frames
  analyse   track the motion in footage and write a motion file
  doctor    say what this engine can do here, and what is missing
  systems   print the systems with their options, and the detectors
  serve     speak the protocol on stdin and stdout (for Blender)
  evaluate  measure the systems on footage
  train     train the networks and the face model

python -m engine VERB --help says more."""


def main(argv: list[str]) -> int:
    verb, rest = (argv[0], argv[1:]) if argv else ("", [])
    if verb == "serve":
        from engine.cli.serve import main as run
    elif verb == "render":
        from engine.cli.render import main as run
    elif verb == "verify":
        from engine.cli.verify import main as run
    elif verb == "analyse":
        from engine.cli.analyse import main as run
    elif verb == "doctor":
        from engine.cli.doctor import main as run
    elif verb == "systems":
        from engine.cli.systems import main as run
    elif verb == "evaluate":
        from engine.evaluation.cli import main as run
    elif verb == "train":
        from engine.training.cli import main as run
    elif verb == "--version":
        from engine import protocol

        print(f"understudy {protocol.VERSION}")
        return 0
    else:
        print(USAGE, file=sys.stdout if verb in ("-h", "--help") else sys.stderr)
        return 0 if verb in ("-h", "--help") else 2
    return run(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
