"""What the engine really computes on. Today that is the processor."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path


@functools.cache
def device_name() -> str:
    """For people: ``CPU Intel(R) Xeon(R) …, 2 threads``."""
    return f"CPU {_processor()}, {thread_count()} threads"


def thread_count() -> int:
    """Threads this process may use at once, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linux systems
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
