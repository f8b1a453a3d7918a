"""How much memory a program takes, in a process of its own, since a peak never goes down."""

from __future__ import annotations

import subprocess
import sys

# `peak()` is the largest memory that the process had so far, in bytes. On Linux it is not the system's ru_maxrss: there
# a program begins with the peak of the one that started it, and a large pytest would hide all that a small one takes.
PEAK = """
import resource, sys

def peak():
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024
"""


def printed(program: str, *arguments: str) -> str:
    """What `program`, which may call `peak()`, prints when it is run with these arguments."""
    command = [sys.executable, "-c", PEAK + program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
