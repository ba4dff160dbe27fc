"""The engine's Python: the configured one, or an environment that the add-on makes. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .fault import Fault
from .lock import locked
from .process import kill_tree, popen, run_lines

VERSIONS = ((3, 11), (3, 12), (3, 13))  # those for which every package of the lock has wheels
VARIABLE = "UNDERSTUDY_ENGINE_PYTHON"
ASK_SECONDS = 30.0  # for a Python to say its version
STAMP = "understudy-lock.sha256"  # written last: an environment without it was never finished

Report = Callable[[str], None]


def find_engine_python(preference: str, environ: Mapping[str, str], managed: Path, locks: Sequence[Path]) -> Path:
    """The engine's Python: the preference, else ``UNDERSTUDY_ENGINE_PYTHON``, else the managed environment.

    The first that is set counts, and is never replaced by a later one. Raises :class:`Fault` ``engine_python``.
    """
    for source, value in (("The add-on's preferences", preference), (VARIABLE, environ.get(VARIABLE, ""))):
        if value:
            python = Path(value).expanduser()
            if not python.is_file():
                raise Fault(
                    "engine_python",
                    f"{source} name {python} as the engine's Python, but there is no such file.",
                    "Correct that path, or empty it and press Install Engine in the add-on's preferences.",
                )
            return python
    if not (managed / STAMP).is_file():
        raise Fault(
            "engine_python",
            "The engine is not installed yet.",
            "Press Install Engine in the add-on's preferences, or name there a Python that has its packages.",
        )
    if (managed / STAMP).read_text("ascii") != fingerprint(locks):
        raise Fault(
            "engine_python",
            "The installed engine environment belongs to another version of Understudy.",
            "Press Install Engine in the add-on's preferences again.",
        )
    return python_of(managed)


def find_base_python(preference: str = "") -> Path:
    """The Python to make the environment from: ``preference`` if given, else Blender's own, else one of this machine.

    Raises :class:`Fault` ``base_python``.
    """
    wanted = f"Python {'.'.join(map(str, VERSIONS[0]))} to {'.'.join(map(str, VERSIONS[-1]))}"
    remedy = (
        f"Install {wanted} (python.org for Windows and macOS; python3 and python3-venv on Debian and Ubuntu), then "
        "press Install Engine again, or name its executable in the add-on's preferences."
    )
    if preference:
        version = python_version(Path(preference))
        if version not in VERSIONS:
            found = "is not a Python" if version is None else f"is Python {version[0]}.{version[1]}"
            raise Fault("base_python", f"{preference} {found}; the engine needs {wanted}.", remedy)
        return Path(preference)
    names = [f"python{major}.{minor}" for major, minor in reversed(VERSIONS)]
    for name in (sys.executable, *names, "python3", "python"):  # the first is the one that Blender itself runs
        path = shutil.which(name)
        if path and python_version(Path(path)) in VERSIONS:
            return Path(path)
    if sys.platform == "win32" and (launcher := shutil.which("py")):
        for major, minor in reversed(VERSIONS):
            if path := _ask([launcher, f"-{major}.{minor}", "-I", "-c", "import sys; print(sys.executable)"]):
                return Path(path)
    raise Fault("base_python", f"No {wanted} was found on this machine, and the engine needs one.", remedy)


def create_managed(
    python: Path,
    folder: Path,
    locks: Sequence[Path],
    report: Report,
    cancelled: threading.Event | None = None,
) -> Path:
    """Make a virtual environment in ``folder`` from ``python`` and install the hashed ``locks``; returns its Python.

    Blocks, for minutes; ``report`` receives one line at a time, from this thread. An environment that is up to date
    is left alone; any other is made anew. Raises :class:`Fault`: ``base_python``, ``environment_folder``,
    ``environment_locked`` (another process is installing), ``environment_failed`` or ``cancelled``.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock_file = folder.with_name(f"{folder.name}.lock")  # beside the folder, which is emptied first
    with locked(lock_file, "environment_locked", "installing the engine"):
        return _install(python, folder, locks, report, cancelled)


def _install(
    python: Path, folder: Path, locks: Sequence[Path], report: Report, cancelled: threading.Event | None
) -> Path:
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text("ascii") == fingerprint(locks):
        report(f"{folder} is up to date")
        return python_of(folder)
    base = find_base_python(str(python))
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise Fault(
            "environment_folder",
            f"{folder} holds something other than an environment; it is left alone.",
            "Move its contents elsewhere, then press Install Engine again.",
        )
    stamp.unlink(missing_ok=True)
    report(f"Making an environment from {base}")
    _run([str(base), "-I", "-m", "venv", "--clear", str(folder)], report, cancelled)
    for lock in locks:
        report(f"Installing {lock.name}")
        pip = [str(python_of(folder)), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        # --no-deps: the lock is complete.
        pip += ["--progress-bar", "off", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(lock)]
        _run(pip, report, cancelled)
    stamp.write_text(fingerprint(locks), "ascii")
    report("The engine is installed")
    return python_of(folder)


def python_of(folder: Path) -> Path:
    """The interpreter of the virtual environment in ``folder``."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(locks: Sequence[Path]) -> str:
    """What an environment made from ``locks`` is stamped with."""
    return hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()


def python_version(python: Path) -> tuple[int, int] | None:
    """(major, minor) of ``python``, by asking it; None if it is not a Python."""
    answer = _ask([str(python), "-I", "-c", "import sys; print(*sys.version_info[:2])"])
    try:
        major, minor = map(int, answer.split())
    except ValueError:
        return None
    return major, minor


def _ask(command: list[str]) -> str:
    """What ``command`` prints; empty if it fails or takes longer than ``ASK_SECONDS``."""
    try:
        process = popen(command, subprocess.DEVNULL, subprocess.PIPE, subprocess.DEVNULL)
    except OSError:
        return ""
    with process:
        try:
            answer, _ = process.communicate(timeout=ASK_SECONDS)
        except subprocess.TimeoutExpired:
            kill_tree(process)
            return ""
    return answer.decode("utf-8", "replace").strip() if process.returncode == 0 else ""


def _run(command: list[str], report: Report, cancelled: threading.Event | None) -> None:
    lines: deque[str] = deque(maxlen=5)

    def heard(line: str) -> None:
        lines.append(line)
        report(line)

    try:
        status = run_lines(command, heard, cancelled)
    except OSError as error:
        status, lines = -1, deque([str(error)])
    if cancelled is not None and cancelled.is_set():
        raise Fault("cancelled", "The installation was cancelled.", "Press Install Engine to start again.")
    if status != 0:
        raise Fault(
            "environment_failed",
            f"{' '.join(command[2:5])} failed: {' '.join(lines)}",
            "Check the network connection and the free disk space, then press Install Engine again.",
        )
