"""``python -m engine verify``: is a take whole?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.cli.console import reported

DESCRIPTION = """Merge the records of all processes that rendered a take into its sidecar, read every frame, and list
what is missing, torn (not a whole PNG) or foreign (not drawn for this take), and frames where the driver shows no face.

Exit status 0 when every frame that any process was asked for is whole, 1 when not, 2 when there is no take."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m engine verify", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("take", type=Path, metavar="TAKE", help="a take's folder, or its sidecar")
    arguments = parser.parse_args(argv)
    return reported(lambda: _verify(arguments.take))


def _verify(path: Path) -> int:
    from engine.takes.verify import find, verify

    take = find(path)
    if take is None:
        print(f"{path} is not a take.", file=sys.stderr)
        return 2
    report = verify(take)
    frames = report.sidecar["frames"]
    for word, numbers in (("missing", report.missing), ("torn", report.torn), ("no face", report.faceless)):
        if numbers:
            print(f"{word:8} {ranges(numbers)}")
    for name, reason in report.foreign:
        print(f"foreign  {name}: {reason}")
    for writer in report.sidecar["writers"]:
        if writer["state"] != "done":
            print(f"writer   {writer['name']} is {writer['state']}")
    for fault in report.faults:
        print(fault)
    lacking = len(report.missing) + len(report.torn) + sum(row[2] == "foreign" for row in frames)
    print(f"{take.name}: {len(frames) - lacking} of {len(frames)} frames are whole")
    return 0 if report.whole else 1


def ranges(numbers: list[int]) -> str:
    """Sorted numbers as ``1001-1010,1020``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
