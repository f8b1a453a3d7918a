"""Tables: CSV files with column names in the first line and real numbers below, some columns of them the targets.

As in `csv.py`, NumPy reads well-formed files quickly, and the careful reader says what is wrong, and where. Commas,
semicolons or tabs stand between the columns. Where they are semicolons, numbers may have decimal commas, as half of the
world's spreadsheets write them; then all of them have.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
import sys
import warnings
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnn.data.csv import names_in
from xpnn.data.files import Fingerprint, and_unusable, check_limit, shown
from xpnn.data.lines import (
    DECIMAL_COMMA,
    count_columns,
    is_number,
    read_lines,
    separator_of,
    with_points,
    without_a_name,
    wrong_separator,
)
from xpnn.data.twins import read_once
from xpnn.errors import DataError, Path
from xpnn.samples import Samples

MISSING = frozenset(["", "na", "n/a", "nan", "null", "none", "?"])
BOOLEANS = {"true": 1.0, "false": 0.0}  # in any case
SHOWN_NAMES = 20
SEARCHED = 100_000  # lines after the first field that can't be used, for other columns; they take a second
MOST_COLUMNS = 1 << 18  # each has a name, which takes much more memory than its text
READER = "table 1"  # to be counted up when a file is read otherwise than before: see twins.py
WHOLE = re.compile("-?[0-9]{1,9}")  # the number of a column
THOUSANDS = re.compile("[+-]?[1-9][0-9]{0,2},[0-9]{3}")  # or a decimal comma: who knows
NO_MARKS = str.maketrans("", "", ",.+-")
FEWEST_COUNTED = 3  # columns that are called 0, 1, 2 beside one with a name


class Head(NamedTuple):
    """How a table begins.

    names:     of the columns.
    line:      the number of the first line.
    above:     how many lines of names stand above the data, 1 or 0.
    separator: what stands between the columns.
    """

    names: list[str]
    line: int
    above: int
    separator: str


def read_table(
    path: Path,
    targets: Sequence[str] | None = None,
    limit: int | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> tuple[Samples, tuple[str, ...]]:
    """Read a CSV file, gzipped or not, of real numbers below a line of column names, as `values.read_table` has it.

    Where there is no line of names, the columns are called by their numbers: "1", "2", and so on (see `columns_of`).

    Returns inputs (n, columns) float64 with targets (n, targets) float64, or None, each in the order of their names,
    and the names of the input columns.
    Raises DataError naming line, column and the column's name for what can't be read, and for names that aren't there;
    ValueError if `limit` is less than 1, or no target is named, or one twice.
    """
    check_limit(limit)
    check_targets(targets)
    asked = tuple(targets or ())
    head = columns_of(path, (*asked, *(columns or ())), others=columns is None)
    names, line, above, separator = head
    left_out = frozenset(asked)
    inputs = tuple(name for name in names if name not in left_out) if columns is None else tuple(columns)
    check_names((*inputs, *asked), names, path, line)
    if not inputs:
        raise DataError("every column is a target: at least one must be an input", path, line=line)
    place_of = {name: place for place, name in enumerate(names)}
    places = [place_of[name] for name in (*inputs, *asked)]
    parse = partial(_parse, path, head, places, limit)
    reader = f"{READER}, by {separator!r}: {places} of {len(names)} below {above}"
    table = read_once(path, reader, np.float64, parse) if limit is None else parse()
    values = None if targets is None else np.ascontiguousarray(table[:, len(inputs) :])
    return Samples(np.ascontiguousarray(table[:, : len(inputs)]), values), inputs


def check_targets(targets: Sequence[str] | None) -> None:
    """Raise ValueError unless `targets` is None or a list of different names."""
    if isinstance(targets, str) or (targets is not None and (not targets or len(set(targets)) < len(targets))):
        raise ValueError(f"targets must be one or more different column names, such as ('price',), not {targets!r}")


def wrong_value(path: Path, row: int, name: str, problem: str) -> DataError:
    """The error for a number that can be read but not used, in the file's own words, as `values.wrong_value` has it."""
    head = columns_of(path, (name,), others=False)
    place = head.names.index(name)
    number, line = next(itertools.islice(read_lines(path), row + head.above, None))
    field = split_line(line, path, number, head.separator)[place]
    return DataError(f"{shown(name)} is {shown(field)}, {problem}", path, line=number, column=place + 1)


