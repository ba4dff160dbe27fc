"""``python -m engine evaluate compare|detectors|results``: how good systems and detectors are."""

from __future__ import annotations

import argparse

from engine.cli.console import reported
from engine.evaluation import compare, detectors, results

_VERBS = {
    "compare": (compare, "systems side by side"),
    "detectors": (detectors, "face detectors and mattes side by side"),
    "results": (results, "the standard datasets, as one page"),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m engine evaluate", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, (module, summary) in _VERBS.items():
        module.add_arguments(verbs.add_parser(name, help=summary, description=module.__doc__))
    options = parser.parse_args(argv)
    return reported(lambda: _VERBS[options.verb][0].main(options))
