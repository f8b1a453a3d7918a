"""How much memory there is, what is therefore left in its file, and what can't be made at all."""

from __future__ import annotations

import gc
import math
import os
import re
import sys
from pathlib import Path

from xpnn.errors import DeviceError, XpnnError

VARIABLE = "XPNN_MEMORY_MB"  # how much inputs may take, where the user says it, and nets where it is more than is found
SHARE = 0.5  # of the memory that can be had: larger inputs stay in their file
CHECKED = 256_000_000  # bytes; what takes less is never compared with the memory
GROUPS = "/sys/fs/cgroup/"
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def fits(size: int) -> bool:
    """Whether so many bytes are read into memory. Raises XpnnError if $XPNN_MEMORY_MB is no number of megabytes."""
    given = bytes_in(VARIABLE)
    return size <= (SHARE * available() if given is None else given)


def check_room(size: int, what: str, remedy: str) -> None:
    """Raise DeviceError if `size` bytes, all of which will be written, are more than the memory can hold.

    Without this the system ends the program in the middle of its work, without a word. Raises XpnnError if
    $XPNN_MEMORY_MB is no number of megabytes.
    """
    if size < CHECKED or size <= max(obtainable(), bytes_in(VARIABLE) or 0):
        return
    gc.collect()  # a run that was left suspended may hold arrays
    most = max(obtainable(), bytes_in(VARIABLE) or 0)
    if size > most:
        problem = f"{what} {size / 1e9:,.1f} GB of memory, and {most / 1e9:,.1f} GB can be had"
        raise DeviceError(f"{problem}: {remedy} (${VARIABLE} says how much there is, if it is more)")


def obtainable() -> float:
    """Bytes that can be had at the most: free, of files that are merely cached, or swapped; infinite unless on Linux.

    More than `available`, an estimate of what can be had without harm. Elsewhere too large an array is an error of
    itself, or the swap has no end that is known.
    """
    known = dict(re.findall(r"^(\S+): +(\d+) kB", _text("/proc/meminfo"), re.MULTILINE))
    if not {"MemFree", "SwapFree"} <= known.keys():
        return math.inf
    swap = 1024.0 * int(known["SwapFree"])
    names = ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable")
    machine = 1024.0 * sum(int(known.get(name, 0)) for name in names)
    return min(machine, _of_the_control_group("active_file", "inactive_file", "slab_reclaimable")) + swap


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
    return min(_of_the_machine(), _of_the_control_group("inactive_file"))


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


def _of_the_control_group(*cached: str) -> float:
    """What a container has left, by control groups of either version.

    cached: what of its memory is merely cached, and doesn't count.
    """
    for folder, limit, used in (("", "memory.max", "memory.current"), ("memory/", *VERSION_1)):
        most, taken = _text(f"{GROUPS}{folder}{limit}").strip(), _text(f"{GROUPS}{folder}{used}").strip()
        if most.isdigit() and taken.isdigit():
            stat = dict(re.findall(r"^(?:total_)?(\w+) (\d+)", _text(f"{GROUPS}{folder}memory.stat"), re.MULTILINE))
            return float(max(0, int(most) - int(taken) + sum(int(stat.get(name, 0)) for name in cached)))
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
