"""Rows of Parquet and Arrow files: pixels or numbers in columns, in lists, or pictures that are packed in a column.

`layouts.py` says which of these a file is. `read_group` reads the rows of one row group, and what reads a whole file
puts these together; `rowgroups.py` leaves them there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from xpnn.data.arrow import ArrowFile, opened_arrow
from xpnn.data.blocks import Block, NotPixelsError, label_texts
from xpnn.data.files import Progress, check_limit, check_unpacked
from xpnn.data.labelled import are_pixels
from xpnn.data.layouts import Layout, all_bytes, column_list, layout_of, rows_of, values_of
from xpnn.data.npz import hold_pixels
from xpnn.data.parts import Rows
from xpnn.data.rowgroups import in_file, with_labels
from xpnn.data.table import check_names, check_targets
from xpnn.errors import DataError, Path
from xpnn.memory import fits
from xpnn.samples import Samples


def read_columns(
    path: Path,
    label_column: str | None = None,
    *,
    limit: int | None = None,
    labelled: bool = True,
    columns: Sequence[str] | None = None,
    pixels: bool = False,
    progress: Progress | None = None,
) -> Rows:
    """Read a Parquet or Arrow file, packed or not, of one of these kinds.

    pictures: a column of PNG or JPEG files, {bytes, path} as the Hugging Face hub has them or their bytes alone.
    lists:    a column of lists of equally many numbers, or of lists of such lists: the lines of pictures.
    columns:  all columns but the labels' are numbers: pixels, or real numbers with names.

    label_column: as `labelled.read_labelled` has it; None: the column that is called label, class or the like.
    limit:        read the first rows only, as many as this.
    labelled:     if False, labels are not read, and need not be there.
    columns:      names of the input columns: it is a table that has these.
    pixels:       columns must hold pixels; if False, their types say whether they do, or else their content
                  (see `labelled.are_pixels`).
    progress:     told how many rows have been read, and how many there are, where a Parquet file says so.

    Returns inputs (n, n_in): pixels as uint8; lists of other numbers as float32 or float64; columns of others as
    float64, with their names. Those of a Parquet file that would take too much memory (`xpnn.memory`) stay in the
    file, if it is not packed, as StoredRows; what they are, its first thousand rows say, or as many as make 1 MB.
    Raises DataError naming the row and the column of what can't be read.
    """
    check_limit(limit)
    with opened_arrow(path) as file:
        layout = layout_of(file, label_column, labelled, columns, pixels)
        found = None if file.footer is None else in_file(file, layout, pixels)
        if found is not None and not fits(found.rows.inputs[:limit].nbytes):
            found.rows.inputs.file.check_groups()
            return with_labels(file, found, limit)
        try:
            rows = _read(file, layout, limit, progress)
        except NotPixelsError:
            if pixels:
                raise
            rows = _read(file, layout._replace(pixels=False), limit)
        sure = pixels or all_bytes(file, layout.inputs)
    if layout.kind == "lists" and rows.inputs.dtype != np.uint8 and hold_pixels(rows.inputs):
        return rows._replace(inputs=rows.inputs.astype(np.uint8))
    if layout.kind == "columns" and rows.columns is None and not (sure or are_pixels(rows.inputs)):
        return rows._replace(inputs=rows.inputs.astype(np.float64), columns=layout.inputs, image_shape=None)
    return rows


def read_numbers(
    path: Path, targets: Sequence[str] | None, limit: int | None = None, *, columns: Sequence[str] | None = None
) -> tuple[Samples, tuple[str, ...]]:
    """Real numbers of a Parquet or Arrow file by their columns' names, as `table.read_table` reads a CSV file."""
    check_limit(limit)
    check_targets(targets)
    asked = tuple(targets or ())
    with opened_arrow(path) as file:
        names = column_list(file)
        left_out = set(asked)
        inputs = tuple(name for name in names if name not in left_out) if columns is None else tuple(columns)
        check_names((*inputs, *asked), names, path)
        if not inputs:
            raise DataError("every column is a target: at least one must be an input", path)
        values = _read(file, Layout("columns", (*inputs, *asked), None), limit).inputs
    wanted = None if targets is None else np.ascontiguousarray(values[:, len(inputs) :])
    return Samples(np.ascontiguousarray(values[:, : len(inputs)]), wanted), inputs


def read_group(file: ArrowFile, layout: Layout, group: int) -> Rows:
    """The rows of one row group.

    Raises DataError naming row, counted from the group's first, and column of what can't be read.
    """
    blocks = list(_blocks(file, layout, [group]))
    inputs = np.concatenate([block.inputs for block in blocks])
    return blocks[0]._replace(inputs=inputs, labels=[label for block in blocks for label in block.labels])


def _read(file: ArrowFile, layout: Layout, limit: int | None, progress: Progress | None = None) -> Rows:
    """The rows of all row groups, or the first of them. They grow as they are read: no count in a header is trusted."""
    store, labels, block = bytearray(), [], None
    promised = None if file.footer is None else min(file.footer.metadata.num_rows, limit or sys.maxsize)
    for block in _blocks(file, layout, range(file.groups)):
        store += np.ascontiguousarray(block.inputs).data.cast("B")
        check_unpacked(file.path, len(store), "if that is meant, write it without compression and dictionaries")
        labels += block.labels
        width = block.inputs.shape[1] * block.inputs.itemsize
        if progress is not None and promised is not None:
            progress(min(len(store) // width, promised), promised)
        if limit is not None and len(store) >= limit * width:
            del store[limit * width :], labels[limit:]
            break
    if block is None:
        raise DataError("the file has no rows", file.path)
    inputs = np.frombuffer(store, block.inputs.dtype).reshape(-1, block.inputs.shape[1])
    return block._replace(inputs=inputs, labels=labels)


def _blocks(file: ArrowFile, layout: Layout, groups: Iterable[int]) -> Iterator[Rows]:
    """The rows of some groups, in blocks of some thousands."""
    asked = layout.inputs if layout.label is None else (*layout.inputs, layout.label)
    shape: tuple[int, ...] | None = None
    first = 0
    for group in groups:
        for batch in file.batches(group, asked):
            if not batch.num_rows:
                continue
            block = Block(file.path, batch, range(first, first + batch.num_rows))
            values, shape = values_of(block, layout, shape)
            labels = [] if layout.label is None else label_texts(block, layout.label, layout.names)
            yield rows_of(values, labels, layout, shape)
            first += batch.num_rows
