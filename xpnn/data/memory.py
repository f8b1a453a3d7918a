"""How much memory there is, and what is therefore left in its file."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path

from xpnn.errors import XpnnError

VARIABLE = "XPNN_MEMORY_MB"  # how much inputs may take, where the user says it
SHARE = 0.5  # of the memory that can be had: larger inputs stay in their file
GROUPS = "/sys/fs/cgroup/"
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def fits(size: int) -> bool:
    """Whether so many bytes are read into memory. Raises XpnnError if $XPNN_MEMORY_MB is no number of megabytes."""
    given = bytes_in(VARIABLE)
    return size <= (SHARE * available() if given is None else given)


def bytes_in(variable: str) -> int | None:
    """The megabytes that a variable of the environment holds, in bytes; None where it isn't set, or empty.

    Raises XpnnError if it holds anything else.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    if not (given.isascii() and given.isdecimal()):
        raise XpnnError(f"{variable} is {given!r}, expected a whole number of megabytes, or 0 for none")
    return int(given) * 1_000_000


def available() -> float:
    """Bytes that can be had without swapping; of the whole machine where no more is known, else infinite."""
    return min(_of_the_machine(), _of_the_control_group())


def _of_the_machine() -> float:
    found = re.search(r"^MemAvailable: +(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    if found:
        return 1024.0 * int(found[1])
    if sys.platform == "win32":
        return _of_windows()
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return math.inf


def _of_the_control_group() -> float:
    """What a container has left, by control groups of either version; files that are merely cached don't count."""
    for folder, limit, used in (("", "memory.max", "memory.current"), ("memory/", *VERSION_1)):
        most, taken = _text(f"{GROUPS}{folder}{limit}").strip(), _text(f"{GROUPS}{folder}{used}").strip()
        if most.isdigit() and taken.isdigit():
            cached = re.search(r"^(?:total_)?inactive_file (\d+)", _text(f"{GROUPS}{folder}memory.stat"), re.MULTILINE)
            return float(max(0, int(most) - int(taken) + int(cached[1] if cached else 0)))
    return math.inf


def _of_windows() -> float:
    import ctypes

    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API."""

        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *(
                (name, ctypes.c_ulonglong)
                for name in ("total", "free", "pages", "free_pages", "own", "free_own", "rest")
            ),
        ]

    status = Status(ctypes.sizeof(Status))
    is_told = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined, unused-ignore]
    return float(status.free) if is_told else math.inf


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
