"""``python -m engine doctor``: what this engine can do here, and what is missing."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from engine import catalog, protocol, weights
from engine.device import device_name

# Module → the distribution that must provide it. All are needed to render.
REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "cv2": "opencv-python-headless",
    "av": "av",
    "safetensors": "safetensors",
}
OPTIONAL = {"face_alignment": "face-alignment"}


def main(argv: list[str]) -> int:
    """Exit status 1 when something needed is missing or damaged."""
    argparse.ArgumentParser(
        "python -m engine doctor", description="List packages, runtimes, systems and weights, and what is missing."
    ).parse_args(argv)
    print(f"understudy {protocol.VERSION}, protocol {protocol.PROTOCOL}")
    print(f"python     {platform.python_version()}  {sys.executable}")
    print(f"system     {platform.platform()}")
    print(f"device     {device_name()}")
    sound = [_package(module, name, needed=True) for module, name in REQUIRED.items()]
    for module, name in OPTIONAL.items():
        _package(module, name, needed=False)
    sound += [_networks(), _systems(), _weights()]
    print("all is well" if all(sound) else "something is missing: see the lines that begin with MISSING or DAMAGED")
    return 0 if all(sound) else 1


def _package(module: str, name: str, needed: bool) -> bool:
    try:
        import_module(module)
        print(f"package    {name} {version(name)}")
        return True
    except PackageNotFoundError:
        print(f"MISSING    {name}: another package provides {module}")
    except Exception as fault:  # a broken native library may raise anything
        if needed or not isinstance(fault, ModuleNotFoundError):
            print(f"MISSING    {name}: {fault!r}")
        else:
            print(f"optional   {name} is not installed")
    return False


def _networks() -> bool:
    try:
        from engine.runtime import survey
    except ImportError as fault:
        print(f"MISSING    networks cannot be run: {fault}")
        return False
    found = survey.survey()
    for line in found.lines:
        print(line)
    return found.sound


def _systems() -> bool:
    """Every system and detector of the catalog: those whose weights are here must open."""
    from engine import systems

    sound = True
    for info in catalog.SYSTEMS:
        missing = [file for file in info.weights if not (weights.FOLDER / file).is_file()]
        try:
            if missing:
                print(f"optional   system {info.name} needs {', '.join(missing)}")
            else:
                systems.create(info.name, {})
                print(f"system     {info.name}")
        except Exception as fault:  # a broken native library may raise anything
            print(f"MISSING    system {info.name}: {fault!r}")
            sound = False
    for info in catalog.DETECTORS:
        missing = [file for file in info.weights if not (weights.FOLDER / file).is_file()]
        print(f"optional   detector {info.name} needs {', '.join(missing)}" if missing else f"detector   {info.name}")
    return sound


def _weights() -> bool:
    try:
        entries = weights.manifest()
    except (OSError, ValueError) as fault:
        print(f"MISSING    {weights.MANIFEST}: {fault}")
        return False
    sound = True
    for entry in entries:
        state = entry.state()
        print(f"weights    {entry.path.name} {entry.size} bytes" if state is None else state)
        sound = sound and state is None
    return sound
