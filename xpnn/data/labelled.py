"""CSV files in which a column that is named holds the labels: of pixels, or of a table of real numbers.

`csv.py` and `table.py` read the numbers; here is what the labels need, and which of the two a file is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.data.csv import level, read_csv, read_levels
from xpnn.data.files import shown
from xpnn.data.lines import DECIMAL_COMMA, read_lines, taken_out, with_points
from xpnn.data.npz import hold_pixels
from xpnn.data.parts import Rows, label_text
from xpnn.data.table import Head, check_names, column_called, columns_of, read_table, split_line, wrong_value
from xpnn.errors import DataError, Path

FEWEST_PIXELS = 64  # of a picture, 8 x 8


def read_labelled(
    path: Path,
    label_column: str | None,
    *,
    limit: int | None = None,
    labelled: bool = True,
    columns: Sequence[str] | None = None,
    pixels: bool = False,
) -> Rows:
    """Read a CSV file, packed or not, with the labels in one column and the inputs in the others.

    label_column: its name, or its number: from 1, or from -1 for the last one; None: there is none.
    limit:        read the first rows only, as many as this.
    labelled:     if False, the labels are not read, and the column of that name is no input.
    columns:      names of the input columns: it is a table that has these.
    pixels:       the inputs must be pixels; if False, the content says whether they are (see `are_pixels`).

    Returns inputs (n, n_in), uint8 where they are pixels, else float64 with the columns' names.
    Raises DataError naming line and column of what can't be read, and for names that aren't there.
    """
    asked = [name for name in (label_column, *(columns or ())) if name is not None]
    head = columns_of(path, asked, others=columns is None)
    names, line = head.names, head.line
    label = None if label_column is None else column_called(label_column, names)
    if label is not None and (labelled or columns is None):
        check_names([label], names, path, line)
    inputs = tuple(name for name in names if name != label) if columns is None else tuple(columns)
    if not inputs:
        raise DataError("the label is the only column: at least one more is needed", path, line=line)
    place = names.index(label) if label in names else None
    values = _read_levels(path, head, place, limit) if columns is None else None
    hold_them = values is not None and (pixels or are_pixels(values))
    if values is None or not hold_them:  # words among them, or pixels that are written as 12.0
        values = read_table(path, None, limit, columns=inputs)[0].inputs
        hold_them = pixels or are_pixels(values)
    is_table = columns is not None or not hold_them
    labels = [] if place is None or not labelled else _read_labels(path, head, place, len(values))
    if is_table:
        return Rows(values, labels, None, inputs, label)
    return Rows(_as_levels(values, inputs, path), labels, square(len(inputs)), None, label)


def are_pixels(values: NDArray[Any]) -> bool:
    """Whether numbers (n, columns) are pixels: whole, from 0 to 255, some 128 or more; of a square picture, 8 x 8 on.

    A table of real numbers is hardly ever like that.
    """
    return square(values.shape[1]) is not None and values.shape[1] >= FEWEST_PIXELS and hold_pixels(values)


def square(pixels: int) -> tuple[int, int] | None:
    """(height, width) of a square picture of so many pixels."""
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else None


def _read_levels(path: Path, head: Head, place: int | None, limit: int | None) -> NDArray[np.uint8] | None:
    """All columns but the one at `place`, (n, n_in); None unless all of them hold whole numbers from 0 to 255."""
    number, first = next(itertools.islice(read_lines(path), head.above, None), (0, ""))
    fields = split_line(first, path, number, head.separator)
    if len(fields) != len(head.names):
        return None  # `read_table` says what is wrong
    label = None if place is None else fields.pop(place)
    if any(level(field) < 0 for field in fields):  # as in nearly all tables: they are not read in vain
        return None
    if label is None or level(label) >= 0:
        with suppress(DataError):  # as above
            table = read_csv(path, limit=limit, labelled=False).inputs
            if table.shape[1] == len(head.names):
                return table if place is None else np.ascontiguousarray(np.delete(table, place, axis=1))
    return None if place is None else read_levels(path, head.separator, head.above, len(head.names), place, limit)


def _as_levels(values: NDArray[Any], names: Sequence[str], path: Path) -> NDArray[np.uint8]:
    if values.dtype != np.uint8:
        wrong = np.argwhere((values < 0) | (values > 255) | (values != np.rint(values)))
        if len(wrong):
            row, column = wrong[0]
            raise wrong_value(path, int(row), names[column], "expected a pixel, a whole number from 0 to 255")
    return values.astype(np.uint8, copy=False)


def _read_labels(path: Path, head: Head, place: int, count: int) -> list[str]:
    """The labels of the first `count` rows, of a file whose lines were found to have the right number of fields."""
    labels: list[str] = []
    known: dict[str, str] = {}
    separator = head.separator
    for number, line in itertools.islice(read_lines(path), head.above, head.above + count):
        field = _label_in(line, path, number, head, place)
        label = known.get(field)
        if label is None:
            is_number = DECIMAL_COMMA.fullmatch(field.strip())
            try:
                label = known[field] = label_text(with_points(field, separator) if is_number else field, field)
            except ValueError as error:
                raise DataError(f"{shown(head.names[place])} {error}", path, line=number, column=place + 1) from None
        labels.append(label)
    return labels


def _label_in(line: str, path: Path, number: int, head: Head, place: int) -> str:
    """The field at `place`, without the quotes around it."""
    if '"' not in line:
        return taken_out(line, head.separator, len(head.names), place)[0]
    with suppress(ValueError):  # where a separator stands within quotes
        field, rest = taken_out(line, head.separator, len(head.names), place)
        if '"' not in rest:  # a line of many fields takes a while to be taken apart
            return split_line(field, path, number, head.separator)[0]
    return split_line(line, path, number, head.separator)[place]
