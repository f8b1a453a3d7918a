"""Rows that stay in a Parquet file, which is packed group by group.

A row is had by decoding those before it in its group, so they are best read together, and in their order.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn import stored
from xpnn.data.arrow import BATCH_ROWS, ArrowFile, opened_arrow
from xpnn.data.blocks import Block, NotPixelsError, label_texts
from xpnn.data.labelled import are_pixels
from xpnn.data.layouts import Layout, all_bytes, rows_of, values_of
from xpnn.data.npz import hold_pixels
from xpnn.data.parts import Rows
from xpnn.errors import DataError, Path

DECODED_BYTES = 1 << 17  # of rows that are decoded at a time: lists of whole numbers take 8 times as much meanwhile


class RowGroups:
    """The rows of a Parquet file, as `xpnn.stored.RowFile` has them.

    file:    open, and not packed; it may be closed afterwards.
    columns: names of those that the rows are made of.
    values:  makes rows (k, n_in) of a block of these columns.
    like:    some rows, for their width and dtype.

    What was read last is kept open: who asks for the rows that come next goes on from there.
    """

    def __init__(
        self, file: ArrowFile, columns: Sequence[str], values: Callable[[Block], NDArray[Any]], like: NDArray[Any]
    ) -> None:
        if file.footer is None:
            raise DataError("only a Parquet file that is not packed can be read in parts", file.path)
        self.path: Path = file.path
        self.footer, self.columns, self.values, self.dtype = file.footer, tuple(columns), values, like.dtype
        groups = [self.footer.metadata.row_group(group) for group in range(file.groups)]
        self.starts = np.cumsum([0, *(group.num_rows for group in groups)], dtype=np.int64)
        self.shape = (int(self.starts[-1]), like.shape[1])
        self.row_bytes = like.shape[1] * like.itemsize
        self.group_rows = max((group.num_rows for group in groups), default=0)
        self.group_bytes = max([self.group_rows * self.row_bytes, *(group.total_byte_size for group in groups)])
        at_once = stored.BLOCK_BYTES if len(self.columns) > 1 else DECODED_BYTES  # each column takes its time
        self.batch_rows = min(BATCH_ROWS, max(1, at_once // self.row_bytes))
        self.lock = threading.Lock()
        self.batches: Iterator[tuple[int, int, Any]] = iter(())
        self.group, self.first, self.batch = -1, 0, None  # of what was read last, and the number of its first row

    @property
    def block_rows(self) -> int:
        """See RowFile. As many groups as make a block, or one, where all have the same number of rows."""
        rows: int = self.group_rows * max(1, stored.BLOCK_BYTES // max(1, self.group_rows * self.row_bytes))
        return rows

    def check_groups(self) -> None:
        """Raise DataError if a group is larger than a window: it would have to be in memory as a whole."""
        if self.group_bytes > stored.WINDOW_BYTES:
            size = f"{self.shape[0] * self.row_bytes / 1e9:.3g} GB, too much for this machine's memory"
            found = f"row groups of {self.group_rows:,} rows, {self.group_bytes / 1e6:,.0f} MB"
            fewer = max(1, 4 * stored.BLOCK_BYTES * self.group_rows // self.group_bytes)
            remedy = f"write it anew with row_group_size={fewer} (docs/large-data.md shows how)"
            raise DataError(f"holds {size}, in {found}, too large to be shuffled from the file: {remedy}", self.path)

    def read(self, start: int, out: NDArray[Any]) -> None:
        """See RowFile."""
        self.pick(np.arange(start, start + len(out)), out)

    def pick(self, numbers: NDArray[np.int64], out: NDArray[Any]) -> None:
        """See RowFile."""
        with self.lock:
            self._check_unchanged()
            begin = 0
            while begin < len(numbers):
                self._go_to(int(numbers[begin]))
                end = int(np.searchsorted(numbers, self.first + self.batch.num_rows))  # type: ignore[attr-defined]
                rows = numbers[begin:end]
                out[begin:end] = self.values(Block(self.path, _part(self.batch, rows - self.first), rows.tolist()))
                begin = end

    def _check_unchanged(self) -> None:
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise DataError(f"can't be read any more: {error.strerror or error}", self.path) from error
        stored.check_unchanged(found, self.footer.state, self.path)

    def _go_to(self, row: int) -> None:
        """Have the batch with this row."""
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        if self.batch is None or row < self.first or not self.group <= group <= self.group + 1:
            self.batches, self.batch = self._read_from(group), None
        while self.batch is None or row >= self.first + self.batch.num_rows:
            self.batch = None  # so that after an error, or without a next one, all begins anew
            self.group, self.first, self.batch = next(self.batches)

    def _read_from(self, group: int) -> Iterator[tuple[int, int, Any]]:
        """Group, number of the first row, and rows, from a group to the end."""
        with opened_arrow(self.path, self.batch_rows, self.footer) as file:
            for number in range(group, file.groups):
                first = int(self.starts[number])
                for batch in file.batches(number, self.columns):
                    yield number, first, batch
                    first += batch.num_rows
                if first != self.starts[number + 1]:
                    raise DataError(
                        f"damaged Parquet file (too few rows in row group {number}): fetch it again", self.path
                    )


def _part(batch: Any, places: NDArray[np.int64]) -> Any:
    """Some rows of a batch; `places` never fall."""
    first, count = int(places[0]), int(places[-1] - places[0]) + 1
    return batch.slice(first, count) if count == len(places) else batch.take(places)


class InFile(NamedTuple):
    """What stays in a Parquet file: its rows, as StoredRows without labels, and how they lie there."""

    rows: Rows
    layout: Layout


def in_file(file: ArrowFile, layout: Layout, pixels: bool = False, decided: bool = False) -> InFile | None:
    """The rows of a Parquet file that is not packed, of which the first are read to know them; None if it has no rows.

    layout:  what `layout_of` found.
    pixels:  columns must hold pixels, as for `read_columns`.
    decided: the layout is that of another file, and says whether these hold pixels; if False, the first rows do.

    Raises DataError for what can't be read.
    """
    batches = (batch for group in range(file.groups) for batch in file.batches(group, layout.inputs))
    batch = next((batch for batch in batches if batch.num_rows), None)
    if batch is None:
        return None
    row, shape = values_of(Block(file.path, batch.slice(0, 1), [0]), layout._replace(pixels=False))
    batch = batch.slice(0, max(1, stored.BLOCK_BYTES // row.nbytes))
    block = Block(file.path, batch, range(batch.num_rows))
    try:
        first, shape = values_of(block, layout)
    except NotPixelsError:
        if pixels or decided or not layout.pixels:
            raise
        layout = layout._replace(pixels=False)
        first, shape = values_of(block, layout)
    if not decided and layout.kind == "lists":
        layout = layout._replace(pixels=first.dtype != np.uint8 and hold_pixels(first))
    elif not decided and layout.kind == "columns" and layout.pixels:
        layout = layout._replace(pixels=pixels or all_bytes(file, layout.inputs) or are_pixels(first))
    like = values_of(block, layout)[0]
    groups = RowGroups(file, layout.inputs, lambda block: values_of(block, layout, shape)[0], like)
    return InFile(rows_of(stored.StoredRows.of(groups), [], layout, shape), layout)


def with_labels(file: ArrowFile, found: InFile, limit: int | None = None) -> Rows:
    """The first rows that stay in a file, as many as `limit`, and their labels, which are read."""
    rows, label = found.rows._replace(inputs=found.rows.inputs[:limit]), found.layout.label
    if label is None:
        return rows
    labels: list[str] = []
    batches = (batch for group in range(file.groups) for batch in file.batches(group, [label]))
    for batch in batches:
        block = Block(file.path, batch, range(len(labels), len(labels) + batch.num_rows))
        labels += label_texts(block, label, found.layout.names)
        if len(labels) >= len(rows.inputs):
            break
    if len(labels) < len(rows.inputs):
        raise DataError(
            f"damaged Parquet file ({len(labels)} labels for {len(rows.inputs)} rows): fetch it again", file.path
        )
    return rows._replace(labels=labels[: len(rows.inputs)])
