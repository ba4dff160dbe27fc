"""Child processes: the engine's command line, a clean environment, one process group each. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

Process = subprocess.Popen[bytes]
_WINDOWS_FLAGS = 0x00000200 | 0x08000000  # CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW, named on Windows only

# -I ignores every PYTHON* variable, the user's site-packages and the current folder, and so also the engine: this
# puts the root first on the path and runs the package as ``python -m engine`` would.
BOOTSTRAP = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('engine', run_name='__main__', alter_sys=True)"
)


def engine_command(python: Path, root: Path, *arguments: str) -> list[str]:
    """The command line that runs ``python -m engine ARGUMENTS`` of ``root``, cut off from the user's own Python."""
    return [str(python), "-I", "-X", "utf8", "-c", BOOTSTRAP, str(root), *arguments]


def clean_environment() -> dict[str, str]:
    """This process's variables without those by which Blender's or a shell's Python would reach into the child's."""
    unwanted = ("PYTHON", "VIRTUAL_ENV", "CONDA", "__PYVENV")
    return {key: value for key, value in os.environ.items() if not key.upper().startswith(unwanted)}


def popen(command: list[str], stdin: int, stdout: int, stderr: int, folder: Path | None = None) -> Process:
    """Start ``command`` in a process group of its own, without a console window on Windows."""
    windows = sys.platform == "win32"
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=folder,
        env=clean_environment(),
        start_new_session=not windows,
        creationflags=_WINDOWS_FLAGS if windows else 0,
    )


def kill_tree(process: Process) -> None:
    """End ``process`` and whatever it started, at once."""
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # they have ended already
        os.killpg(process.pid, signal.SIGKILL)  # the group outlives its leader as long as anyone is left in it


def is_alive(pid: int) -> bool:
    """Whether this machine has a process ``pid``."""
    if sys.platform == "win32":
        import ctypes

        synchronize, timed_out = 0x00100000, 0x102
        handle = ctypes.windll.kernel32.OpenProcess(synchronize, False, pid)
        alive = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == timed_out
        ctypes.windll.kernel32.CloseHandle(handle)
        return alive
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def run_lines(command: list[str], report: Callable[[str], None], cancelled: threading.Event | None = None) -> int:
    """Run ``command`` to its end, reporting what it prints line by line; returns its exit status.

    Setting ``cancelled`` kills it. Raises OSError when it cannot be started.
    """
    process = popen(command, subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT)
    assert process.stdout is not None
    if cancelled is not None:
        threading.Thread(target=_kill_when, args=(process, cancelled), daemon=True).start()
    with process.stdout:
        for line in process.stdout:
            if text := line.decode("utf-8", "replace").rstrip():
                report(text)
    return process.wait()


def _kill_when(process: Process, cancelled: threading.Event) -> None:
    while process.poll() is None:
        if cancelled.wait(0.1):
            kill_tree(process)
            return
