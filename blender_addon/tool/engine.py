"""Where the engine is: its code, its Python, its logs. The one place that knows the extension's own folders."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import bpy

from ..core.background import Work
from ..core.environment import create_managed, find_base_python, find_engine_python
from ..core.fault import Fault
from ..core.process import engine_command, run_lines
from .compat import Context

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights"
LOCKS = (ROOT / "engine" / "requirements.lock",)
KEPT_LOGS = 10
EXTENSION = (__package__ or "").partition(".blender_addon")[0]


def preference(name: str) -> str:
    """One of the add-on's preferences; empty where Blender keeps none, as after ``--addons`` on its command line."""
    context: Context = bpy.context
    addon = context.preferences.addons.get(EXTENSION)
    return getattr(addon.preferences, name) if addon else ""


def user_folder() -> Path:
    """The extension's own writable folder; an update of the extension leaves it alone."""
    return Path(bpy.utils.extension_path_user(EXTENSION, create=True))


def engine_python() -> Path:
    """The engine's Python; raises :class:`Fault` ``engine_python``."""
    return find_engine_python(preference("engine_python"), os.environ, user_folder() / "engine", LOCKS)


def new_log_file() -> Path:
    """A file of this process for the engine's standard error; the oldest logs are deleted."""
    folder = user_folder() / "logs"
    folder.mkdir(exist_ok=True)
    logs = sorted(folder.glob("engine-*.log"), key=lambda log: log.name)
    for old in logs[: -KEPT_LOGS + 1]:
        with suppress(OSError):  # on Windows another Blender may still write it
            old.unlink()
    return folder / f"engine-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"


def installer() -> Work:
    """The work of installing the engine; it touches no bpy and so may run on a thread."""
    base, folder = preference("base_python"), user_folder() / "engine"

    def install(report, cancelled) -> None:
        create_managed(find_base_python(base), folder, LOCKS, report, cancelled)

    return install


def doctor() -> Work:
    """The work of asking the engine what it can do; it touches no bpy. Raises :class:`Fault` ``engine_python``."""
    command = engine_command(engine_python(), ROOT, "doctor")

    def ask(report, cancelled) -> None:
        try:
            status = run_lines(command, report, cancelled)
        except OSError as error:
            raise Fault("engine_start", f"{command[0]} could not be started: {error}.", "Correct its path.") from error
        if status != 0 and not cancelled.is_set():
            raise Fault("doctor", "The engine is not ready.", "The lines below say why.")

    return ask
