"""Tables of real numbers with named columns, in whichever file they are."""

from __future__ import annotations

from collections.abc import Sequence

from xpnn.data import columnar, layouts, table
from xpnn.data.arrow import opened_arrow
from xpnn.data.files import shown
from xpnn.data.formats import file_format
from xpnn.data.table import column_called, columns_of
from xpnn.errors import DataError, Path
from xpnn.samples import Samples

TABLES = ("csv", "arrow")


def read_table(
    path: Path,
    targets: Sequence[str] | None = None,
    limit: int | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> tuple[Samples, tuple[str, ...]]:
    """Read real numbers by their columns' names from a CSV, Parquet or Arrow file, packed or not.

    targets: names of the columns to predict; None: there are none.
    limit:   read the first rows only, as many as this.
    columns: names of the input columns; None: all that are no targets, in the file's order. Columns that are neither
             inputs nor targets are not read, and may hold anything.

    Returns inputs (n, columns) float64 with targets (n, targets) float64, or None, each in the order of their names,
    and the names of the input columns.
    Raises DataError naming the place of what can't be read, and for names that aren't there; ValueError if `limit` is
    less than 1, or no target is named, or one twice.
    """
    if format_of_table(path) == "arrow":
        return columnar.read_numbers(path, targets, limit, columns=columns)
    return table.read_table(path, targets, limit, columns=columns)


def format_of_table(path: Path) -> str:
    """csv or arrow. Raises DataError for a file of any other format: it has no columns."""
    found = file_format(path)
    if found not in TABLES:
        raise DataError(f"a CSV, Parquet or Arrow file with column names is needed, and this is none ({found})", path)
    return found


def columns_called(path: Path, asked: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns that are asked for by their names or their numbers (see `table.column_called`)."""
    if format_of_table(path) == "csv":
        names = columns_of(path, asked).names
    else:
        with opened_arrow(path) as file:
            names = layouts.column_list(file)
    return tuple(column_called(name, names) for name in asked)


def wrong_value(path: Path, row: int, name: str, value: float, problem: str) -> DataError:
    """The error for a number that can be read but not used: of data row `row`, counted from 0, in the column `name`.

    value:   what was read there; of a CSV file the error shows what is written there.
    problem: what to say after the value.
    """
    if format_of_table(path) == "csv":
        return table.wrong_value(path, row, name, problem)
    return DataError(f"{shown(name)} in row {row}, counted from 0, is {value:g}, {problem}", path)
