"""The processor. :mod:`engine.runtime` says what networks run on."""

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


@functools.cache
def processor_features() -> frozenset[str]:
    """Instruction sets as Linux names them (``avx512_bf16``, ``amx_bf16``); empty where the system does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linux systems
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
