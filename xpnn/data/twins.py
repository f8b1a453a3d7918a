"""Twins: what was read of a large CSV file, kept as an array in the user's cache folder, so that it is parsed once.

A twin is found by the size and the SHA-256 of the CSV file's bytes, and by what parsed them. The hash is of the very
bytes that were parsed, and is taken anew before the twin is used: reading them costs a tenth of parsing them. The
file's time is not asked: a file may be changed and keep its time, and one that has another time may be the same.

A twin is a NPY file with a SHA-256 behind it. One that is cut off, changed or no twin is not used, but written anew.
No trouble with the folder is the user's: where nothing can be kept, the CSV file is parsed each time.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xpnn.data import places
from xpnn.data.files import CHUNK, Fingerprint
from xpnn.errors import Path, XpnnError
from xpnn.files import write_atomically
from xpnn.memory import bytes_in

MOST_VARIABLE = "XPNN_CSV_CACHE_MB"
MOST = 2000  # megabytes that all twins together may take, unless the variable says otherwise
FEWEST = 1 << 21  # bytes of a file worth a twin, packed or not: they take 13 ms to parse, or packed 150
HEADER = 128  # bytes of NPY's, for any table
SHAPE = re.compile(rb"'shape': \(([1-9]\d{,14}), ([1-9]\d{,14})\)")
DRAFT_SECONDS = 86_400  # after so long nobody is writing any more


def read_once(
    path: Path, reader: str, dtype: type[np.generic], parse: Callable[[Fingerprint | None], NDArray[Any]]
) -> NDArray[Any]:
    """The table that `parse` makes of a whole file: from its twin, or else parsed, and then kept as one.

    reader: what parses the file, and how: its name, its version, and all that the table depends on beside the file.
    dtype:  the table's. It has two axes.
    parse:  called with a fingerprint to take as the file is read, or None.

    Raises what `parse` raises, and XpnnError if $XPNN_CSV_CACHE_MB isn't a number of megabytes.
    """
    if not _is_worth_a_twin(path):
        return parse(None)
    table = _recalled(path, reader, dtype)
    if table is None:
        fingerprint = Fingerprint()
        table = parse(fingerprint)
        _keep(table, fingerprint, reader)
    return table


def folder() -> FilePath:
    """Where the twins are. Raises XpnnError where there is no cache folder."""
    return places.cache_folder() / "csv"


def kept() -> list[tuple[FilePath, os.stat_result]]:
    """All twins, the one that was used last at the end."""
    found = []
    for path in folder().glob("*-*.npy"):
        with suppress(OSError):  # another process may delete it
            found.append((path, path.stat()))
    return sorted(found, key=lambda twin: twin[1].st_mtime_ns)


def clear() -> list[tuple[FilePath, os.stat_result]]:
    """Delete all twins and say which there were. Raises XpnnError if they can't be deleted."""
    found = kept()
    try:
        for path in (*(path for path, _ in found), *folder().glob(".*.draft")):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise XpnnError(f"{error.filename}: can't be deleted ({error.strerror})") from error
    return found


def _most_bytes() -> int:
    """How much all twins together may take. Raises XpnnError if the variable holds no number."""
    given = bytes_in(MOST_VARIABLE)
    return MOST * 1_000_000 if given is None else given


def _is_worth_a_twin(path: Path) -> bool:
    """Whether a file is so large that parsing it takes longer than it takes to find and check its twin."""
    try:
        return os.stat(path).st_size >= FEWEST and _most_bytes() > 0
    except (OSError, ValueError):  # which the reader will explain
        return False


def _recalled(path: Path, reader: str, dtype: type[np.generic]) -> NDArray[Any] | None:
    """The table out of the file's twin; None where there is no true one."""
    try:
        if not any(folder().glob(f"{os.stat(path).st_size}-*.npy")):  # which spares the hash
            return None
        fingerprint = Fingerprint()
        with fingerprint.opening(path):
            pass
        twin = folder() / _name(fingerprint, reader)
        with open(twin, "rb") as file:
            table = _checked(file, twin.name, dtype)
    except (OSError, XpnnError):
        return None
    if table is not None:
        with suppress(OSError):
            os.utime(twin)
    return table


def _checked(file: BinaryIO, name: str, dtype: type[np.generic]) -> NDArray[Any] | None:
    """The table in a twin's file; None unless it is whole, and written for this name."""
    head = file.read(HEADER)
    found = SHAPE.search(head)
    if not found:
        return None
    shape = int(found[1]), int(found[2])
    hashed = hashlib.sha256(name.encode() + head)
    size = HEADER + shape[0] * shape[1] * np.dtype(dtype).itemsize + hashed.digest_size
    if head != _header(shape, dtype) or size != os.fstat(file.fileno()).st_size or size > _most_bytes():
        return None  # before memory is asked for, which a false shape may want without end
    table = np.empty(shape, dtype)
    content = table.reshape(-1).view(np.uint8).data
    for start in range(0, len(content), CHUNK):
        piece = content[start : start + CHUNK]
        file.readinto(piece)  # type: ignore[attr-defined]  # which all binary files have
        hashed.update(piece)
    return table if file.read() == hashed.digest() else None


def _keep(table: NDArray[Any], fingerprint: Fingerprint, reader: str) -> None:
    """Write the table's twin, if it can be done, and delete those that weren't used for longest to make room."""
    if not fingerprint.digest or HEADER + table.nbytes + len(fingerprint.digest) > _most_bytes():
        return
    name, head = _name(fingerprint, reader), _header(table.shape, table.dtype)
    content = np.ascontiguousarray(table).reshape(-1).view(np.uint8).data
    hashed = hashlib.sha256(name.encode() + head)
    hashed.update(content)
    with suppress(OSError, XpnnError):
        folder().mkdir(mode=0o700, parents=True, exist_ok=True)  # for the user's eyes: the CSV file may be
        _make_room(_most_bytes() - HEADER - len(content) - hashed.digest_size)
        write_atomically(folder() / name, head, content, hashed.digest())


def _make_room(most: int) -> None:
    """Delete the twins that weren't used for longest until the others take no more than `most` bytes."""
    there = kept()
    taken = sum(about.st_size for _, about in there)
    for path, about in there:
        if taken <= most:
            break
        path.unlink(missing_ok=True)
        taken -= about.st_size
    for draft in folder().glob(".*.draft"):  # of a process that was killed
        if draft.stat().st_mtime < time.time() - DRAFT_SECONDS:
            draft.unlink(missing_ok=True)


def _name(fingerprint: Fingerprint, reader: str) -> str:
    """The twin's file name: the CSV file's size, and what tells it from all others, NumPy's version too: it parses."""
    key = f"{reader}, NumPy {np.__version__}, {fingerprint.digest.hex()}"
    return f"{fingerprint.size}-{hashlib.sha256(key.encode()).hexdigest()}.npy"


def _header(shape: tuple[int, ...], dtype: Any) -> bytes:
    """NPY's header of a table."""
    written = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(written, about)
    return written.getvalue()
