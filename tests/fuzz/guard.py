"""Runs a reader on bytes that nobody vouches for, and holds it to what docs/reliability.md promises.

What is promised of any file: the reader returns or raises an error of xpnn's, whose text is one line; it does so within
a second of work, and one more for each five megabytes, and within ten times the file's size in memory and a constant;
it runs nothing that the file says, and opens, writes and removes no other file. The size of a file that is packed with
gzip or bzip2 or a picture is what it unpacks to, which the readers bound.

Memory is what the process came to hold more, of Python and of libraries in C alike; where it is traced, each byte that
Python and NumPy asked for, whether it was written to or not, and wherever it came from.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from PIL import Image

from xpnn import XpnnError
from xpnn.data.files import ALWAYS_UNPACKED

SECONDS = 1.0  # of the process's own work, which a busy machine hardly stretches
SIZE_A_SECOND = 5 << 20
SLOWER = 10  # times, where memory is traced
FACTOR, CONSTANT = 10, 64 << 20
LONGEST_MESSAGE = 2000
FORBIDDEN = ("subprocess.", "socket.", "os.", "shutil.", "pickle.", "marshal.", "ctypes.", "urllib.", "pty.", "syslog.")
LINUX = Path("/proc/self")
ABOUT_THE_MACHINE = ("/proc/", "/sys/")  # how much memory is free is asked there
NO_FILE = "<string>"  # where Python 3.13 looks for the line of a text in memory that it can't parse, to show it
HARMLESS = ("os.listdir", "os.scandir", "os.putenv")

_watched: str | None = None  # the only folder in which files may be opened, while a reader runs
_seen: list[str] = []


class BrokenPromiseError(Exception):
    """A reader did what no file may make it do."""


def scratch_folder() -> Path:
    """A new folder, in memory where that can be had."""
    memory = Path("/dev/shm")  # noqa: S108  # its content is the fuzzer's own
    return Path(tempfile.mkdtemp(prefix="xpnn-fuzz-", dir=memory if memory.is_dir() else None))


def check(
    read: Callable[[Path], object],
    content: bytes,
    path: Path,
    *,
    lay: Callable[[Path, bytes], object] = Path.write_bytes,
    trace: bool = False,
    constant: int = CONSTANT,
) -> bool:
    """Let `read` read `content` from `path`: whether it was read; BrokenPromiseError where a promise is broken.

    lay:      puts the content there, as a file or a folder.
    trace:    count to the byte what Python and NumPy ask for, which makes it several times slower.
    constant: bytes that any file may take.
    """
    lay(path, content)
    before = resident_memory("VmRSS", anew=True)
    if trace:
        tracemalloc.start()
    started = time.process_time()
    try:
        with watched(path.parent):
            read(path)
        message = ""
    except XpnnError as error:
        message = str(error)
        if not (message.isprintable() and len(message) < LONGEST_MESSAGE):
            raise BrokenPromiseError(f"the message is not one short line: {message!r}") from error
    finally:
        seconds = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1] if trace else resident_memory("VmHWM") - before
        if trace:
            tracemalloc.stop()
    if seconds > SECONDS * SLOWER**trace or peak > FACTOR * len(content) + constant:
        size = unpacked_size(content)
        if seconds > SECONDS * SLOWER**trace * (1 + size / SIZE_A_SECOND):
            raise BrokenPromiseError(f"{seconds:.1f} s for {size:,} bytes")
        if peak > FACTOR * size + constant:
            raise BrokenPromiseError(f"{peak:,} bytes of memory for a file of {size:,}")
    return not message


def resident_memory(name: str, *, anew: bool = False) -> int:
    """Bytes of memory that the process has (VmRSS), or had at most since it was asked anew (VmHWM); 0 but on Linux."""
    try:
        if anew:
            (LINUX / "clear_refs").write_text("5")  # proc(5): the most is then what it is now
        lines = (LINUX / "status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


def unpacked_size(content: bytes) -> int:
    """Bytes, as far as they can be unpacked and up to what readers unpack of any file; of a picture four a pixel."""
    size = 0
    with suppress(Exception), Image.open(io.BytesIO(content)) as picture:  # whatever Pillow raises, it is none
        size = 4 * picture.width * picture.height
    for unpack in (gzip.open, bz2.open):
        with suppress(OSError, EOFError, zlib.error), unpack(io.BytesIO(content)) as unpacked:
            while size <= ALWAYS_UNPACKED and (chunk := unpacked.read(1 << 16)):
                size += len(chunk)
    return max(size, len(content))


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Raise BrokenPromiseError, at the end, if code is run, or a file touched that isn't in `folder`."""
    global _watched  # noqa: PLW0603  # a hook has no other way to know
    _seen.clear()
    _watched = f"{folder}{os.sep}"
    try:
        yield
    finally:
        _watched = None
        if _seen:
            raise BrokenPromiseError("; ".join(_seen[:5]))


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None or not _is_broken(event, arguments):
        return
    caller: FrameType | None = sys._getframe(1)
    while caller is not None:
        if caller.f_code.co_filename.startswith("<frozen importlib"):
            return  # some modules are imported by the first file that needs them
        caller = caller.f_back
    _seen.append(f"{event} {arguments}"[:300])


def _is_broken(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        name = str(arguments[0])
        return _writes(arguments[2]) or not (name == NO_FILE or name.startswith((str(_watched), *ABOUT_THE_MACHINE)))
    if event == "exec":  # exec and eval alike
        return not _is_of_a_module(arguments[0].co_filename)
    return event.startswith(FORBIDDEN) and event not in HARMLESS


def _writes(flags: int | None) -> bool:
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))


def _is_of_a_module(file: str) -> bool:
    return file.startswith("<frozen") or os.path.isabs(file)


sys.addaudithook(_hook)  # for good: Python takes no hook away
