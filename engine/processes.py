"""Processes of this machine, looked up without touching them."""

from __future__ import annotations

import os


def process_exists(pid: int) -> bool:
    """Whether there is a process ``pid``; True where that cannot be told, as on Windows."""
    if os.name != "posix" or pid <= 0:  # on Windows os.kill ends the process that it is asked about
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