def columns_of(path: Path, asked: Sequence[str] = (), *, others: bool = True) -> Head:
    """How the table begins.

    asked:  columns that are asked for. Where they are all numbers of columns and the first line is a row of data, there
            are no names, and each column is called by its number, from 1.
    others: whether columns that are not asked for need a name of their own, too.
    """
    number, line = next(read_lines(path), (0, ""))
    if not number:
        raise DataError("the file is empty", path)
    separator = separator_of(path)
    names = split_line(line, path, number, separator)
    if len(names) == 1 and (problem := wrong_separator(line)):
        raise DataError(problem, path, line=number)
    above = bool(names_in(line, separator))
    if_data = [with_points(name, separator) for name in names]
    if (
        asked
        and all(WHOLE.fullmatch(name) and 0 < abs(int(name)) <= len(names) for name in asked)
        and not (above or _counts(if_data))
    ):
        return Head([str(place) for place in range(1, len(names) + 1)], number, 0, separator)
    if all(map(is_number, if_data)) and not above:
        problem = "there are no column names: write a line of names above the numbers, such as area,rooms,price"
        raise DataError(problem, path, line=number)
    by_number = any(WHOLE.fullmatch(name) and name not in names for name in asked)
    _check_line_of_names(names, path, number, None if others or by_number else frozenset(asked))
    return Head(names, number, 1, separator)


def column_called(asked: str, names: Sequence[str]) -> str:
    """The column that is asked for by its name, or by its number: from 1, or from -1 for the last one backwards.

    What is neither comes back as it is.
    """
    number = int(asked) if asked not in names and WHOLE.fullmatch(asked) else 0
    if 0 < number <= len(names):
        return names[number - 1]
    return names[number] if 0 > number >= -len(names) else asked


def _counts(fields: list[str]) -> bool:
    """Whether a first line that may be data holds names: some words, and numbers that count their columns."""
    numbers = [(place, field) for place, field in enumerate(fields) if is_number(field)]
    if not len(fields) > len(numbers) >= FEWEST_COUNTED:
        return False
    return any(all(field == str(place + first) for place, field in numbers) for first in (0, 1))


def _check_line_of_names(names: list[str], path: Path, number: int, only: frozenset[str] | None) -> None:
    """Raise DataError unless each column, or each that is called one of `only`, has a name of its own to be shown."""
    seen: set[str] = set()
    for column, name in enumerate(names, 1):
        if only is not None and name not in only:
            continue
        if not name:
            raise DataError(without_a_name(column), path, line=number, column=column)
        if not name.isprintable():
            problem = f"this column is called {shown(name)}: give it a name of printable characters"
            raise DataError(problem, path, line=number, column=column)
        if name in seen:
            problem = f"a second column is called {shown(name)}: give every column a name of its own"
            raise DataError(problem, path, line=number, column=column)
        seen.add(name)


def split_line(line: str, path: Path, number: int, separator: str) -> list[str]:
    """The fields of a line, without the quotes and the spaces around them."""
    if line.count(separator) >= MOST_COLUMNS:
        problem = f"more than {MOST_COLUMNS:,} columns: too many for a table; leave some out"
        raise DataError(problem, path, line=number)
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True))
        return [field.strip() for field in fields]
    except csv.Error as error:
        problem = f"its quotes can't be made out ({error}): correct the line"
        if "field larger" in str(error):
            problem = (
                f"a field has more than {csv.field_size_limit():,} characters: no number and no name; cut it short"
            )
        elif str(error) == "unexpected end of data":
            problem = "a quote is open at its end: close it; a field may not go on in the next line"
        raise DataError(problem, path, line=number) from error


