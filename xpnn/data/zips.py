"""ZIP files, opened with no more trust than their size allows."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from xpnn.data.files import opened, with_way_back
from xpnn.errors import DataError, Path
from xpnn.failures import first_line

if TYPE_CHECKING:
    import zipfile

ALWAYS_LISTED = 1 << 20  # bytes that the list of members may take; beyond that, it is half of the file at most
ENDS = ((b"PK\x05\x06", "<12xI"), (b"PK\x06\x06", "<40xQ"))  # where its size stands; the second beyond 4 GB


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP file, packed once more or not. Raises DataError if it can't be opened, is damaged, or none."""
    import zipfile  # which loads many others

    with opened(path) as file:
        content = with_way_back(file)
        try:
            _check_list(content)
            archive = zipfile.ZipFile(content)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DataError(f"damaged ZIP file ({first_line(error)}): fetch it again", path) from error
        with archive:
            yield archive


def _check_list(file: BinaryIO) -> None:
    """Raise ValueError if the archive is hardly more than a list of members, which takes 20 times as much in memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 128))
    tail = file.read()
    file.seek(0)
    for magic, form in ENDS:
        end = tail[found:] if (found := tail.rfind(magic)) >= 0 else b""
        if len(end) >= struct.calcsize(form) and struct.unpack_from(form, end)[0] > max(ALWAYS_LISTED, size // 2):
            raise ValueError("its list of members is too long for what is in it")
