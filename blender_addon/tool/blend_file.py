"""Saving the .blend file from a process without a window, unless another process saved it meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..core.fault import Fault
from ..core.lock import locked

_known: tuple[str, tuple[int, int] | None] = ("", None)  # the file that was opened or saved last, and its stamp


def check_saved() -> None:
    """Raise :class:`Fault` ``unsaved_blend`` when there is no file to save to; else note its state if unknown."""
    if not bpy.data.filepath:
        raise Fault("unsaved_blend", "This file has never been saved.", "Save it once, or leave out --save.")
    if _known[0] != os.path.realpath(bpy.data.filepath):
        _note(bpy.data.filepath)  # the add-on was enabled after the file was opened


def save(folder: Path) -> None:
    """Save the file, or leave it as it is on disk and raise :class:`Fault`; ``folder`` is where the frames are.

    ``file_changed``: it was saved by another process; ``file_locked``: it is being saved by one; ``not_saved``,
    ``not_writable``: it cannot be written.
    """
    path = Path(os.path.realpath(bpy.data.filepath))
    with locked(path.with_name(f"{path.name}.understudy-lock"), "file_locked", f"saving {path.name}"):
        if _known != (str(path), _stamp(path)):
            raise Fault(
                "file_changed",
                f"{path.name} was saved by another process since it was opened, so it is not saved again.",
                f"The frames are in {folder}. Open the file and press Add to Timeline in the panel, under Takes.",
            )
        try:
            bpy.ops.wm.save_mainfile()
        except RuntimeError as error:
            raise Fault(
                "not_saved", f"{path.name} was not saved: {error}", "Check the disk and its permissions."
            ) from error


def _stamp(path: Path) -> tuple[int, int] | None:
    """(size, time of change in nanoseconds); None for a file that is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@persistent
def _note(path: str = "", *_) -> None:
    """Before a file is read, so that a change while it is being read counts too, and after it was saved."""
    global _known
    real = os.path.realpath(path) if path else ""
    _known = (real, _stamp(Path(real)) if real else None)


def register() -> None:
    bpy.app.handlers.load_pre.append(_note)
    bpy.app.handlers.save_post.append(_note)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(_note)
    bpy.app.handlers.save_post.remove(_note)
