"""Rows that stay in a file: they are read a part at a time, when they are used.

`StoredRows` stands where an array of inputs would. What it reads of is anything with the shape and the dtype of its
rows, how many of them are best read together, and a way to read some: a `FlatFile` for rows that lie one behind the
other, as in IDX, in NPY and below a memory-mapped array. A mapping's pages count as the program's own memory as long
as they are there; what is read into a buffer is as large as the buffer.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnn.arrays import Names, named_array
from xpnn.errors import DataError, Path

WINDOW_BYTES = 1 << 26  # of rows that are in memory together; fewer are read into it, and are no StoredRows
BLOCK_BYTES = 1 << 20  # of rows that lie together and are read together: a disk reads so much at nearly its full speed
PIECE_BYTES = 1 << 22  # that are read at once, at most, where only some rows of a file are wanted
GAP_BYTES = 1 << 14  # between two of these; to read on is quicker than to read twice

Check = Callable[[NDArray[Any], Sequence[int]], NDArray[Any]]
FileState: TypeAlias = tuple[int, int, int]  # inode, size, time: what tells a file from another


class RowFile(Protocol):
    """A file that rows can be read from, in parts."""

    @property
    def path(self) -> Path:
        """For errors."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n_in)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the rows as `read` gives them."""

    @property
    def block_rows(self) -> int:
        """How many rows are best read together."""

    def read(self, start: int, out: NDArray[Any]) -> None:
        """Read as many rows as `out` has, from number `start` on. Raises DataError where that can't be done."""

    def pick(self, numbers: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read the rows of these numbers, which never fall, one or more. Raises as `read` does."""


@dataclass(frozen=True)
class FlatFile:
    """A file with rows one behind the other, from `offset` on, in bytes. Raises DataError for one that is too short."""

    path: Path
    offset: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    state: FileState = field(init=False)  # of the file, when it was found

    def __post_init__(self) -> None:
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise DataError(f"can't be read: {error.strerror or error}", self.path) from error
        object.__setattr__(self, "state", file_state(found))
        promised = self.offset + self.shape[0] * self.row_bytes
        if found.st_size < promised:
            raise DataError(f"cut short: it has {found.st_size} bytes and should have {promised}", self.path)

    @property
    def row_bytes(self) -> int:
        """Of a row, in the file."""
        return self.shape[1] * self.dtype.itemsize

    @property
    def block_rows(self) -> int:
        """See RowFile."""
        return max(1, BLOCK_BYTES // self.row_bytes)

    def read(self, start: int, out: NDArray[Any]) -> None:
        """See RowFile."""
        view = out.reshape(-1).view(np.uint8).data
        try:
            with open(self.path, "rb", buffering=0) as file:
                check_unchanged(os.fstat(file.fileno()), self.state, self.path)
                file.seek(self.offset + start * self.row_bytes)
                while view:
                    count = file.readinto(view)
                    if not count:
                        raise DataError("the file became shorter while it was read: start anew", self.path)
                    view = view[count:]
        except OSError as error:
            raise DataError(f"can't be read any more: {error.strerror or error}", self.path) from error

    def pick(self, numbers: NDArray[np.int64], out: NDArray[Any]) -> None:
        """See RowFile. Each stretch of the file that has enough of the rows is read once."""
        is_far = np.diff(numbers) * self.row_bytes > GAP_BYTES
        is_other_piece = np.diff(numbers // max(1, PIECE_BYTES // self.row_bytes)) > 0
        ends = [*(np.flatnonzero(is_far | is_other_piece) + 1).tolist(), len(numbers)]
        begin = 0
        for end in ends:
            first, last = int(numbers[begin]), int(numbers[end - 1])
            stretch = np.empty((last + 1 - first, self.shape[1]), dtype=self.dtype)
            self.read(first, stretch)
            out[begin:end] = stretch[numbers[begin:end] - first]
            begin = end


def file_state(found: os.stat_result) -> FileState:
    """What tells a file from the one that was there before."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def check_unchanged(found: os.stat_result, state: FileState, path: Path) -> None:
    """Raise DataError unless the file is as it was."""
    if file_state(found) != state:
        raise DataError("the file was changed while its rows were in use: start anew", path)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows (n, n_in) of a file, all or some. Indexing gives a row, or other StoredRows, and reads nothing of these.

    numbers: which rows of the file they are, in their order: a range, or int64 (n,).
    check:   what is done to rows that were read, with their numbers; None: nothing.
    dtype:   that they have then.
    """

    file: RowFile
    numbers: Any
    dtype: np.dtype[Any]
    check: Check | None = None

    @staticmethod
    def of(file: RowFile) -> StoredRows:
        """All rows of a file, as they are there."""
        return StoredRows(file, range(file.shape[0]), file.dtype)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n_in)."""
        return len(self), self.file.shape[1]

    @property
    def ndim(self) -> int:
        """As of an array."""
        return 2

    @property
    def are_few(self) -> bool:
        """Whether they may as well be read into memory."""
        return self.nbytes <= WINDOW_BYTES

    @property
    def nbytes(self) -> int:
        """How many they would be in memory."""
        return len(self) * self.file.shape[1] * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer):
            place = range(len(self))[key]
            return self.read(place, place + 1)[0]
        if not isinstance(key, slice):
            numbers = self.numbers
            if isinstance(numbers, range):
                numbers = np.arange(numbers.start, numbers.stop, numbers.step)
            return replace(self, numbers=numbers[key])  # a mask of another length is an IndexError
        return replace(self, numbers=self.numbers[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("rows of a file can't be had without a copy")
        return self.read(0, len(self)).astype(dtype or self.dtype, copy=False)

    def checked(self, check: Check) -> StoredRows:
        """The same rows, each looked at by `check` when it is read. Raises what `check` does for no rows at all."""
        nothing = check(np.empty((0, self.shape[1]), dtype=self.dtype), ())
        return replace(self, dtype=nothing.dtype, check=check)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to before `stop`, an array of their own.

        Raises DataError where the file can't be read, has changed since it was found, or `check` finds a fault.
        """
        numbers = self.numbers[start:stop]
        is_range = isinstance(numbers, range) and numbers.step == 1
        rows = self._range(numbers) if is_range else self._picked(np.asarray(numbers, dtype=np.int64))
        native = rows.dtype.newbyteorder("=")
        rows = rows if rows.dtype == native else rows.astype(native)
        try:
            return rows if self.check is None else self.check(rows, numbers)
        except DataError as error:
            raise DataError(str(error), self.file.path) from error

    def _range(self, numbers: Sequence[int]) -> NDArray[Any]:
        rows = np.empty((len(numbers), self.shape[1]), dtype=self.file.dtype)
        if len(rows):
            self.file.read(numbers[0], rows)
        return rows

    def _picked(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Rows from here and there."""
        rows = np.empty((len(numbers), self.shape[1]), dtype=self.file.dtype)
        if not len(rows):
            return rows
        if (np.diff(numbers) >= 0).all():
            self.file.pick(numbers, rows)
            return rows
        places = numbers.argsort(kind="stable")
        rising = np.empty_like(rows)
        self.file.pick(numbers[places], rising)
        rows[places] = rising
        return rows


def named_rows(values: Any, wanted: Sequence[str] | None = None) -> tuple[Any, Names]:
    """`xpnn.arrays.named_array`, but what stays in a file as StoredRows: these, and a large memory-mapped array."""
    if isinstance(values, StoredRows):
        return values, None
    if isinstance(values, np.memmap) and values.ndim == 2 and values.nbytes > WINDOW_BYTES:
        found = _below(values)
        return (values if found is None else StoredRows.of(found)), None
    return named_array(values, wanted)


def _below(mapped: np.memmap[Any, Any]) -> FlatFile | None:
    """The file of a memory-mapped array, from where its rows begin; None where they are not all that lies there.

    Copy-on-write maps may differ from their file, and those of a file without a name can't be read otherwise.
    """
    mapping = mapped._mmap  # type: ignore[attr-defined]  # NumPy names it for those who want to close it
    if mapping is None or not mapped.filename or not mapped.flags.c_contiguous or mapped.mode == "c":
        return None
    if mapped.flags.writeable:
        mapped.flush()
    begin = mapped.offset - mapped.offset % mmap.ALLOCATIONGRANULARITY
    before = mapped.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data
    return FlatFile(mapped.filename, begin + before, (mapped.shape[0], mapped.shape[1]), mapped.dtype)


def are_in_file(rows: Any) -> bool:
    """Whether a run visits these rows in the order of a file: they stay there, and are not few."""
    return isinstance(rows, StoredRows) and not rows.are_few


def part_of(rows: Any, start: int, stop: int) -> Any:
    """Rows of an array, or of a file as an array."""
    return rows.read(start, min(stop, len(rows))) if isinstance(rows, StoredRows) else rows[start:stop]


def chunks(rows: Any) -> Iterable[Any]:
    """The rows of an array at once, those of a file a block at a time: for what is gathered from all of them."""
    if not isinstance(rows, StoredRows):
        return (rows,)
    return (rows.read(start, start + rows.file.block_rows) for start in range(0, len(rows), rows.file.block_rows))