def check_names(wanted: Sequence[str], names: Sequence[str], path: Path, line: int | None = None) -> None:
    """Raise DataError, with the names that are there, unless all that are wanted are among them."""
    present = frozenset(names)
    absent = [shown(name) for name in wanted if name not in present]
    if absent:
        numbered = f", numbered from 1 to {len(names)}," if any(map(WHOLE.fullmatch, {*wanted} - present)) else ""
        there = ", ".join(map(shown, names[:SHOWN_NAMES])) or "none"
        more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
        problem = f"no column is called {' or '.join(absent[:SHOWN_NAMES])}; the columns{numbered} are {there}{more}"
        if line is not None and len(names) == 1:
            problem += ": the first line must hold all names, with commas, semicolons or tabs between them"
        raise DataError(problem, path, line=line)


def _parse(
    path: Path, head: Head, places: list[int], limit: int | None, fingerprint: Fingerprint | None = None
) -> NDArray[np.float64]:
    """The columns at `places`, (n, places): the quick way, or else the careful one."""
    table = _read_quickly(path, head, places, limit, fingerprint)
    return _read_carefully(path, head, places, limit, fingerprint) if table is None else table


def _read_quickly(
    path: Path, head: Head, places: list[int], limit: int | None, fingerprint: Fingerprint | None = None
) -> NDArray[np.float64] | None:
    """The columns at `places` as NumPy reads them, (n, places); None where there is any doubt."""
    lines: Iterator[str] = (line for _, line in itertools.islice(read_lines(path, fingerprint), head.above, None))
    lines = _plain_only(lines, len(head.names), head.separator)
    if head.separator == ";":
        lines = _pointed(lines)
    most = None if limit is None else min(limit, sys.maxsize)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            table = np.loadtxt(lines, delimiter=head.separator, comments=None, ndmin=2, usecols=places, max_rows=most)
        except DataError:  # of `read_lines`, which the careful reader would meet, too
            raise
        except (ValueError, Warning):
            return None
    return table if np.isfinite(table).all() else None


def _plain_only(lines: Iterator[str], count: int, separator: str) -> Iterator[str]:
    """The lines as they are; ValueError at one that has quotes, not `count` fields, or characters beyond ASCII.

    Given `usecols`, loadtxt doesn't count fields; on some characters it crashes Python.
    """
    for line in lines:
        if line.count(separator) != count - 1 or '"' in line or not line.isascii():
            raise ValueError
        yield line


def _pointed(lines: Iterator[str]) -> Iterator[str]:
    """The lines with points for decimal commas; ValueError as soon as there were commas and points."""
    commas = points = False
    for line in lines:
        commas, points = commas or "," in line, points or "." in line
        if commas and points:
            raise ValueError
        yield with_points(line, ";")


def _read_carefully(
    path: Path, head: Head, places: list[int], limit: int | None, fingerprint: Fingerprint | None = None
) -> NDArray[np.float64]:
    """The columns at `places`, (n, places), or a DataError for the first thing that is wrong.

    Where that is a field, all columns that have such a field are named.
    """
    values = array("d")
    marked: dict[str, tuple[int, int, str]] = {}
    booleans: frozenset[int] = frozenset()
    rows = itertools.islice(_rows(path, head, fingerprint), None if limit is None else min(limit, sys.maxsize))
    for number, fields in rows:
        if not values:
            booleans = frozenset(place for place in places if fields[place].lower() in BOOLEANS)
        row = [_number(fields[place], head.separator, place in booleans) for place in places]
        if not all(map(math.isfinite, row)):
            raise _unusable(itertools.chain([(number, fields)], rows), head, places, booleans, path)
        if head.separator == ";":
            _note_marks(marked, fields, places, number)
            if len(marked) == 2:
                raise _mixed(marked, head.names, path)
        values.extend(row)
    if not values:
        raise DataError("column names at the top, but no rows of data below", path)
    return np.frombuffer(values, np.float64).reshape(-1, len(places))


def _rows(path: Path, head: Head, fingerprint: Fingerprint | None) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of each line of data. Raises DataError for the first that can't be taken apart."""
    count = len(head.names)
    for number, line in itertools.islice(read_lines(path, fingerprint), head.above, None):
        fields = split_line(line, path, number, head.separator)
        if len(fields) != count:
            problem = f"{count_columns(len(fields))}, but line {head.line} has {count}: every line needs as many"
            raise DataError(problem, path, line=number)
        yield number, fields


