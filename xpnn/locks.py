"""One process at a time: a lock on a file in a folder, which ends with its process, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xpnn.errors import XpnnError
from xpnn.files import make_folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = ".lock"


@contextmanager
def alone_in(folder: Path, remedy: str, taken: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Make the folder, and be the only process that works in it; gives what tells whether that still holds.

    It doesn't where the folder was moved or deleted: another process may lock the one that is in its place now.

    remedy: what to do where the folder can't be made or the lock can't be had, for the error's text.
    taken:  called again and again while another process has the lock; it waits a little, or raises.

    Raises XpnnError if the folder can't be written or locked.
    """
    try:
        make_folder(folder)
        file = open(folder / LOCK_NAME, "ab")  # noqa: SIM115  # closed below
    except OSError as error:
        raise XpnnError(f"{folder}: can't be written ({error.strerror}); {remedy}") from error
    with file:
        while not _lock(file, remedy):
            taken()
        yield lambda: _is_at(file, folder / LOCK_NAME)


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def _lock(file: IO[bytes], remedy: str) -> bool:
    """Whether the lock is ours now."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise XpnnError(f"{file.name}: can't be locked ({error.strerror}); {remedy}") from error
    return True
