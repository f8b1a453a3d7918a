"""Where the inputs and the labels of Parquet and Arrow files are: in columns, in lists, or in pictures that are packed.

A layout, made once from the columns' names and types, says which of these a file is, and where its labels are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from xpnn.data.arrow import ArrowFile, class_names, index_columns
from xpnn.data.blocks import Block, is_label, is_list, is_picture, lists, numbers, pictures, storage
from xpnn.data.files import shown
from xpnn.data.labelled import FEWEST_PIXELS, square
from xpnn.data.parts import Rows
from xpnn.data.table import check_names, column_called
from xpnn.errors import DataError

LABEL_NAMES = ("label", "labels", "class", "target", "y")  # what a column of labels may be called, unless it is named


class Layout(NamedTuple):
    """Where a row's inputs and its label are.

    kind:   "pictures", "lists" or "columns".
    inputs: names of the columns that hold them; one, but for columns.
    label:  name of the column of labels; None: they are not read.
    names:  what the labels' numbers are called.
    pixels: columns hold pixels, and no real numbers; so do lists of floats.
    """

    kind: str
    inputs: tuple[str, ...]
    label: str | None
    names: tuple[str, ...] = ()
    pixels: bool = False


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
            pixels = all_bytes(file, inputs) or (is_picture and _all_whole(file, inputs))
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


def all_bytes(file: ArrowFile, names: Sequence[str]) -> bool:
    """Whether all columns have the type uint8."""
    return all(str(storage(file.schema.field(name).type)) == "uint8" for name in names)


def _all_whole(file: ArrowFile, names: Sequence[str]) -> bool:
    from pyarrow import types

    return all(types.is_integer(storage(file.schema.field(name).type)) for name in names)


def values_of(
    block: Block, layout: Layout, shape: tuple[int, ...] | None = None
) -> tuple[NDArray[Any], tuple[int, ...] | None]:
    """The inputs (n, n_in) of some rows, one or more, and what a picture or a list has: that of those before, `shape`.

    Raises DataError for what can't be inputs.
    """
    if layout.kind == "pictures":
        return pictures(block, layout.inputs[0], shape)
    if layout.kind == "lists":
        return lists(block, layout.inputs[0], shape, layout.pixels)
    return numbers(block, layout.inputs, layout.pixels), shape


def rows_of(values: Any, labels: list[str], layout: Layout, shape: tuple[int, ...] | None) -> Rows:
    """Inputs and labels with what a layout, and the shape of a picture or list, tell of them."""
    is_table = layout.kind == "columns" and not layout.pixels
    picture = (shape[0], shape[1]) if shape is not None and len(shape) == 2 else square(values.shape[1])
    columns = layout.inputs if is_table else None
    return Rows(values, labels, None if is_table else picture, columns, layout.label, layout.names)
