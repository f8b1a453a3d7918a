"""Opening data files, plain or packed (gzip, bzip2) by content; whatever fails on the way is a DataError.

What a file unpacks to is bounded, or a few bytes could fill the memory: by `check_unpacked`, for all packed formats.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from xpnn.errors import DataError, Path
from xpnn.failures import first_line

GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = re.compile(rb"BZh[1-9]1AY&SY")  # the digits of pi, which begin a block
CHUNK = 1 << 20
ALWAYS_UNPACKED = 64 << 20  # bytes; any file may unpack to as much
MOST_UNPACKED = 100  # times the file's size, above that; MNIST's is 5 times as large in IDX, 7 times in CSV
SHOWN_UNUSABLE = 10  # columns, beside the first
UNPACK_FIRST = "if that is meant, unpack it first and give the unpacked file"


Progress = Callable[[int, int], None]  # pictures that were read, and of how many


class Fingerprint:
    """The size and the SHA-256 of a file's bytes as they lie there, packed or not, taken while they are read.

    So it is of the very bytes that were read, whatever becomes of the file meanwhile.
    """

    def __init__(self) -> None:
        self.size = 0
        self.digest = b""  # none until a file has been read to its end

    @contextmanager
    def opening(self, path: Path) -> Iterator[io.BufferedReader[Any]]:
        """Open a file, and begin afresh; what the block leaves unread is read when it ends well."""
        self.size, self.digest = 0, b""
        seen = hashlib.sha256()
        with open(path, "rb", buffering=0) as raw, io.BufferedReader(_Seen(raw, seen), CHUNK) as file:
            yield file
            while file.read(CHUNK):
                pass
            self.size, self.digest = raw.tell(), seen.digest()


class _Seen(io.RawIOBase):
    """A file whose bytes also go into a hash as they are read."""

    def __init__(self, raw: io.FileIO, seen: Any) -> None:
        self.raw, self.seen = raw, seen

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.raw.readinto(buffer)
        self.seen.update(memoryview(buffer)[:count])
        return count


@contextmanager
def opened(path: Path, fingerprint: Fingerprint | None = None) -> Iterator[BinaryIO]:
    """Open a file to read its bytes, unpacked if they are packed with gzip or bzip2.

    fingerprint: takes the file's, if the block reads on to the end.

    Raises DataError if it can't be opened, and for whatever goes wrong while it is read inside the with block.
    """
    try:
        _check_is_file(path)
        with open(path, "rb") if fingerprint is None else fingerprint.opening(path) as file:
            if file.peek(2)[:2] == GZIP_MAGIC:
                with gzip.open(file) as unpacked:
                    yield _bounded(cast(BinaryIO, unpacked), path)  # which it is in all but its declaration
            elif BZIP2_MAGIC.match(file.peek(10)):
                with _bunzipped(file, path) as unpacked_bz2:
                    yield unpacked_bz2
            elif os.fspath(path).lower().endswith(".gz"):
                raise DataError("it is named .gz but isn't gzipped: rename it or fetch it again", path)
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"damaged gzip file ({first_line(error)}): fetch it again", path) from error
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", path) from error


@contextmanager
def _bunzipped(file: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    import bz2  # a Python may have been built without it

    try:
        with bz2.open(file) as unpacked:
            yield _bounded(cast(BinaryIO, unpacked), path)
    except (EOFError, OSError) as error:
        if getattr(error, "errno", None):  # the disk's
            raise
        raise DataError(f"damaged bzip2 file ({first_line(error)}): fetch it again", path) from error


class _Unpacked(io.RawIOBase):
    """The bytes of a packed file, as far as they may go. There is no way back: it would unpack all of them again."""

    def __init__(self, unpacked: BinaryIO, path: Path) -> None:
        self._unpacked, self._path, self._count = unpacked, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._unpacked.readinto(buffer)  # type: ignore[attr-defined]
        self._count += count
        check_unpacked(self._path, self._count)
        return count


def _bounded(unpacked: BinaryIO, path: Path) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Unpacked(unpacked, path), 1 << 16))


def with_way_back(file: BinaryIO) -> BinaryIO:
    """A file of `opened` in which one can go back and forth: itself, or all that it unpacks to."""
    return file if file.seekable() else io.BytesIO(file.read())


def check_unpacked(path: Path, size: int, remedy: str = UNPACK_FIRST, packed: int | None = None) -> None:
    """Raise DataError if what is packed, a picture too, is to become so many bytes that it can't be meant.

    packed: bytes that become so many; None: the file's.

    No content that is worth learning from is packed to a hundredth; a file that was made to fill the memory is.
    """
    if size > ALWAYS_UNPACKED:
        packed = os.stat(path).st_size if packed is None else packed
        if size > MOST_UNPACKED * packed:
            problem = f"its {packed:,} bytes become more than {MOST_UNPACKED} times as many"
            raise DataError(f"{problem}: {remedy}", path)


def _check_is_file(path: Path) -> None:
    """Raise DataError unless there is a regular file; a pipe can't be read twice."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise DataError("no such file", path) from None
    except ValueError:  # a NUL byte inside the name
        raise DataError("no file can have this name", shown(os.fspath(path))) from None
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror or error}", path) from error
    if stat.S_ISDIR(mode):
        raise DataError("this is a directory, a file is needed", path)
    if not stat.S_ISREG(mode):
        raise DataError("not a regular file: save the data to a file first", path)


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of the file, unpacked: enough to tell its format. Raises DataError as `opened` does."""
    with opened(path) as file:
        return file.read(count)


def read_up_to(file: BinaryIO, count: int) -> bytearray:
    """Read `count` bytes, or as many as there are.

    In chunks, because file.read(count) sets aside all of `count` first, and a damaged header may ask for petabytes.
    """
    content = bytearray()
    while len(content) < count and (chunk := file.read(min(CHUNK, count - len(content)))):
        content += chunk
    return content


def shown(text: str) -> str:
    """A value found in a file, in quotes and cut short, fit for an error's text."""
    return repr(text if len(text) <= 20 else text[:19] + "…")


def and_unusable(others: Iterable[str]) -> str:
    """What to say of a table's other columns that can't be used, after the first; each with what is wrong with it."""
    left = iter(others)  # a hostile table may have a quarter million
    listed = ", ".join(itertools.islice(left, SHOWN_UNUSABLE))
    more = sum(1 for _ in left)
    return f"; other columns that can't be used are {listed}{f' and {more:,} more' if more else ''}"


def check_limit(limit: int | None) -> None:
    """Raise ValueError unless `limit` is None or a possible number of rows."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
