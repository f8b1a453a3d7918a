"""Parquet and Arrow files, opened to be read a row group at a time; pyarrow decodes them.

`columnar.py` makes rows of what is read here.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, cast

from xpnn.data.files import first_bytes, opened, shown, with_way_back
from xpnn.errors import DataError, Path
from xpnn.failures import first_line
from xpnn.stored import FileState, check_unchanged, file_state

PARQUET_MAGIC = b"PAR1"
ARROW_MAGIC = b"ARROW1"
STREAM_MAGIC = b"\xff\xff\xff\xff"  # what `datasets.save_to_disk` writes begins with the length of a message
BATCH_ROWS = 1024  # decoded at a time: a row group may be the whole file, and its columns far wider than uint8


def is_arrow(head: bytes) -> bool:
    """Whether a file that begins with these bytes (6 or more) is Parquet, an Arrow file (Feather) or Arrow's stream."""
    return head.startswith((PARQUET_MAGIC, ARROW_MAGIC, STREAM_MAGIC))


class Footer(NamedTuple):
    """What a Parquet file has at its end, read once, and how the file was then (`xpnn.stored.file_state`)."""

    metadata: Any
    state: FileState


class ArrowFile(NamedTuple):
    """An open file of columns.

    schema:  pyarrow's: the columns' names and types, and what the writer noted beside them.
    groups:  how many row groups it has; in Arrow's files they are called record batches. A stream is one group.
    batches: (group, columns' names) -> the group's rows, as pyarrow's record batches of at most `batch_rows` rows.
    footer:  of a Parquet file that is not packed: with it the file can be opened again, to read any of its groups.
    """

    path: Path
    schema: Any
    groups: int
    batches: Callable[[int, Sequence[str]], Iterator[Any]]
    footer: Footer | None = None


class _Within(io.RawIOBase):
    """A file of which no more is asked for than it has: reading sets aside what it is asked for, and headers lie."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, count: int | None = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if count is None or count < 0 else min(count, left))


@contextmanager
def opened_arrow(path: Path, batch_rows: int = BATCH_ROWS, footer: Footer | None = None) -> Iterator[ArrowFile]:
    """Open a Parquet file, an Arrow file or stream, packed or not.

    footer: of a Parquet file that was open before: it is not read again, and the file must not have changed since. One
            thread then decodes, for each of several would keep memory of its own.

    Whatever goes wrong inside the with block is a DataError, also that pyarrow isn't installed.
    """
    try:
        import pyarrow  # noqa: F401 - here, where its absence can be told from damage
    except ImportError as error:
        raise DataError("reading Parquet and Arrow files needs pyarrow: pip install 'xpnn[parquet]'", path) from error
    head = first_bytes(path, 8)
    if not is_arrow(head):
        raise DataError("this is no Parquet or Arrow file", path)
    opener = next(opener for magic, opener in _OPENERS.items() if head.startswith(magic))
    with opened(path) as file:
        try:
            state = None  # of a packed file nothing is read again
            if file.seekable():
                state = file_state(os.fstat(file.fileno()))
                if footer is not None:
                    check_unchanged(os.fstat(file.fileno()), footer.state, path)
            found = opener(path, cast(BinaryIO, _Within(with_way_back(file))), batch_rows, footer, state)
            if len(set(found.schema.names)) < len(found.schema.names):
                ((twice, _),) = Counter(found.schema.names).most_common(1)
                raise DataError(f"two columns are called {shown(twice)}: give every column a name of its own", path)
            yield found
        except DataError:
            raise
        except MemoryError as error:
            raise DataError("asks for more memory than there is: it is damaged, or too large", path) from error
        except Exception as error:  # ArrowInvalid, ArrowTypeError, OSError, ArrowNotImplementedError, ValueError, ...
            raise DataError(f"damaged Parquet or Arrow file ({first_line(error)}): fetch it again", path) from error


def _parquet(path: Path, file: BinaryIO, batch_rows: int, footer: Footer | None, state: FileState | None) -> ArrowFile:
    from pyarrow import parquet

    metadata = None if footer is None else footer.metadata
    content = parquet.ParquetFile(file, metadata=metadata, pre_buffer=False, page_checksum_verification=True)

    def batches(group: int, names: Sequence[str]) -> Iterator[Any]:
        # Other columns may come along: pyarrow takes "a.b" for the part b of a column a, too.
        return content.iter_batches(  # type: ignore[no-any-return]
            batch_rows, row_groups=[group], columns=list(names), use_threads=footer is None
        )

    found = None if state is None else Footer(content.metadata, state)
    return ArrowFile(path, content.schema_arrow, content.num_row_groups, batches, found)


def _arrow(path: Path, file: BinaryIO, batch_rows: int, *_: object) -> ArrowFile:
    from pyarrow import ipc

    content = ipc.open_file(file)

    def batches(group: int, names: Sequence[str]) -> Iterator[Any]:
        return _cut(content.get_batch(group), names, batch_rows)

    return ArrowFile(path, content.schema, content.num_record_batches, batches)


def _stream(path: Path, file: BinaryIO, batch_rows: int, *_: object) -> ArrowFile:
    from pyarrow import ipc

    content = ipc.open_stream(file)

    def batches(group: int, names: Sequence[str]) -> Iterator[Any]:
        for batch in content:
            yield from _cut(batch, names, batch_rows)

    return ArrowFile(path, content.schema, 1, batches)


def _cut(batch: Any, names: Sequence[str], rows: int) -> Iterator[Any]:
    batch = batch.select(list(names))
    batch.validate(full=True)  # offsets that a stranger wrote may point anywhere
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


_OPENERS: dict[bytes, Callable[..., ArrowFile]] = {PARQUET_MAGIC: _parquet, ARROW_MAGIC: _arrow, STREAM_MAGIC: _stream}


def class_names(schema: Any, column: str) -> tuple[str, ...]:
    """What the numbers in a column of labels are called, as Hugging Face's `datasets` notes it; or nothing."""
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        names = noted["names"] if noted["_type"] == "ClassLabel" else ()
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        return ()
    return tuple(names) if len(set(names)) == len(names) else ()


def index_columns(schema: Any) -> set[str]:
    """The columns that are pandas' row numbers or names, as it notes them; no data of their own."""
    try:
        noted = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return set()
    return {name for name in noted if isinstance(name, str)} if isinstance(noted, list) else set()
