"""Rows of Parquet and Arrow files: pixels or numbers in columns, in lists, or pictures that are packed in a column.

A layout, made once from the columns' names and types, says which of these a file is, and where its labels are.
`read_group` reads the rows of one row group, and what reads a whole file puts these together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from xpnn.data.arrow import ArrowFile, class_names, index_columns, opened_arrow
from xpnn.data.blocks import (
    Block,
    NotPixelsError,
    is_label,
    is_list,
    is_picture,
    label_texts,
    lists,
    numbers,
    pictures,
    storage,
)
from xpnn.data.files import check_limit, shown
from xpnn.data.labelled import FEWEST_PIXELS, are_pixels, square
from xpnn.data.npz import hold_pixels
from xpnn.data.parts import Rows
from xpnn.data.table import check_names, check_targets, column_called
from xpnn.errors import DataError, Path
from xpnn.samples import Samples

LABEL_NAMES = ("label", "labels", "class", "target", "y")  # what a column of labels may be called, unless it is named


class Layout(NamedTuple):
    """Where a row's inputs and its label are.

    kind:   "pictures", "lists" or "columns".
    inputs: names of the columns that hold them; one, but for columns.
    label:  name of the column of labels; None: they are not read.
    names:  what the labels' numbers are called.
    pixels: columns hold pixels, and no real numbers.
    """

    kind: str
    inputs: tuple[str, ...]
    label: str | None
    names: tuple[str, ...] = ()
    pixels: bool = False


def read_columns(
    path: Path,
    label_column: str | None = None,
    *,
    limit: int | None = None,
    labelled: bool = True,
    columns: Sequence[str] | None = None,
    pixels: bool = False,
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

    Returns inputs (n, n_in): pixels as uint8; lists of other numbers as float32 or float64; columns of others as
    float64, with their names.
    Raises DataError naming the row and the column of what can't be read.
    """
    check_limit(limit)
    with opened_arrow(path) as file:
        layout = layout_of(file, label_column, labelled, columns, pixels)
        try:
            rows = _read(file, layout, limit)
        except NotPixelsError:
            if pixels:
                raise
            rows = _read(file, layout._replace(pixels=False), limit)
        sure = pixels or _all_bytes(file, layout.inputs)
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
        inputs = tuple(name for name in names if name not in asked) if columns is None else tuple(columns)
        check_names((*inputs, *asked), names, path)
        if not inputs:
            raise DataError("every column is a target: at least one must be an input", path)
        values = _read(file, Layout("columns", (*inputs, *asked), None), limit).inputs
    wanted = None if targets is None else np.ascontiguousarray(values[:, len(inputs) :])
    return Samples(np.ascontiguousarray(values[:, : len(inputs)]), wanted), inputs


def column_list(file: ArrowFile) -> list[str]:
    """The columns' names, but for pandas' row numbers."""
    left_out = index_columns(file.schema)
    return [name for name in file.schema.names if name not in left_out]


def layout_of(
    file: ArrowFile,
    label_column: str | None = None,
    labelled: bool = True,
    columns: Sequence[str] | None = None,
    pixels: bool = False,
) -> Layout:
    """How a file is to be read; the arguments are those of `read_columns`. Raises DataError where that isn't clear."""
    names = column_list(file)
    kind, inputs = ("columns", ()) if columns is not None else _packed(file, names)
    label = _label(file, names, inputs, label_column, labelled)
    if kind == "columns":
        inputs = tuple(name for name in names if name != label) if columns is None else tuple(columns)
        check_names(inputs, names, file.path)
        if not inputs:
            raise DataError("the label is the only column: at least one more is needed", file.path)
        if columns is None and not pixels:
            is_picture = square(len(inputs)) is not None and len(inputs) >= FEWEST_PIXELS
            pixels = _all_bytes(file, inputs) or (is_picture and _all_whole(file, inputs))
    if label is None or not labelled:
        return Layout(kind, inputs, None, (), pixels)
    return Layout(kind, inputs, label, class_names(file.schema, label), pixels)


def _packed(file: ArrowFile, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """("pictures" or "lists", (the column's name,)) where one column has a row's inputs; else ("columns", ())."""
    types = {name: storage(file.schema.field(name).type) for name in names}
    for kind, fits in (("pictures", is_picture), ("lists", is_list)):
        found = tuple(name for name in names if fits(types[name]))
        if len(found) > 1:
            problem = f"{len(found)} columns hold {kind}: {', '.join(map(shown, found[:20]))}"
            raise DataError(f"{problem}; one is needed, so leave the others out", file.path)
        if found:
            return kind, found
    return "columns", ()


def _label(
    file: ArrowFile, names: Sequence[str], packed: tuple[str, ...], label_column: str | None, labelled: bool
) -> str | None:
    """The column of labels: the one that is asked for, or that has a usual name, or that alone is not `packed`."""
    if label_column is not None:
        label = column_called(label_column, names)
        check_names([label], [name for name in names if name not in packed], file.path)
        return label
    usual = (name for wanted in LABEL_NAMES for name in names if name.lower() == wanted and name not in packed)
    others = [name for name in names if name not in packed and is_label(storage(file.schema.field(name).type))]
    found = next(usual, others[0] if packed and len(others) == 1 else None)
    if found is None and labelled:
        there = ", ".join(map(shown, names[:20])) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")
        problem = f"which column has the labels? None is called {', '.join(LABEL_NAMES[:-1])} or {LABEL_NAMES[-1]}"
        raise DataError(f"{problem}; name it (label_column=, --label-column): the columns are {there}", file.path)
    return found


def _all_bytes(file: ArrowFile, names: Sequence[str]) -> bool:
    """Whether all columns have the type uint8."""
    return all(str(storage(file.schema.field(name).type)) == "uint8" for name in names)


def _all_whole(file: ArrowFile, names: Sequence[str]) -> bool:
    from pyarrow import types

    return all(types.is_integer(storage(file.schema.field(name).type)) for name in names)


def read_group(file: ArrowFile, layout: Layout, group: int) -> Rows:
    """The rows of one row group.

    Raises DataError naming row, counted from the group's first, and column of what can't be read.
    """
    blocks = list(_blocks(file, layout, [group]))
    inputs = np.concatenate([block.inputs for block in blocks])
    return blocks[0]._replace(inputs=inputs, labels=[label for block in blocks for label in block.labels])


def _read(file: ArrowFile, layout: Layout, limit: int | None) -> Rows:
    """The rows of all row groups, or the first of them. They grow as they are read: no count in a header is trusted."""
    store, labels, block = bytearray(), [], None
    for block in _blocks(file, layout, range(file.groups)):
        store += np.ascontiguousarray(block.inputs).data.cast("B")
        labels += block.labels
        width = block.inputs.shape[1] * block.inputs.itemsize
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
            block = Block(file.path, batch, first)
            if layout.kind == "pictures":
                values, shape = pictures(block, layout.inputs[0], shape)
            elif layout.kind == "lists":
                values, shape = lists(block, layout.inputs[0], shape)
            else:
                values = numbers(block, layout.inputs, layout.pixels)
            labels = [] if layout.label is None else label_texts(block, layout.label, layout.names)
            is_table = layout.kind == "columns" and not layout.pixels
            picture = (shape[0], shape[1]) if shape is not None and len(shape) == 2 else square(values.shape[1])
            columns = layout.inputs if is_table else None
            yield Rows(values, labels, None if is_table else picture, columns, layout.label, layout.names)
            first += batch.num_rows
