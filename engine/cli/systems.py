"""``python -m engine systems``: systems, detectors and frame inputs as Markdown tables, from the catalog."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from engine import catalog, weights


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m engine systems", description="Print systems, their options, and detectors as Markdown tables."
    )
    parser.add_argument("--inputs", action="store_true", help="print the arrays that a system may read instead")
    print(_inputs() if parser.parse_args(argv).inputs else _catalog())
    return 0


def _catalog() -> str:
    systems = [
        (f"`{info.name}`", info.label, info.description, _portraits(info), _weights(info.weights))
        for info in catalog.SYSTEMS
    ]
    options = [
        (f"`{info.name}`", f"`{option.name}`", option.accepts, _default(option), option.tooltip)
        for info in catalog.SYSTEMS
        for option in info.options
    ]
    detectors = [(f"`{info.name}`", info.label, info.description, _weights(info.weights)) for info in catalog.DETECTORS]
    return "\n\n".join(
        (
            _table(("System", "Label", "What it does", "Portraits drawn", "Weights"), systems),
            _table(("System", "Option", "Values", "Default", "Meaning"), options),
            _table(("Detector", "Label", "What it is", "Weights"), detectors),
        )
    )


def _inputs() -> str:
    from engine.geometry.frame_inputs import FIELDS

    users = {name: [f"`{info.name}`" for info in catalog.SYSTEMS if name in info.needs] for name in FIELDS}
    rows = [
        (f"`{name}`", f"({', '.join(map(str, field.shape))})", field.text, ", ".join(users[name]))
        for name, field in FIELDS.items()
    ]
    return _table(("Array", "Shape", "What it is", "Read by"), rows)


def _portraits(info: catalog.SystemInfo) -> str:
    return "any number" if info.portraits is None else str(info.portraits)


def _weights(files: tuple[str, ...]) -> str:
    if not files:
        return "none needed"
    missing = [file for file in files if not (weights.FOLDER / file).is_file()]
    return f"missing: {', '.join(missing)}" if missing else "present"


def _default(option: catalog.Option) -> str:
    return f"`{json.dumps(option.default, ensure_ascii=False)}`" if option.default != "" else "none"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