def _note_marks(marked: dict[str, tuple[int, int, str]], fields: list[str], places: list[int], line: int) -> None:
    """Note where the first number with a decimal comma is, and the first with a point: line, place and field."""
    for mark in {",", "."} - marked.keys():
        place = next((place for place in places if mark in fields[place]), None)
        if place is not None:
            marked[mark] = line, place, fields[place]


def _mixed(marked: dict[str, tuple[int, int, str]], names: list[str], path: Path) -> DataError:
    """The error for decimal commas and points in one file: a point may also stand between thousands."""
    (earlier, _, other), (line, place, field) = sorted(marked.values())
    problem = f"{shown(names[place])} is {shown(field)}, but line {earlier} has {shown(other)}: write all numbers with"
    remedy = "decimal commas, or all with decimal points, and nothing between thousands"
    return DataError(f"{problem} {remedy}", path, line=line, column=place + 1)


def _number(field: str, separator: str, boolean: bool) -> float:
    """The number in a field, nan if there is none; of a boolean 1 or 0."""
    if boolean:
        return BOOLEANS.get(field.lower(), math.nan)
    field = with_points(field, separator)
    if not field.isascii() or "_" in field:  # float() reads digits of any script and 1_000, no numbers in a CSV file
        return math.nan
    try:
        return float(field)
    except ValueError:
        return math.nan


def _unusable(
    rows: Iterator[tuple[int, list[str]]], head: Head, places: list[int], booleans: frozenset[int], path: Path
) -> DataError:
    """The error for a row with a field that can't be used, and for other columns with such fields in it or below.

    rows:     this row and those after it.
    booleans: the places where true and false stand for numbers, as the first row says.
    """
    found: dict[int, tuple[int, str]] = {}
    with suppress(DataError):  # of a line that is not the first thing wrong
        for number, fields in itertools.islice(rows, SEARCHED):
            for place in places:
                if place in found or math.isfinite(_number(fields[place], head.separator, place in booleans)):
                    continue
                found[place] = number, fields[place]
    (first, (line, field)), *others = sorted(found.items(), key=lambda item: (item[1][0], item[0]))
    what, remedy = _what_is_wrong(field, first in booleans)
    if others:
        what += and_unusable(
            f"{shown(head.names[place])} ({shown(field) if field else 'empty'} in line {number})"
            for place, (number, field) in others
        )
        remedy = "write words as numbers, fill gaps in or delete their lines, or delete such columns"
    return DataError(f"{shown(head.names[first])} {what}: {remedy}", path, line=line, column=first + 1)


def _what_is_wrong(field: str, boolean: bool) -> tuple[str, str]:
    """What to say, after its column's name, of a field that holds no finite number; and the remedy."""
    if field.lower() in MISSING:
        found = f"({shown(field)})" if field else "(an empty field)"
        return f"is missing {found}", "fill it in, or delete the line"
    if boolean:
        return f"is {shown(field)}, expected true or false, as in the first row", "write all of the column in one way"
    if is_number(field) and math.isinf(float(field)):
        return f"is infinite or too large ({shown(field)})", "correct it, or delete the line"
    if {",", "."} <= set(field) and field.translate(NO_MARKS).isdecimal():
        return f"is {shown(field)}, expected a number with nothing between its thousands", "write it so"
    if THOUSANDS.fullmatch(field):
        either = f"write {field.replace(',', '')} or {field.replace(',', '.')}, whichever is meant"
        return f"is {shown(field)}, expected a number with a decimal point, and nothing between its thousands", either
    if DECIMAL_COMMA.fullmatch(field):
        return f"is {shown(field)}, expected a number with a decimal point", f"write {field.replace(',', '.')}"
    if field.lower() in BOOLEANS:
        return f"is {shown(field)}, expected a number, as in the first row", "write all of the column in one way"
    return f"is {shown(field)}, expected a number", "correct it, write the column's words as numbers, or delete it"
